"""Calls (RFC 9669, section 4.3.1) of functions of the program, and of the conformance protocol's helpers."""

from __future__ import annotations

from collections.abc import Iterator

from tests.isa.case import EXIT, M64, Case, program, slot, unique, wide


def call(distance: int) -> bytes:
    """Encode a call of the function `distance` slots behind the next."""
    return slot(0x85, 0, 1, imm=distance)


def helper(number: int) -> bytes:
    """Encode a call of a helper."""
    return slot(0x85, imm=number)


def mov(dst: int, imm: int) -> bytes:
    """Encode dst = imm."""
    return slot(0xB7, dst, imm=imm)


def _functions() -> Iterator[Case]:
    double = slot(0xBF, 0, 1) + slot(0x0F, 0, 1) + EXIT
    yield Case("call-local", mov(1, 21) + call(1) + EXIT + double, 42)
    yield Case("call-local-twice", mov(1, 5) + call(3) + slot(0xBF, 1, 0) + call(1) + EXIT + double, 20)
    yield Case("call-back", slot(0x05, off=3) + double + mov(1, 4) + call(-5) + EXIT, 8, kernel=False)
    five = b"".join(slot(0x0F, 0, register) for register in (2, 3, 4, 5))
    arguments = b"".join(mov(register, 10**register) for register in (1, 2, 3, 4, 5))
    yield Case("call-arguments", arguments + call(1) + EXIT + slot(0xBF, 0, 1) + five + EXIT, 111110)
    saved = b"".join(mov(register, register) for register in (6, 7, 8, 9))
    total = slot(0xBF, 0, 6) + b"".join(slot(0x0F, 0, register) for register in (7, 8, 9))
    spoil = b"".join(mov(register, 77) for register in (6, 7, 8, 9)) + mov(0, 0) + EXIT
    yield Case("call-saves", saved + call(5) + total + EXIT + spoil, 30)
    # Each frame has a stack of its own.
    ours, theirs = slot(0x7A, 10, 0, -8, 1), slot(0x7A, 10, 0, -8, 2) + mov(0, 0) + EXIT
    yield Case("call-stack", ours + call(2) + slot(0x79, 0, 10, -8) + EXIT + theirs, 1)
    # A callee writes into the stack of its caller.
    pointer = slot(0xBF, 1, 10) + slot(0x07, 1, imm=-8)
    write = slot(0x7A, 1, 0, 0, 99) + mov(0, 0) + EXIT
    yield Case("call-pointer", ours + pointer + call(2) + slot(0x79, 0, 10, -8) + EXIT + write, 99)
    # The kernel's cases have one frame around them.
    for frames in (7, 8):
        nested = b"".join(slot(0x07, 1, imm=1) + call(1) + EXIT for _ in range(frames - 2)) + slot(0xBF, 0, 1) + EXIT
        yield Case(f"call-nested-{frames}", mov(1, 0) + call(1) + EXIT + nested, frames - 2, kernel=frames < 8)
    # A function that calls itself until its argument is 0.
    down = slot(0x15, 1, 0, 2, 0) + slot(0x07, 1, imm=-1) + call(-3) + slot(0x07, 0, imm=1) + EXIT
    yield Case("call-recursive", mov(0, 0) + mov(1, 5) + call(1) + EXIT + down, 6, kernel=False)


def _helpers() -> Iterator[Case]:
    def case(name: str, code: bytes, expected: int, memory: bytes = b"") -> Case:
        return Case(name, code, expected, memory, kernel=False)

    arguments = b"".join(mov(register, value) for register, value in enumerate((1, 2, 3, 4, 5), 1))
    yield case("gather-bytes", program(arguments, helper(0)), 0x0102030405)
    wide_arguments = b"".join(wide(register, M64 - 0xF0 + register) for register in (1, 2, 3, 4, 5))
    yield case("gather-bytes-low", program(wide_arguments, helper(0)), 0x1011121314)
    frob = program(slot(0xBF, 6, 1), slot(0x07, 1, imm=1), mov(2, 2), helper(1), slot(0x4F, 0, 0), slot(0x61, 0, 6, 0))
    yield case("memfrob", frob, 0x04292803, bytes.fromhex("03020304"))
    yield case("memfrob-result", program(mov(0, 9), helper(1)), 0, bytes(8))
    keeps = b"".join(mov(register, register) for register in (6, 7, 8, 9)) + helper(2) + slot(0xBF, 0, 6)
    yield case("no-operation", program(keeps + b"".join(slot(0x0F, 0, register) for register in (7, 8, 9))), 30)
    for value, root in [(0, 0), (1, 1), (15, 3), (16, 4), (1 << 62, 1 << 31), (123456789, 11111), (M64, 1 << 32)]:
        yield case(f"square-root-{value:#x}", program(wide(1, value), helper(3)), root)
    second = slot(0xBF, 2, 1) + slot(0x07, 2, imm=4)
    for left, right, result in [
        (b"abc", b"abc", 0),
        (b"abd", b"abc", 1),
        (b"abc", b"abd", M64),
        (b"ab", b"abc", M64 - 98),
    ]:
        memory = left.ljust(4, b"\0") + right.ljust(4, b"\0")
        yield case(f"compare-{left.decode()}-{right.decode()}", program(second, helper(4)), result, memory)
    yield case("compare-unsigned", program(second, helper(4)), 0x7F, b"\xff\0\0\0\x80\0\0\0")
    yield case("unwind", program(mov(0, 1), mov(1, 0), helper(5), mov(0, 7)), 0)
    yield case("unwind-not", program(mov(1, 5), helper(5), slot(0x07, 0, imm=1)), 6)
    yield case("unwind-from-function", call(2) + mov(0, 7) + EXIT + mov(1, 0) + helper(5) + mov(0, 8) + EXIT, 0)


def _helpers_by_register() -> Iterator[Case]:
    root = wide(1, 49)
    for register in (0, 2, 6, 9):
        code = program(root, mov(register, 3), slot(0x8D, register))
        yield Case(f"callx-r{register}", code, 7, kernel=False)
    for register in (1, 2, 9):
        code = program(wide(register, 3), slot(0x8D, imm=register))
        yield Case(f"callx-older-r{register}", code, 1 if register == 1 else 0, kernel=False)


CASES = unique([*_functions(), *_helpers(), *_helpers_by_register()])
