"""Instructions: encode, decode, assemble text, disassemble (bytes in, bytes out)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ebpf.asm import opcodes

if TYPE_CHECKING:
    from ebpf.asm.assembler import assemble
    from ebpf.asm.disassembler import disassemble
    from ebpf.asm.insn import Insn, Reference, ReferenceKind, SourceLine
    from ebpf.asm.instructions import Instructions

__all__ = [
    "Insn",
    "Instructions",
    "Reference",
    "ReferenceKind",
    "SourceLine",
    "assemble",
    "disassemble",
    "opcodes",
]

_HOMES: dict[str, tuple[str, ...]] = {
    "assembler": ("assemble",),
    "disassembler": ("disassemble",),
    "insn": ("Insn", "Reference", "ReferenceKind", "SourceLine"),
    "instructions": ("Instructions",),
}  # fmt: skip
"""Where the names are: a module is imported when one of its names is used."""
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
