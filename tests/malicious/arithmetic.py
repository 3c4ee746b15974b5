"""Arithmetic at its edges: division by zero and by minus one, shifts beyond the width, byte order, halves."""

from __future__ import annotations

from collections.abc import Iterator

from ebpf.abi.linux import EINVAL
from tests.malicious.case import Case, refused, returns

M32, M64 = (1 << 32) - 1, (1 << 64) - 1
MIN32, MIN64 = 1 << 31, 1 << 63
FOLD = "r1 = r0; r1 >>= 32; r0 ^= r1"  # both halves of r0 in the 32 bits that a program returns


def _folded(value: int) -> int:
    return (value ^ value >> 32) & M32


# Operation, r0 before, r1 → r0 afterwards; `w` are operations on 32 bits.
BINARY: list[tuple[str, int, int, int]] = [
    ("r0 /= r1", 7, 0, 0), ("r0 /= r1", M64, 0, 0), ("w0 /= w1", M64, 0, 0), ("w0 /= w1", M64, 1 << 32, 0),
    ("r0 %= r1", 7, 0, 7), ("r0 %= r1", M64, 0, M64), ("w0 %= w1", M64, 0, M32), ("w0 %= w1", M64, 1 << 32, M32),
    ("r0 s/= r1", 7, 0, 0), ("r0 s/= r1", MIN64, M64, MIN64), ("w0 s/= w1", MIN32, M32, MIN32),
    ("w0 s/= w1", MIN64 | MIN32, M64, MIN32), ("r0 s/= r1", MIN64, 1, MIN64), ("w0 s/= w1", 7, 1 << 32, 0),
    ("r0 s%= r1", MIN64, M64, 0), ("w0 s%= w1", MIN32, M32, 0), ("r0 s%= r1", 7, 0, 7), ("w0 s%= w1", M64, 0, M32),
    ("r0 s%= r1", M64 - 6, 3, M64), ("r0 s%= r1", 7, M64 - 2, 1), ("w0 s%= w1", M32 - 6, 3, M32),
    ("r0 s/= r1", M64 - 6, 2, M64 - 2), ("w0 s/= w1", M32 - 6, 2, M32 - 2),
    ("r0 <<= r1", 1, 64, 1), ("r0 <<= r1", 1, 65, 2), ("r0 <<= r1", 1, M64, MIN64), ("r0 <<= r1", 1, 1 << 32, 1),
    ("w0 <<= w1", 1, 32, 1), ("w0 <<= w1", 1, 33, 2), ("w0 <<= w1", M64, 31, MIN32), ("w0 <<= w1", 1, M64, MIN32),
    ("r0 >>= r1", MIN64, 64, MIN64), ("r0 >>= r1", MIN64, 127, 1), ("w0 >>= w1", M64, 32, M32),
    ("w0 >>= w1", MIN32, 63, 1), ("r0 s>>= r1", MIN64, 64, MIN64), ("r0 s>>= r1", MIN64, 127, M64),
    ("w0 s>>= w1", MIN32, 32, MIN32), ("w0 s>>= w1", MIN32, 63, M32), ("w0 s>>= w1", MIN64 | MIN32, 0, MIN32),
    ("r0 *= r1", M64, M64, 1), ("w0 *= w1", M64, M64, 1), ("r0 *= r1", MIN64, 2, 0), ("w0 += w1", M64, 1, 0),
    ("r0 += r1", M64, 1, 0), ("r0 -= r1", 0, 1, M64), ("w0 -= w1", 0, 1, M32), ("w0 |= w1", MIN64, MIN64 | 1, 1),
    ("w0 &= w1", M64, M64, M32), ("w0 ^= w1", M64, M32, 0), ("w0 = w1", M64, MIN64 | 5, 5),
    ("r0 = (s8)r1", 0, 0x80, M64 - 127), ("r0 = (s16)r1", 0, 0x8000, M64 - 32767),
    ("r0 = (s32)r1", 0, MIN32, M64 - MIN32 + 1),
    ("w0 = (s8)w1", M64, 0x80, M32 - 127), ("w0 = (s16)w1", M64, 0x8000, M32 - 32767), ("r0 = (s8)r1", M64, 0x17F, 127),
]  # fmt: skip
UNARY: list[tuple[str, int, int]] = [
    ("r0 = -r0", MIN64, MIN64), ("w0 = -w0", MIN32, MIN32), ("w0 = -w0", M64, 1), ("r0 = -r0", 0, 0),
    ("w0 = -w0", 1 << 32, 0), ("r0 = le16 r0", 0x1122334455667788, 0x7788), ("r0 = le32 r0", M64, M32),
    ("r0 = le64 r0", M64 - 1, M64 - 1), ("r0 = be16 r0", 0x1122334455667788, 0x8877),
    ("r0 = be32 r0", 0x1122334455667788, 0x88776655), ("r0 = be64 r0", 0x1122334455667788, 0x8877665544332211),
    ("r0 = bswap16 r0", M64 - 0xFF, 0x00FF), ("r0 = bswap32 r0", 0x1122334455667788, 0x88776655),
    ("r0 = bswap64 r0", 0x80, MIN64),
]  # fmt: skip
# With constants that Linux does not take; run as the conformance command does.
CONSTANT: list[tuple[str, int, int]] = [
    (".insn 0x37, 0, 0, 0, 0", 7, 0), (".insn 0x34, 0, 0, 0, 0", M64, 0), (".insn 0x97, 0, 0, 0, 0", 7, 7),
    (".insn 0x94, 0, 0, 0, 0", M64, M32), (".insn 0x37, 0, 0, 1, 0", 7, 0), (".insn 0x97, 0, 0, 1, 0", M64, M64),
    (".insn 0x37, 0, 0, 1, -1", MIN64, MIN64), (".insn 0x34, 0, 0, 1, -1", MIN32, MIN32),
    (".insn 0x97, 0, 0, 1, -1", MIN64, 0), (".insn 0x94, 0, 0, 1, -1", MIN32, 0), (".insn 0x67, 0, 0, 0, 64", 1, 1),
    (".insn 0x67, 0, 0, 0, -1", 1, MIN64), (".insn 0x64, 0, 0, 0, 32", 1, 1), (".insn 0x64, 0, 0, 0, -1", 1, MIN32),
    (".insn 0x77, 0, 0, 0, 1000", MIN64, 1 << 23), (".insn 0x74, 0, 0, 0, 63", MIN32, 1),
    (".insn 0xc7, 0, 0, 0, 127", MIN64, M64), (".insn 0xc4, 0, 0, 0, -1", MIN32, M32),
    (".insn 0x07, 0, 0, 0, -1", 0, M64), (".insn 0x04, 0, 0, 0, -1", 0, M32), (".insn 0x5f, 0, 0, 0, 0", 6, 6),
]  # fmt: skip
# Condition, r1, r2 → whether it holds.
CONDITIONS: list[tuple[str, int, int, bool]] = [
    ("if r1 s> r2", MIN64, 0, False), ("if r1 > r2", MIN64, 0, True), ("if w1 s> w2", MIN32, 0, False),
    ("if w1 > w2", MIN64, 0, False), ("if w1 == w2", 1 << 32, 0, True), ("if w1 & w2", MIN64, M64, False),
    ("if r1 & r2", MIN64, M64, True), ("if r1 s< r2", M64, 0, True), ("if w1 s< w2", MIN32, MIN64 | 1, True),
    ("if r1 s<= r2", MIN64, MIN64, True), ("if w1 s>= w2", M32, 0, False), ("if r1 < r2", M64, 0, False),
]  # fmt: skip
FINE_HALVES = {
    "largest constant": (_folded(0x7FFFFFFFFFFFFFFF), f"r0 = 0x7fffffffffffffff ll; {FOLD}; exit"),
    "constant with its sign in the low half": (0x80000001, f"r0 = 0x180000000 ll; {FOLD}; exit"),
    "jump behind a constant": (0, "r0 = 0; if r0 == 0 goto on; r1 = 5 ll; on: exit"),
    "constants in a loop": (50, """
        r0 = 0; r2 = 0; again: r1 = 0x100000005 ll; w1 = w1; r0 += r1; r2 += 1; if r2 != 10 goto again; exit"""),
}  # fmt: skip


def _cases() -> Iterator[Case]:
    for text, a, b, result in BINARY:
        code = f"r0 = {a:#x} ll; r1 = {b:#x} ll; {text}; {FOLD}; exit"
        yield from returns({f"{text} with {a:#x} and {b:#x}": (_folded(result), code)})
    for text, a, result in UNARY:
        yield from returns({f"{text} with {a:#x}": (_folded(result), f"r0 = {a:#x} ll; {text}; {FOLD}; exit")})
    for text, a, result in CONSTANT:
        code = f"r0 = {a:#x} ll; {text}; {FOLD}; exit"
        yield from returns({f"{text} with {a:#x}": (_folded(result), code)}, bare=True)
    for text, a, b, holds in CONDITIONS:
        code = f"r1 = {a:#x} ll; r2 = {b:#x} ll; r0 = 1; {text} goto out; r0 = 0; out: exit"
        yield from returns({f"{text} with {a:#x} and {b:#x}": (int(holds), code)})


REFUSED = {
    "division by a constant zero": ".insn 0x37, 0, 0, 0, 0; exit",
    "modulo a constant zero of 32 bits": ".insn 0x94, 0, 0, 0, 0; exit",
    "signed division by a constant zero": ".insn 0x37, 0, 0, 1, 0; exit",
    "shift by a constant 64": ".insn 0x67, 0, 0, 0, 64; exit",
    "shift by a constant 32 of 32 bits": ".insn 0x74, 0, 0, 0, 32; exit",
    "shift by a constant -1": ".insn 0xc7, 0, 0, 0, -1; exit",
    "byte order of 8 bits": ".insn 0xd4, 0, 0, 0, 8; exit",
    "byte order of 128 bits": ".insn 0xdc, 0, 0, 0, 128; exit",
    "swap with an offset": ".insn 0xd7, 0, 0, 1, 16; exit",
    "extension from 7 bits": ".insn 0xbf, 0, 1, 7, 0; exit",
    "extension from 32 bits in 32": ".insn 0xbc, 0, 1, 32, 0; exit",
    "addition with an offset": ".insn 0x07, 0, 0, 1, 5; exit",
    "division with offset 2": ".insn 0x3f, 0, 1, 2, 0; exit",
    "register 11": ".insn 0xb7, 11, 0, 0, 0; exit",
    "register 15 as the source": "r0 = 0; .insn 0xbf, 0, 15, 0, 0; exit",
    "unknown operation": "r0 = 0; .insn 0xef, 0, 0, 0, 0; exit",
    "unknown class": "r0 = 0; .insn 0xf8, 0, 0, 0, 0; exit",
    "negation of a constant": ".insn 0x8f, 0, 1, 0, 0; exit",
}

CASES: list[Case] = [*_cases(), *returns(FINE_HALVES), *refused(EINVAL, REFUSED)]
