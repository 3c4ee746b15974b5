"""The kernel's answers to the cases of the instruction set, and to random programs, are the engine's."""

from __future__ import annotations

import random
import struct
from itertools import groupby

import pytest

from ebpf.vm.conformance import run_instructions
from tests.isa import arithmetic, calls, jumps, memory
from tests.isa.case import EXIT, LOAD_OPERANDS, M64, Case, program, slot, words
from tests.linux.raw import SLEEPABLE, SYSCALL_PROGRAM, loaded, run_with_context

pytestmark = pytest.mark.usefixtures("engine")

CASES = [case for table in (arithmetic, jumps, memory, calls) for case in table.CASES if case.kernel]


def around(code: bytes, length: int) -> bytes:
    """Make a syscall program whose context is `length` bytes of memory and 8 bytes for r0 of `code`."""
    keep, give = slot(0xBF, 6, 1), slot(0xB7, 2, imm=length)
    call = slot(0x85, 0, 1, imm=3)
    return keep + give + call + slot(0x7B, 6, 0, length) + slot(0xB7, 0) + EXIT + code


def kernel_results(code: bytes, memories: list[bytes]) -> list[int]:
    """Run `code` on each memory (all of the same length, a multiple of 8) and return r0 of each run."""
    length = len(memories[0])
    with loaded(around(code, length), SYSCALL_PROGRAM, flags=SLEEPABLE) as fd:
        contexts = [run_with_context(fd, memory + bytes(8)) for memory in memories]
    return [struct.unpack_from("<Q", context, length)[0] for context in contexts]


@pytest.mark.parametrize("table", [arithmetic, jumps, memory, calls], ids=lambda table: table.__name__.split(".")[-1])
def test_cases(table: object) -> None:
    cases: list[Case] = sorted((case for case in table.CASES if case.kernel), key=lambda c: (c.code, len(c.memory)))
    assert cases
    wrong = []
    for (code, _), group in groupby(cases, key=lambda c: (c.code, len(c.memory))):
        same = list(group)
        results = kernel_results(code, [case.memory for case in same])
        wrong += [(case.name, hex(r)) for case, r in zip(same, results, strict=True) if r != case.expected]
    assert not wrong


EDGES = [
    0,
    1,
    2,
    7,
    31,
    32,
    33,
    63,
    64,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 32,
    (1 << 63) - 1,
    1 << 63,
    M64 - 1,
    M64,
]


@pytest.mark.parametrize("name", [f"{op}{width}" for op in arithmetic.OPCODES for width in (32, 64)])
def test_every_pair_of_edges(name: str) -> None:
    code = program(LOAD_OPERANDS, arithmetic.encode(name, source=True))
    memories = [words(a, b) for a in EDGES for b in EDGES]
    assert kernel_results(code, memories) == [run_instructions(code, memory) for memory in memories]


def random_program(seed: int) -> bytes:
    """Write straight and forward-jumping code over r0 to r5 and a 64-byte stack; it ends and never faults."""
    choose = random.Random(seed)
    names = [f"{op}{width}" for op in arithmetic.OPCODES for width in (32, 64)]
    start = [slot(0x79, register, 1, 8 * place) for place, register in enumerate((0, 2, 3, 4, 5))]
    start += [slot(0x79, 1, 1, 40)]
    start += [slot(0x7B, 10, register % 6, -8 * register) for register in range(1, 9)]
    body: list[bytes] = []
    for _ in range(choose.randrange(5, 40)):
        body.append(_random_instruction(choose, names))
    return program(*start, *_with_jumps(choose, body), *(slot(0xAF, 0, register) for register in (1, 2, 3, 4, 5)))


def _random_instruction(choose: random.Random, names: list[str]) -> bytes:
    dst, src = choose.randrange(6), choose.randrange(6)
    size = choose.choice([1, 2, 4, 8])
    place = -64 + size * choose.randrange(64 // size)
    bits = memory.SIZES[size]
    imm = choose.choice([0, 1, -1, 5, 31, 0x7FFFFFFF, -0x80000000, choose.getrandbits(31)])
    name = choose.choice(names)
    wide = slot(0x18, dst, imm=choose.getrandbits(32)) + slot(0, imm=choose.getrandbits(32))
    atomic = choose.choice([0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xA0, 0xA1, 0xE1, 0xF1])
    return choose.choice(
        [
            arithmetic.encode(name, source=True, dst=dst, src=src),
            arithmetic.encode(name, source=True, dst=dst, src=src),
            arithmetic.encode(
                "add64" if arithmetic.refused(name, imm % 2**32) else name, source=False, dst=dst, imm=imm
            ),
            slot(choose.choice([0x84, 0x87]), dst),
            slot(choose.choice([0xD4, 0xDC, 0xD7]), dst, imm=choose.choice([16, 32, 64])),
            slot(0xBF, dst, src, choose.choice([8, 16, 32])),
            slot(0xBC, dst, src, choose.choice([8, 16])),
            slot(0x61 | bits, dst, 10, place),
            slot(0x81 | bits if size < 8 else 0x79, dst, 10, place),
            slot(0x63 | bits, 10, src, place),
            slot(0x62 | bits, 10, 0, place, imm),
            memory.atomic(atomic, 64, 10, src, -64 + 8 * choose.randrange(8)),
            memory.atomic(atomic, 32, 10, src, -64 + 4 * choose.randrange(16)),
            wide,
        ]
    )


def _with_jumps(choose: random.Random, body: list[bytes]) -> list[bytes]:
    # A jump goes over the next few instructions; their lengths are known because they stand already.
    parts: list[bytes] = []
    for at in range(len(body)):
        if choose.random() < 0.2 and at + 1 < len(body):
            over = body[at]
            condition, wide = choose.choice(list(jumps.CONDITIONS.values())), choose.choice([5, 6])
            source = choose.choice([0, 8])
            imm = 0 if source else choose.choice([0, 1, -1, 1 << 30])
            dst, src = choose.randrange(6), choose.randrange(6) if source else 0
            parts.append(slot(condition | wide | source, dst, src, len(over) // 8, imm))
        parts.append(body[at])
    return parts


@pytest.mark.parametrize("block", range(8))
def test_random_programs(block: int) -> None:
    choose = random.Random(block)
    for seed in range(50 * block, 50 * block + 50):
        code = random_program(seed)
        memories = [words(*(choose.choice([choose.getrandbits(64), *EDGES]) for _ in range(6))) for _ in range(4)]
        assert kernel_results(code, memories) == [run_instructions(code, one) for one in memories], f"seed {seed}"
