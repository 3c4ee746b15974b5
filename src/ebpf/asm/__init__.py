"""Instructions: encode, decode, assemble text, disassemble (bytes in, bytes out)."""

from __future__ import annotations

from ebpf.asm import opcodes
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
