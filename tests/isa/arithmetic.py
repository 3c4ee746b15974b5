"""Arithmetic on 32 and 64 bits (RFC 9669, section 4.1). Results are written out by hand."""

from __future__ import annotations

from collections.abc import Iterator

from tests.isa.case import LOAD_OPERANDS, M32, M64, Case, program, slot, unique, words

OPCODES = {
    "add": 0x00, "sub": 0x10, "mul": 0x20, "div": 0x30, "or": 0x40, "and": 0x50, "lsh": 0x60, "rsh": 0x70,
    "mod": 0x90, "xor": 0xA0, "mov": 0xB0, "arsh": 0xC0, "sdiv": 0x30, "smod": 0x90,
}  # fmt: skip
MIN64, MAX64 = 1 << 63, (1 << 63) - 1
MIN32, MAX32 = 1 << 31, (1 << 31) - 1
HIGH = 0xAAAAAAAA_00000000

# (operation and width, dst, src, result). A src that a signed 32-bit immediate can express is tested as one, too.
ROWS: list[tuple[str, int, int, int]] = [
    ("add64", 0, 0, 0), ("add64", 1, 2, 3), ("add64", M64, 1, 0), ("add64", MAX64, 1, MIN64),
    ("add64", M32, 1, 0x1_0000_0000), ("add64", 5, M64, 4), ("add64", 0, MAX32, MAX32),
    ("add64", 0, 0xFFFFFFFF_80000000, 0xFFFFFFFF_80000000), ("add64", HIGH, HIGH, 0x55555554_00000000),
    ("add32", 1, 2, 3), ("add32", M32, 1, 0), ("add32", MAX32, 1, MIN32), ("add32", HIGH | 5, HIGH | 6, 11),
    ("add32", 5, M64, 4), ("add32", M64, M64, 0xFFFFFFFE), ("add32", HIGH, 0, 0),
    ("sub64", 5, 3, 2), ("sub64", 3, 5, M64 - 1), ("sub64", 0, 1, M64), ("sub64", MIN64, 1, MAX64),
    ("sub64", 0x1_0000_0000, 1, M32), ("sub64", 0, M64, 1), ("sub64", 0, MIN64, MIN64),
    ("sub32", 5, 3, 2), ("sub32", 3, 5, 0xFFFFFFFE), ("sub32", MIN32, 1, MAX32), ("sub32", HIGH | 7, HIGH | 7, 0),
    ("sub32", 0, 1, M32), ("sub32", 0x1_0000_0000, 1, M32),
    ("mul64", 6, 7, 42), ("mul64", M64, M64, 1), ("mul64", MIN64, 2, 0), ("mul64", 3, M64, M64 - 2),
    ("mul64", 0x1_0000_0001, 0x1_0000_0001, 0x2_0000_0001), ("mul64", MAX64, MAX64, 1),
    ("mul64", M32, M32, 0xFFFFFFFE_00000001), ("mul64", 2, MAX32, 0xFFFFFFFE),
    ("mul32", 6, 7, 42), ("mul32", M32, M32, 1), ("mul32", MIN32, 2, 0), ("mul32", 0x10000, 0x10000, 0),
    ("mul32", HIGH | 3, HIGH | 4, 12), ("mul32", 3, M64, 0xFFFFFFFD), ("mul32", 0x40000001, 4, 4),
    ("div64", 42, 6, 7), ("div64", 43, 6, 7), ("div64", M64, 2, MAX64), ("div64", 7, 0, 0), ("div64", 0, 5, 0),
    ("div64", M64, M64, 1), ("div64", 5, M64, 0), ("div64", MIN64, M64, 0), ("div64", MIN64, 3, 0x2AAAAAAAAAAAAAAA),
    ("div64", 0x1_0000_0000, MAX32, 2), ("div64", M64, 0xFFFFFFFF_80000000, 1),
    ("div32", 42, 6, 7), ("div32", HIGH | 42, 6, 7), ("div32", M64, 2, MAX32), ("div32", 7, 0, 0),
    ("div32", 7, HIGH, 0), ("div32", MIN32, M64, 0), ("div32", M32, M64, 1), ("div32", HIGH | 100, HIGH | 7, 14),
    ("mod64", 43, 6, 1), ("mod64", 42, 6, 0), ("mod64", 43, 0, 43), ("mod64", M64, 0, M64), ("mod64", M64, 10, 5),
    ("mod64", 5, M64, 5), ("mod64", MIN64, M64, MIN64), ("mod64", HIGH | 7, 0, HIGH | 7),
    ("mod64", MIN64, 10, 8),
    ("mod32", 43, 6, 1), ("mod32", HIGH | 43, 6, 1), ("mod32", HIGH | 43, 0, 43), ("mod32", M64, 0, M32),
    ("mod32", 43, HIGH, 43), ("mod32", M64, 10, 5), ("mod32", 5, M64, 5), ("mod32", MIN32, 10, 8),
    ("sdiv64", 42, 6, 7), ("sdiv64", M64 - 41, 6, M64 - 6), ("sdiv64", 42, M64 - 5, M64 - 6),
    ("sdiv64", M64 - 41, M64 - 5, 7), ("sdiv64", 7, 0, 0), ("sdiv64", MIN64, M64, MIN64),
    ("sdiv64", M64 - 6, 2, M64 - 2),
    ("sdiv64", 7, M64 - 1, M64 - 2), ("sdiv64", MIN64, 1, MIN64), ("sdiv64", MAX64, M64, MIN64 + 1),
    ("sdiv64", 0, M64, 0),
    ("sdiv64", 1, 2, 0), ("sdiv64", M64, 2, 0), ("sdiv64", MIN64, MIN64, 1), ("sdiv64", MIN64, 0, 0),
    ("sdiv32", 42, 6, 7), ("sdiv32", 0xFFFFFFD6, 6, 0xFFFFFFF9), ("sdiv32", 42, M64 - 5, 0xFFFFFFF9),
    ("sdiv32", MIN32, M64, MIN32), ("sdiv32", MIN32, M32, MIN32), ("sdiv32", 7, 0, 0), ("sdiv32", HIGH | 7, 2, 3),
    ("sdiv32", 0xFFFFFFF9, 2, 0xFFFFFFFD), ("sdiv32", HIGH | 42, HIGH | 6, 7), ("sdiv32", M64, 2, 0),
    ("smod64", 43, 6, 1), ("smod64", M64 - 42, 6, M64), ("smod64", 43, M64 - 5, 1),
    ("smod64", M64 - 42, M64 - 5, M64),
    ("smod64", 43, 0, 43), ("smod64", MIN64, M64, 0), ("smod64", M64, 0, M64), ("smod64", M64 - 6, 4, M64 - 2),
    ("smod64", MIN64, 10, M64 - 7), ("smod64", 5, MIN64, 5),
    ("smod32", 43, 6, 1), ("smod32", 0xFFFFFFD5, 6, M32), ("smod32", 43, M64 - 5, 1), ("smod32", MIN32, M64, 0),
    ("smod32", HIGH | 43, 0, 43), ("smod32", M64, 0, M32), ("smod32", 0xFFFFFFF9, 4, 0xFFFFFFFD),
    ("smod32", MIN32, 10, 0xFFFFFFF8), ("smod32", 43, HIGH, 43),
    ("or64", 0x0F, 0xF0, 0xFF), ("or64", HIGH, 1, HIGH | 1), ("or64", 0, M64, M64),
    ("or64", 0, 0xFFFFFFFF_80000000, 0xFFFFFFFF_80000000), ("or64", 0x55, 0xAA, 0xFF),
    ("or32", HIGH | 0x0F, 0xF0, 0xFF), ("or32", 0, M64, M32), ("or32", HIGH, HIGH, 0), ("or32", 0, MIN32, MIN32),
    ("and64", 0xFF, 0x0F, 0x0F), ("and64", M64, 0xFFFFFFFF_80000000, 0xFFFFFFFF_80000000),
    ("and64", M64, MAX32, MAX32),
    ("and64", HIGH | 7, M64, HIGH | 7), ("and64", 0xF0, 0x0F, 0),
    ("and32", HIGH | 0xFF, HIGH | 0x0F, 0x0F), ("and32", M64, M64, M32), ("and32", M64, 0xFFFFFFFF_80000000, MIN32),
    ("xor64", 0xFF, 0x0F, 0xF0), ("xor64", M64, M64, 0), ("xor64", 0, M64, M64), ("xor64", HIGH, 1, HIGH | 1),
    ("xor64", 5, 0xFFFFFFFF_80000000, 0xFFFFFFFF_80000005),
    ("xor32", HIGH | 0xFF, 0x0F, 0xF0), ("xor32", 0, M64, M32), ("xor32", M64, M64, 0), ("xor32", HIGH, 0, 0),
    ("lsh64", 1, 0, 1), ("lsh64", 1, 1, 2), ("lsh64", 1, 31, MIN32), ("lsh64", 1, 32, 0x1_0000_0000),
    ("lsh64", 1, 63, MIN64), ("lsh64", M64, 4, M64 - 15), ("lsh64", 1, 64, 1), ("lsh64", 1, 65, 2),
    ("lsh64", 1, M64, MIN64), ("lsh64", 3, 63, MIN64), ("lsh64", 1, 0xFFFFFFFF_80000000, 1),
    ("lsh32", 1, 0, 1), ("lsh32", 1, 31, MIN32), ("lsh32", 3, 31, MIN32), ("lsh32", HIGH | 1, 4, 16),
    ("lsh32", 1, 32, 1), ("lsh32", 1, 33, 2), ("lsh32", 1, M64, MIN32), ("lsh32", M64, 4, 0xFFFFFFF0),
    ("rsh64", 2, 1, 1), ("rsh64", M64, 63, 1), ("rsh64", M64, 32, M32), ("rsh64", MIN64, 0, MIN64),
    ("rsh64", MIN64, 64, MIN64), ("rsh64", MIN64, 65, 1 << 62), ("rsh64", M64, M64, 1),
    ("rsh64", HIGH, 31, 0x155555554),
    ("rsh32", 2, 1, 1), ("rsh32", M64, 31, 1), ("rsh32", HIGH | 8, 3, 1), ("rsh32", HIGH, 4, 0),
    ("rsh32", M64, 32, M32),
    ("rsh32", 4, 33, 2), ("rsh32", M64, M64, 1), ("rsh32", MIN32, 4, 0x08000000),
    ("arsh64", M64, 1, M64), ("arsh64", MIN64, 63, M64), ("arsh64", MIN64, 1, 0xC0000000_00000000),
    ("arsh64", MAX64, 62, 1), ("arsh64", MIN32, 4, 0x08000000), ("arsh64", MIN64, 64, MIN64),
    ("arsh64", M64 - 15, 2, M64 - 3), ("arsh64", MIN64, M64, M64), ("arsh64", 16, 2, 4),
    ("arsh32", M32, 1, M32), ("arsh32", MIN32, 31, M32), ("arsh32", MIN32, 1, 0xC0000000), ("arsh32", MAX32, 30, 1),
    ("arsh32", HIGH | 16, 2, 4), ("arsh32", MIN32, 32, MIN32), ("arsh32", MIN32, 33, 0xC0000000),
    ("arsh32", 0x7FFFFFFF_80000000, 4, 0xF8000000), ("arsh32", MIN32, M64, M32),
    ("mov64", 7, 5, 5), ("mov64", 7, M64, M64), ("mov64", 7, MAX32, MAX32),
    ("mov64", 7, 0xFFFFFFFF_80000000, 0xFFFFFFFF_80000000), ("mov64", 0, HIGH | 9, HIGH | 9), ("mov64", M64, 0, 0),
    ("mov32", M64, 5, 5), ("mov32", 7, M64, M32), ("mov32", 0, HIGH | 9, 9), ("mov32", M64, 0, 0),
    ("mov32", 0, 0xFFFFFFFF_80000000, MIN32),
]  # fmt: skip


def encode(name: str, *, source: bool, dst: int = 0, src: int = 3, imm: int = 0) -> bytes:
    """Encode the operation `name` ("sdiv32") with a register or an immediate."""
    operation, width = name[:-2], name[-2:]
    opcode = OPCODES[operation] | (7 if width == "64" else 4) | (8 if source else 0)
    off = 1 if operation in ("sdiv", "smod") else 0
    return slot(opcode, dst, src if source else 0, off, 0 if source else imm)


def immediate(value: int) -> int | None:
    """Return the immediate that becomes `value` in a register, if there is one."""
    return value & M32 if value <= MAX32 or value >= M64 - MAX32 else None


def refused(name: str, imm: int) -> bool:
    """Tell whether Linux refuses the immediate: division by zero, shift count beyond the width."""
    if name[:-2] in ("div", "mod", "sdiv", "smod"):
        return imm == 0
    return name[:-2] in ("lsh", "rsh", "arsh") and imm >= int(name[-2:])


def case(name: str, a: int, b: int, expected: int, *, source: bool) -> Case:
    """Return the case `a = a OP b`, with b in a register or as the immediate."""
    imm = 0 if source else immediate(b) or 0
    code = program(LOAD_OPERANDS, encode(name, source=source, imm=imm))
    form = "reg" if source else "imm"
    kernel = source or not refused(name, imm)
    return Case(f"{name}-{form}-{a:#x}-{b:#x}", code, expected, words(a, b), kernel)


def _cases() -> Iterator[Case]:
    for name, a, b, expected in ROWS:
        yield case(name, a, b, expected, source=True)
        if immediate(b) is not None:
            yield case(name, a, b, expected, source=False)


def _unary() -> Iterator[Case]:
    for a, expected in [(0, 0), (1, M64), (M64, 1), (MIN64, MIN64), (MAX64, MIN64 + 1), (HIGH, 0x55555556_00000000)]:
        yield Case(f"neg64-{a:#x}", program(LOAD_OPERANDS, slot(0x87)), expected, words(a, 0))
    for a, expected in [(0, 0), (1, M32), (M64, 1), (MIN32, MIN32), (HIGH | 1, M32), (HIGH, 0), (MAX32, MIN32 + 1)]:
        yield Case(f"neg32-{a:#x}", program(LOAD_OPERANDS, slot(0x84)), expected, words(a, 0))


def _extensions() -> Iterator[Case]:
    rows = [
        (0xBF, 8, 0x7F, 0x7F), (0xBF, 8, 0x80, M64 - 0x7F), (0xBF, 8, 0x1FF, M64), (0xBF, 8, HIGH, 0),
        (0xBF, 16, 0x7FFF, 0x7FFF), (0xBF, 16, 0x8000, M64 - 0x7FFF), (0xBF, 16, 0x12340001, 1),
        (0xBF, 32, MAX32, MAX32), (0xBF, 32, MIN32, 0xFFFFFFFF_80000000), (0xBF, 32, HIGH | 1, 1),
        (0xBF, 32, M32, M64),
        (0xBC, 8, 0x7F, 0x7F), (0xBC, 8, 0x80, 0xFFFFFF80), (0xBC, 8, M64, M32), (0xBC, 8, HIGH | 0x80, 0xFFFFFF80),
        (0xBC, 16, 0x7FFF, 0x7FFF), (0xBC, 16, 0x8000, 0xFFFF8000), (0xBC, 16, HIGH | 0xFFFF, M32),
        (0xBC, 16, 0x10000, 0),
    ]  # fmt: skip
    for opcode, bits, a, expected in rows:
        width = 64 if opcode == 0xBF else 32
        code = program(LOAD_OPERANDS, slot(opcode, 0, 0, bits))
        yield Case(f"movsx{bits}-{width}-{a:#x}", code, expected, words(a, 0))


def _swaps() -> Iterator[Case]:
    value = 0x0123456789ABCDEF
    rows = [
        ("le", 0xD4, 16, 0xCDEF), ("le", 0xD4, 32, 0x89ABCDEF), ("le", 0xD4, 64, value),
        ("be", 0xDC, 16, 0xEFCD), ("be", 0xDC, 32, 0xEFCDAB89), ("be", 0xDC, 64, 0xEFCDAB8967452301),
        ("bswap", 0xD7, 16, 0xEFCD), ("bswap", 0xD7, 32, 0xEFCDAB89), ("bswap", 0xD7, 64, 0xEFCDAB8967452301),
    ]  # fmt: skip
    for name, opcode, bits, expected in rows:
        yield Case(f"{name}{bits}", program(LOAD_OPERANDS, slot(opcode, imm=bits)), expected, words(value, 0))
    for name, opcode in [("be", 0xDC), ("bswap", 0xD7)]:
        for bits in (16, 32, 64):
            code = program(LOAD_OPERANDS, slot(opcode, imm=bits))
            yield Case(f"{name}{bits}-one", code, 1 << bits - 8, words(1, 0))
            yield Case(f"{name}{bits}-ones", code, (1 << bits) - 1, words(M64, 0))


def _aliases() -> Iterator[Case]:
    # dst and src the same register.
    rows = [
        ("add64", 14),
        ("sub64", 0),
        ("mul64", 49),
        ("div64", 1),
        ("mod64", 0),
        ("xor32", 0),
        ("lsh64", 896),
    ]
    for name, expected in rows:
        yield Case(f"{name}-self", program(LOAD_OPERANDS, encode(name, source=True, src=0)), expected, words(7, 0))


CASES = unique([*_cases(), *_unary(), *_extensions(), *_swaps(), *_aliases()])
