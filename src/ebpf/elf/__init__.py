"""Object files → specs: ELF containers, maps, data, programs and their relocations (bytes in, specs out)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.lazy import lazy_names

if TYPE_CHECKING:
    from ebpf.elf.description import describe, describe_map, describe_program
    from ebpf.elf.reader import read_bytes, read_file

__all__ = ["describe", "describe_map", "describe_program", "read_bytes", "read_file"]

__getattr__ = lazy_names(__name__, {
    "description": ("describe", "describe_map", "describe_program"),
    "reader": ("read_bytes", "read_file"),
})  # fmt: skip
