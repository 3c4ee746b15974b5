"""Object files → specs: ELF containers, maps, data, programs and their relocations (bytes in, specs out)."""

from __future__ import annotations

from ebpf.elf.describe import describe, describe_map, describe_program
from ebpf.elf.reader import read_bytes, read_file

__all__ = ["describe", "describe_map", "describe_program", "read_bytes", "read_file"]
