"""Instructions: encode, decode, assemble text, disassemble (bytes in, bytes out)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.asm import opcodes
from ebpf.lazy import lazy_names

if TYPE_CHECKING:
    from ebpf.asm.assembler import assemble
    from ebpf.asm.disassembler import disassemble
    from ebpf.asm.instructions import Insn, Instructions
    from ebpf.asm.metadata import Reference, ReferenceKind, SourceLine

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

__getattr__ = lazy_names(__name__, {
    "assembler": ("assemble",),
    "disassembler": ("disassemble",),
    "instructions": ("Insn", "Instructions"),
    "metadata": ("Reference", "ReferenceKind", "SourceLine"),
})  # fmt: skip
