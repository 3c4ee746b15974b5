"""Loads, stores, 64-bit immediates and atomic operations (RFC 9669, sections 5.1 to 5.4)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.isa.case import LOAD_OPERANDS, M32, M64, Case, program, slot, unique, wide, words

W, H, B, DW = 0x00, 0x08, 0x10, 0x18
SIZES = {1: B, 2: H, 4: W, 8: DW}
BYTES = bytes.fromhex("8091a2b3c4d5e6f7 7f6e5d4c3b2a1908")

# offset, size, zero-extended, sign-extended
LOADS = [
    (0, 1, 0x80, 0xFFFFFFFF_FFFFFF80), (1, 1, 0x91, 0xFFFFFFFF_FFFFFF91), (8, 1, 0x7F, 0x7F), (15, 1, 0x08, 0x08),
    (0, 2, 0x9180, 0xFFFFFFFF_FFFF9180), (6, 2, 0xF7E6, 0xFFFFFFFF_FFFFF7E6), (8, 2, 0x6E7F, 0x6E7F),
    (0, 4, 0xB3A29180, 0xFFFFFFFF_B3A29180), (4, 4, 0xF7E6D5C4, 0xFFFFFFFF_F7E6D5C4), (8, 4, 0x4C5D6E7F, 0x4C5D6E7F),
    (0, 8, 0xF7E6D5C4_B3A29180, None), (8, 8, 0x08192A3B_4C5D6E7F, None),
    (1, 2, 0xA291, 0xFFFFFFFF_FFFFA291), (3, 4, 0xE6D5C4B3, 0xFFFFFFFF_E6D5C4B3), (5, 8, 0x3B4C5D6E_7FF7E6D5, None),
]  # fmt: skip


def _loads() -> Iterator[Case]:
    for off, size, unsigned, signed in LOADS:
        aligned = off % size == 0
        code = program(slot(0x61 | SIZES[size], 0, 1, off))
        yield Case(f"ldx{size}-{off}", code, unsigned, BYTES, aligned)
        if signed is not None:
            code = program(slot(0x81 | SIZES[size], 0, 1, off))
            yield Case(f"ldxs{size}-{off}", code, signed, BYTES, aligned)
        # from behind, with a negative offset
        code = program(slot(0x07, 1, imm=16), slot(0x61 | SIZES[size], 0, 1, off - 16))
        yield Case(f"ldx{size}-{off}-negative", code, unsigned, BYTES, kernel=False)
    yield Case("ldx-over-itself", program(slot(0x79, 1, 1, 8), slot(0xBF, 0, 1)), 0x08192A3B_4C5D6E7F, BYTES)
    yield Case("length", program(slot(0xBF, 0, 2)), 16, BYTES, kernel=False)
    yield Case("no-memory", program(slot(0xBF, 0, 1), slot(0x4F, 0, 2)), 0, kernel=False)


def _stores() -> Iterator[Case]:
    fill = slot(0x7A, 10, 0, -8, 0)
    value = 0x0123456789ABCDEF
    rows = [
        (1, 0, 0xEF), (1, 3, 0xEF000000), (1, 7, 0xEF000000_00000000), (2, 0, 0xCDEF), (2, 6, 0xCDEF0000_00000000),
        (4, 0, 0x89ABCDEF), (4, 4, 0x89ABCDEF_00000000), (8, 0, value),
    ]  # fmt: skip
    for size, off, expected in rows:
        put = slot(0x63 | SIZES[size], 10, 3, off - 8)
        yield Case(f"stx{size}-{off}", program(fill, wide(3, value), put, slot(0x79, 0, 10, -8)), expected)
        # through r1 (the context of a kernel program may be written)
        code = program(wide(3, value), slot(0x63 | SIZES[size], 1, 3, off), slot(0x79, 0, 1, 0))
        yield Case(f"stx{size}-{off}-memory", code, expected, bytes(8))
    constants = [
        (1, 0x12, 0x12), (1, 0xFFFFFFFF, 0xFF), (2, 0x1234, 0x1234), (2, 0xFFFFFFFE, 0xFFFE),
        (4, 0x12345678, 0x12345678),
        (4, 0xFFFFFFFF, 0xFFFFFFFF), (8, 0x12345678, 0x12345678), (8, 0xFFFFFFFF, M64),
        (8, 0x80000000, 0xFFFFFFFF_80000000),
    ]  # fmt: skip
    for size, imm, expected in constants:
        put = slot(0x62 | SIZES[size], 10, 0, -8, imm)
        yield Case(f"st{size}-{imm:#x}", program(fill, put, slot(0x79, 0, 10, -8)), expected)
    whole = slot(0x7A, 10, 0, -512, 42) + slot(0x79, 0, 10, -512)
    yield Case("stack-bottom", program(whole), 42)
    misaligned = program(wide(3, value), slot(0x63, 10, 3, -7), slot(0x61, 0, 10, -7))
    yield Case("stack-misaligned", misaligned, 0x89ABCDEF, kernel=False)


def _immediates() -> Iterator[Case]:
    for value in (0, 1, 0x7FFFFFFF, 0x80000000, M32, 0x1_0000_0000, 1 << 63, M64, 0x1122334455667788, M64 << 32 & M64):
        yield Case(f"lddw-{value:#x}", program(wide(0, value)), value)
    yield Case("lddw-jumped-over", program(slot(0xB7, 0, imm=1), slot(0x05, off=2), wide(0, 2)), 1, kernel=False)
    code = program(slot(0xB7, 0), slot(0x15, 2, 0, 3, 99), wide(0, 5), slot(0x05, off=0))
    yield Case("lddw-branch", code, 5, kernel=False)


# name, imm, bits, memory before, src (and r0 for cmpxchg), memory after, what fetch returns
ATOMICS = [
    ("add", 0x00, 64, 5, 7, 12), ("add", 0x00, 64, M64, 1, 0), ("add", 0x00, 64, M32, 1, 0x1_0000_0000),
    ("add", 0x00, 32, 5, 7, 12), ("add", 0x00, 32, M64, 1, 0xFFFFFFFF_00000000),
    ("add", 0x00, 32, M32, M64, 0xFFFFFFFE),
    ("or", 0x40, 64, 0xF0, 0x0F, 0xFF), ("or", 0x40, 64, 0, M64, M64), ("or", 0x40, 32, 0, M64, M32),
    ("or", 0x40, 32, 0x5_00000001, 0x7_00000002, 0x5_00000003),
    ("and", 0x50, 64, 0xFF, 0x0F, 0x0F), ("and", 0x50, 64, M64, 1 << 63, 1 << 63),
    ("and", 0x50, 32, M64, 0, 0xFFFFFFFF_00000000),
    ("and", 0x50, 32, M64, 0x7_0000000F, 0xFFFFFFFF_0000000F),
    ("xor", 0xA0, 64, 0xFF, 0x0F, 0xF0), ("xor", 0xA0, 64, M64, M64, 0),
    ("xor", 0xA0, 32, M64, M64, 0xFFFFFFFF_00000000),
    ("xor", 0xA0, 32, 0x3_00000001, 0x3_00000003, 0x3_00000002),
    ("xchg", 0xE1, 64, 5, 7, 7), ("xchg", 0xE1, 64, M64, 0, 0),
    ("xchg", 0xE1, 32, M64, 0x3_00000009, 0xFFFFFFFF_00000009),
]  # fmt: skip


def atomic(imm: int, bits: int, dst: int, src: int, off: int) -> bytes:
    """Encode an atomic operation."""
    return slot(0xDB if bits == 64 else 0xC3, dst, src, off, imm)


def _atomics() -> Iterator[Case]:
    setup = LOAD_OPERANDS + slot(0x7B, 10, 0, -8)
    memory, fetched = slot(0x79, 0, 10, -8), slot(0xBF, 0, 3)
    for name, imm, bits, before, src, after in ATOMICS:
        mask = (1 << bits) - 1
        label = f"{name}{bits}-{before:#x}-{src:#x}"
        for fetch in (0, 1) if imm != 0xE1 else (0,):
            operation = atomic(imm | fetch, bits, 10, 3, -8)
            yield Case(f"{label}-{fetch}", program(setup, operation, memory), after, words(before, src))
            returned = before & mask if imm | fetch == imm | 1 else src
            yield Case(f"{label}-{fetch}-src", program(setup, operation, fetched), returned, words(before, src))
    # In the upper word of a double word, the lower stays.
    code = program(setup, atomic(0x00, 32, 10, 3, -4), memory)
    yield Case("add32-upper", code, 0x6_00000007, words(0x5_00000007, 1))


def _compare_exchange() -> Iterator[Case]:
    rows = [
        # bits, memory, r0, src, memory after, r0 after
        (64, 5, 5, 9, 9, 5), (64, 5, 6, 9, 5, 5), (64, M64, M64, 0, 0, M64),
        (64, 0x1_00000005, 5, 9, 0x1_00000005, 0x1_00000005),
        (32, 5, 5, 9, 9, 5), (32, 5, 6, 9, 5, 5), (32, 0x7_00000005, 5, 9, 0x7_00000009, 5),
        (32, 5, 0x1_00000005, 9, 9, 5), (32, M64, 0, 9, M64, M32),
        (32, M64, M64, 0x1_00000009, 0xFFFFFFFF_00000009, M32),
    ]  # fmt: skip
    setup = slot(0x79, 4, 1, 0) + slot(0x7B, 10, 4, -8) + slot(0x79, 0, 1, 8) + slot(0x79, 3, 1, 16)
    for bits, before, expected, new, after, returned in rows:
        operation = atomic(0xF1, bits, 10, 3, -8)
        memory = words(before, expected, new)
        name = f"cmpxchg{bits}-{before:#x}-{expected:#x}"
        yield Case(f"{name}-memory", program(setup, operation, slot(0x79, 0, 10, -8)), after, memory)
        yield Case(f"{name}-r0", program(setup, operation), returned, memory)


def _ordered() -> Iterator[Case]:
    value = 0xF7E6D5C4B3A29180
    setup = LOAD_OPERANDS + slot(0x7B, 10, 0, -8)
    for size, bits in SIZES.items():
        acquire = slot(0xC3 | bits, 0, 10, -8, 0x100)
        yield Case(f"load-acquire{size}", program(setup, acquire), value & (1 << 8 * size) - 1, words(value, 0))
        release = slot(0xC3 | bits, 10, 3, -8, 0x110)
        mask = (1 << 8 * size) - 1
        expected = value & ~mask | 0x1122334455667788 & mask
        code = program(setup, release, slot(0x79, 0, 10, -8))
        yield Case(f"store-release{size}", code, expected, words(value, 0x1122334455667788))


CASES = unique([*_loads(), *_stores(), *_immediates(), *_atomics(), *_compare_exchange(), *_ordered()])
