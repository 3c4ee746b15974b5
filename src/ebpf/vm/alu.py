"""Arithmetic, comparisons and byte swaps on 64-bit registers (RFC 9669, sections 4.1 to 4.3).

Registers are Python integers from 0 to 2**64 - 1. The 32-bit operations take full registers, look at their low
halves and give a result whose upper half is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Operation: TypeAlias = Callable[[int, int], int]
Test: TypeAlias = Callable[[int, int], bool]

M32 = 0xFFFF_FFFF
M64 = 0xFFFF_FFFF_FFFF_FFFF
_SIGN = {8: 1 << 7, 16: 1 << 15, 32: 1 << 31, 64: 1 << 63}


def signed(value: int, bits: int) -> int:
    """Read the low `bits` of a value as two's complement."""
    sign = _SIGN[bits]
    return ((value & (sign << 1) - 1) ^ sign) - sign


def _divide(a: int, b: int) -> int:
    # Section 4.1: division by zero gives 0, modulo by zero leaves the dividend.
    return a // b if b else 0


def _modulo(a: int, b: int) -> int:
    return a % b if b else a


def _signed_divide(a: int, b: int) -> int:
    # C truncates towards zero where Python floors; the smallest number by -1 wraps to itself through the mask.
    if b == 0:
        return 0
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _signed_modulo(a: int, b: int) -> int:
    # The sign is the dividend's.
    if b == 0:
        return a
    remainder = abs(a) % abs(b)
    return -remainder if a < 0 else remainder


ALU64: dict[int, Operation] = {
    0x00: lambda a, b: (a + b) & M64,
    0x10: lambda a, b: (a - b) & M64,
    0x20: lambda a, b: (a * b) & M64,
    0x30: _divide,
    0x40: lambda a, b: a | b,
    0x50: lambda a, b: a & b,
    0x60: lambda a, b: (a << (b & 63)) & M64,
    0x70: lambda a, b: a >> (b & 63),
    0x90: _modulo,
    0xA0: lambda a, b: a ^ b,
    0xB0: lambda a, b: b,
    0xC0: lambda a, b: (signed(a, 64) >> (b & 63)) & M64,
}
"""Upper four bits of a BPF_ALU64 opcode → operation. Shift counts are masked."""

ALU32: dict[int, Operation] = {
    0x00: lambda a, b: (a + b) & M32,
    0x10: lambda a, b: (a - b) & M32,
    0x20: lambda a, b: (a * b) & M32,
    0x30: lambda a, b: _divide(a & M32, b & M32),
    0x40: lambda a, b: (a | b) & M32,
    0x50: lambda a, b: a & b & M32,
    0x60: lambda a, b: (a << (b & 31)) & M32,
    0x70: lambda a, b: (a & M32) >> (b & 31),
    0x90: lambda a, b: _modulo(a & M32, b & M32),
    0xA0: lambda a, b: (a ^ b) & M32,
    0xB0: lambda a, b: b & M32,
    0xC0: lambda a, b: (signed(a, 32) >> (b & 31)) & M32,
}
"""The same for BPF_ALU."""

SIGNED64: dict[int, Operation] = {
    0x30: lambda a, b: _signed_divide(signed(a, 64), signed(b, 64)) & M64,
    0x90: lambda a, b: _signed_modulo(signed(a, 64), signed(b, 64)) & M64,
}
"""Division and modulo with offset 1 (ISA v4)."""

SIGNED32: dict[int, Operation] = {
    0x30: lambda a, b: _signed_divide(signed(a, 32), signed(b, 32)) & M32,
    0x90: lambda a, b: _signed_modulo(signed(a, 32), signed(b, 32)) & M32,
}

JUMP64: dict[int, Test] = {
    0x10: lambda a, b: a == b,
    0x20: lambda a, b: a > b,
    0x30: lambda a, b: a >= b,
    0x40: lambda a, b: bool(a & b),
    0x50: lambda a, b: a != b,
    0x60: lambda a, b: signed(a, 64) > signed(b, 64),
    0x70: lambda a, b: signed(a, 64) >= signed(b, 64),
    0xA0: lambda a, b: a < b,
    0xB0: lambda a, b: a <= b,
    0xC0: lambda a, b: signed(a, 64) < signed(b, 64),
    0xD0: lambda a, b: signed(a, 64) <= signed(b, 64),
}
"""Upper four bits of a BPF_JMP opcode → condition."""

JUMP32: dict[int, Test] = {
    0x10: lambda a, b: a & M32 == b & M32,
    0x20: lambda a, b: a & M32 > b & M32,
    0x30: lambda a, b: a & M32 >= b & M32,
    0x40: lambda a, b: bool(a & b & M32),
    0x50: lambda a, b: a & M32 != b & M32,
    0x60: lambda a, b: signed(a, 32) > signed(b, 32),
    0x70: lambda a, b: signed(a, 32) >= signed(b, 32),
    0xA0: lambda a, b: a & M32 < b & M32,
    0xB0: lambda a, b: a & M32 <= b & M32,
    0xC0: lambda a, b: signed(a, 32) < signed(b, 32),
    0xD0: lambda a, b: signed(a, 32) <= signed(b, 32),
}
"""The same for BPF_JMP32: only the low halves count."""


def swap(value: int, bits: int) -> int:
    """Reverse the bytes of the low `bits`; the rest of the result is zero."""
    return int.from_bytes((value & (1 << bits) - 1).to_bytes(bits // 8, "little"), "big")


def truncate(value: int, bits: int) -> int:
    """Keep the low `bits` (conversion to little endian, which is how this machine counts)."""
    return value & (1 << bits) - 1
