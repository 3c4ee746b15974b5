"""One case of the instruction set, and how to write its code."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

M32 = (1 << 32) - 1
M64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Case:
    """Code that is given r1 = address and r2 = length of `memory`, and the r0 that it must return.

    `kernel` says whether Linux accepts the code, too (it refuses shift counts beyond the width, for example).
    """

    name: str
    code: bytes
    expected: int
    memory: bytes = b""
    kernel: bool = True

    def __str__(self) -> str:
        return self.name


def slot(opcode: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """Encode one slot; `imm` may be given unsigned."""
    return struct.pack("<BBhI", opcode, src << 4 | dst, off, imm & M32)


def wide(dst: int, value: int) -> bytes:
    """Encode lddw."""
    return slot(0x18, dst, imm=value) + slot(0, imm=value >> 32 & M32)


def program(*parts: bytes) -> bytes:
    """Join instructions and end with exit."""
    return b"".join(parts) + EXIT


def words(*values: int) -> bytes:
    """Lay 64-bit words out in memory."""
    return b"".join(struct.pack("<Q", value & M64) for value in values)


EXIT = slot(0x95)
# The operands come from memory, where neither the kernel's verifier nor an optimiser can know them.
LOAD_OPERANDS = slot(0x79, 0, 1, 0) + slot(0x79, 3, 1, 8)


def unique(cases: Iterable[Case]) -> list[Case]:
    """Return the cases as a list whose names differ."""
    found = {case.name: case for case in cases}
    return list(found.values())
