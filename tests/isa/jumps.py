"""Jumps (RFC 9669, section 4.3): every condition, width and kind of operand, taken and not."""

from __future__ import annotations

from collections.abc import Iterator

from tests.isa.arithmetic import HIGH, MAX32, MIN32, MIN64, immediate
from tests.isa.case import LOAD_OPERANDS, M32, M64, Case, program, slot, unique, words

CONDITIONS = {
    "jeq": 0x10, "jgt": 0x20, "jge": 0x30, "jset": 0x40, "jne": 0x50, "jsgt": 0x60, "jsge": 0x70,
    "jlt": 0xA0, "jle": 0xB0, "jslt": 0xC0, "jsle": 0xD0,
}  # fmt: skip

# For each pair of operands the conditions that hold, on 64 bits and on the low 32.
EQUAL = "jeq jge jle jsge jsle"
LESS = "jne jlt jle jslt jsle"
GREATER = "jne jgt jge jsgt jsge"
BELOW = "jne jlt jle jsgt jsge"  # less as unsigned, greater as signed numbers
ABOVE = "jne jgt jge jslt jsle"
ROWS: list[tuple[int, int, str, str]] = [
    (0, 0, EQUAL, EQUAL),
    (5, 5, EQUAL + " jset", EQUAL + " jset"),
    (3, 5, LESS + " jset", LESS + " jset"),
    (5, 3, GREATER + " jset", GREATER + " jset"),
    (4, 3, GREATER, GREATER),
    (8, 7, GREATER, GREATER),
    (0, M64, BELOW, BELOW),
    (1, M64, BELOW + " jset", BELOW + " jset"),
    (M64, 1, ABOVE + " jset", ABOVE + " jset"),
    (M64, M64, EQUAL + " jset", EQUAL + " jset"),
    (M64 - 1, M64, LESS + " jset", LESS + " jset"),
    (M64, M64 - 1, GREATER + " jset", GREATER + " jset"),
    (M32, M64, BELOW + " jset", EQUAL + " jset"),
    (M64, M32, ABOVE + " jset", EQUAL + " jset"),
    (M32, 0, GREATER, ABOVE),
    (MIN32, MAX32, GREATER, ABOVE),
    (MAX32, MIN32, LESS, BELOW),
    (MIN32, 0xFFFFFFFF_80000000, BELOW + " jset", EQUAL + " jset"),
    (0xFFFFFFFF_80000000, 0xFFFFFFFF_80000000, EQUAL + " jset", EQUAL + " jset"),
    (MIN64, 0, ABOVE, EQUAL),
    (0, MIN64, BELOW, EQUAL),
    (MIN64, MIN64 - 1, ABOVE, BELOW),
    (HIGH | 5, 5, ABOVE + " jset", EQUAL + " jset"),
    (5, HIGH | 5, BELOW + " jset", EQUAL + " jset"),
    (HIGH | 3, 5, ABOVE + " jset", LESS + " jset"),
    (0x1_0000_0000, 0, GREATER, EQUAL),
    (0x1_0000_0000, 1, GREATER, LESS),
    (0xFFFFFFFE, 1, GREATER, ABOVE),
    (MAX32, MAX32, EQUAL + " jset", EQUAL + " jset"),
]  # fmt: skip


def branch(condition: str, *, wide: bool, source: bool, imm: int = 0, off: int = 1) -> bytes:
    """Encode a conditional jump of r0 with r3 or an immediate."""
    opcode = CONDITIONS[condition] | (5 if wide else 6) | (8 if source else 0)
    return slot(opcode, 0, 3 if source else 0, off, 0 if source else imm)


def tested(jump: bytes) -> bytes:
    """Return 1 where the jump is taken, 0 where it is not."""
    return program(LOAD_OPERANDS, slot(0xB7, 4, imm=1), jump, slot(0xB7, 4, imm=0), slot(0xBF, 0, 4))


def _conditions() -> Iterator[Case]:
    for a, b, holds64, holds32 in ROWS:
        for condition in CONDITIONS:
            for wide, holds in ((True, holds64), (False, holds32)):
                name = f"{condition}{'' if wide else '32'}-{a:#x}-{b:#x}"
                expected = int(condition in holds.split())
                yield Case(f"{name}-reg", tested(branch(condition, wide=wide, source=True)), expected, words(a, b))
                imm = immediate(b)
                if imm is not None:
                    jump = branch(condition, wide=wide, source=False, imm=imm)
                    yield Case(f"{name}-imm", tested(jump), expected, words(a, b))


def _unconditional() -> Iterator[Case]:
    one, two = slot(0xB7, 0, imm=1), slot(0xB7, 0, imm=2)
    yield Case("ja-over", program(one, slot(0x05, off=1), two, slot(0x05, off=0)), 1, kernel=False)
    yield Case("ja32-over", program(one, slot(0x06, imm=1), two, slot(0x06, imm=0)), 1, kernel=False)
    # goto the end, which goes back to the middle
    for name, forth, back in [
        ("ja", slot(0x05, off=2), slot(0x05, off=-3)),
        ("ja32", slot(0x06, imm=2), slot(0x06, imm=-3 & M32)),
    ]:
        yield Case(f"{name}-back", one + forth + two + slot(0x95) + back, 2)
    yield Case("ja-far", one + slot(0x05, off=0x7000) + two * 0x7000 + slot(0x95), 1, kernel=False)
    yield Case("ja32-far", one + slot(0x06, imm=0x9000) + two * 0x9000 + slot(0x95), 1, kernel=False)
    # a loop that adds 1 to 10
    loop = slot(0x0F, 0, 3) + slot(0x07, 3, imm=-1 & M32) + slot(0x55, 3, off=-3)
    yield Case("loop", program(slot(0xB7, 0), slot(0xB7, 3, imm=10), loop), 55)
    # may_goto stays in a loop that ends by itself
    may = slot(0x07, 0, imm=1) + slot(0xE5, off=1) + slot(0xA5, 0, off=-3, imm=7)
    yield Case("may-goto", program(slot(0xB7, 0), may), 7)


CASES = unique([*_conditions(), *_unconditional()])
