"""Arithmetic, comparisons and byte swaps on 64-bit registers (RFC 9669, sections 4.1 to 4.3).

Registers are Python integers from 0 to 2**64 - 1. The 32-bit operations take full registers, look at their low
halves and give a result whose upper half is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ebpf.asm.opcodes import (
    BPF_ADD,
    BPF_AND,
    BPF_ARSH,
    BPF_DIV,
    BPF_JEQ,
    BPF_JGE,
    BPF_JGT,
    BPF_JLE,
    BPF_JLT,
    BPF_JNE,
    BPF_JSET,
    BPF_JSGE,
    BPF_JSGT,
    BPF_JSLE,
    BPF_JSLT,
    BPF_LSH,
    BPF_MOD,
    BPF_MOV,
    BPF_MUL,
    BPF_OR,
    BPF_RSH,
    BPF_SUB,
    BPF_XOR,
)
from ebpf.vm import M32, M64

Operation: TypeAlias = Callable[[int, int], int]
Test: TypeAlias = Callable[[int, int], bool]

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
    BPF_ADD: lambda a, b: (a + b) & M64,
    BPF_SUB: lambda a, b: (a - b) & M64,
    BPF_MUL: lambda a, b: (a * b) & M64,
    BPF_DIV: _divide,
    BPF_OR: lambda a, b: a | b,
    BPF_AND: lambda a, b: a & b,
    BPF_LSH: lambda a, b: (a << (b & 63)) & M64,
    BPF_RSH: lambda a, b: a >> (b & 63),
    BPF_MOD: _modulo,
    BPF_XOR: lambda a, b: a ^ b,
    BPF_MOV: lambda a, b: b,
    BPF_ARSH: lambda a, b: (signed(a, 64) >> (b & 63)) & M64,
}
"""Upper four bits of a BPF_ALU64 opcode → operation. Shift counts are masked."""

ALU32: dict[int, Operation] = {
    BPF_ADD: lambda a, b: (a + b) & M32,
    BPF_SUB: lambda a, b: (a - b) & M32,
    BPF_MUL: lambda a, b: (a * b) & M32,
    BPF_DIV: lambda a, b: _divide(a & M32, b & M32),
    BPF_OR: lambda a, b: (a | b) & M32,
    BPF_AND: lambda a, b: a & b & M32,
    BPF_LSH: lambda a, b: (a << (b & 31)) & M32,
    BPF_RSH: lambda a, b: (a & M32) >> (b & 31),
    BPF_MOD: lambda a, b: _modulo(a & M32, b & M32),
    BPF_XOR: lambda a, b: (a ^ b) & M32,
    BPF_MOV: lambda a, b: b & M32,
    BPF_ARSH: lambda a, b: (signed(a, 32) >> (b & 31)) & M32,
}
"""The same for BPF_ALU."""

SIGNED64: dict[int, Operation] = {
    BPF_DIV: lambda a, b: _signed_divide(signed(a, 64), signed(b, 64)) & M64,
    BPF_MOD: lambda a, b: _signed_modulo(signed(a, 64), signed(b, 64)) & M64,
}
"""Division and modulo with offset 1 (ISA v4)."""

SIGNED32: dict[int, Operation] = {
    BPF_DIV: lambda a, b: _signed_divide(signed(a, 32), signed(b, 32)) & M32,
    BPF_MOD: lambda a, b: _signed_modulo(signed(a, 32), signed(b, 32)) & M32,
}

JUMP64: dict[int, Test] = {
    BPF_JEQ: lambda a, b: a == b,
    BPF_JGT: lambda a, b: a > b,
    BPF_JGE: lambda a, b: a >= b,
    BPF_JSET: lambda a, b: bool(a & b),
    BPF_JNE: lambda a, b: a != b,
    BPF_JSGT: lambda a, b: signed(a, 64) > signed(b, 64),
    BPF_JSGE: lambda a, b: signed(a, 64) >= signed(b, 64),
    BPF_JLT: lambda a, b: a < b,
    BPF_JLE: lambda a, b: a <= b,
    BPF_JSLT: lambda a, b: signed(a, 64) < signed(b, 64),
    BPF_JSLE: lambda a, b: signed(a, 64) <= signed(b, 64),
}
"""Upper four bits of a BPF_JMP opcode → condition."""

JUMP32: dict[int, Test] = {
    BPF_JEQ: lambda a, b: a & M32 == b & M32,
    BPF_JGT: lambda a, b: a & M32 > b & M32,
    BPF_JGE: lambda a, b: a & M32 >= b & M32,
    BPF_JSET: lambda a, b: bool(a & b & M32),
    BPF_JNE: lambda a, b: a & M32 != b & M32,
    BPF_JSGT: lambda a, b: signed(a, 32) > signed(b, 32),
    BPF_JSGE: lambda a, b: signed(a, 32) >= signed(b, 32),
    BPF_JLT: lambda a, b: a & M32 < b & M32,
    BPF_JLE: lambda a, b: a & M32 <= b & M32,
    BPF_JSLT: lambda a, b: signed(a, 32) < signed(b, 32),
    BPF_JSLE: lambda a, b: signed(a, 32) <= signed(b, 32),
}
"""The same for BPF_JMP32: only the low halves count."""


def swap(value: int, bits: int) -> int:
    """Reverse the bytes of the low `bits`; the rest of the result is zero."""
    return int.from_bytes((value & (1 << bits) - 1).to_bytes(bits // 8, "little"), "big")


def truncate(value: int, bits: int) -> int:
    """Keep the low `bits` (conversion to little endian, which is how this machine counts)."""
    return value & (1 << bits) - 1
