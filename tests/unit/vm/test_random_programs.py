"""Random programs with helpers and maps: they end with r0 or with a ProgramFault, and with nothing else."""

from __future__ import annotations

import random
from collections import Counter
from typing import cast

import pytest

from ebpf.abi.linux.prototypes import PROTOTYPES
from ebpf.abi.types import MapType, ProgramType
from ebpf.errors import ProgramFault
from ebpf.vm.context import PlainContext
from ebpf.vm.engines import Engine, choose_engine
from ebpf.vm.kernel import Kernel
from ebpf.vm.machine import Run
from ebpf.vm.maps import MapShape, create_map
from ebpf.vm.program import LoadRequest, load_program
from tests.isa.case import EXIT, slot

pytestmark = pytest.mark.usefixtures("engine")

SYSCALL = ProgramType.SYSCALL
HELPERS = [int(helper) for helper, prototype in PROTOTYPES.items() if prototype.allowed_for(SYSCALL)]
VALUES = [0, 1, 4, 8, 16, -8, 64, -64]


class StillKernel:
    """A kernel in which nothing happens."""

    closed = False

    def number(self) -> int:
        return 1

    ktime_ns = boot_ns = tai_ns = random_u32 = pid_tgid = uid_gid = number

    def comm(self) -> bytes:
        return b"still"

    def trace(self, text: str) -> None:
        assert isinstance(text, str)

    def program_of(self, prog_array: object, index: int) -> None:
        return None


def instruction(choose: random.Random) -> bytes:
    dst, src = choose.randrange(10), choose.randrange(11)
    kind = choose.random()
    if kind < 0.25:
        return slot(choose.choice([0xB7, 0x07, 0x57, 0x47]), dst, imm=choose.choice(VALUES))
    if kind < 0.4:
        return slot(choose.choice([0xBF, 0x0F, 0x1F]), dst, src)
    if kind < 0.5:
        return slot(choose.choice([0x79, 0x61, 0x71]), dst, choose.choice([src, 10]), choose.choice([-8, -16, 0, 8]))
    if kind < 0.6:
        opcode = choose.choice([0x7B, 0x63, 0xDB])
        return slot(opcode, choose.choice([dst, 10]), src, choose.choice([-8, -16, 0]))
    if kind < 0.7:
        return slot(0x18, choose.choice([1, dst]), 1, imm=choose.randrange(5)) + slot(0)
    if kind < 0.75:
        return slot(0x18, dst, 2) + slot(0, imm=choose.choice([0, 8]))
    return slot(0x85, imm=choose.choice(HELPERS))


def random_program(seed: int) -> bytes:
    choose = random.Random(seed)
    start = slot(0xBF, 1, 10) + slot(0x07, 1, imm=-64) + slot(0xBF, 2, 10) + slot(0x07, 2, imm=-32)
    start += slot(0xB7, 3, imm=8) + slot(0xBF, 4, 1) + slot(0xB7, 5, imm=4)
    return start + b"".join(instruction(choose) for _ in range(choose.randrange(3, 30))) + slot(0xB7) + EXIT


@pytest.mark.parametrize("block", range(8))
def test_only_faults(block: int, engine: Engine) -> None:
    maps = [
        create_map(MapShape(MapType.ARRAY, 4, 16, 1)),
        create_map(MapShape(MapType.HASH, 4, 16, 8)),
        create_map(MapShape(MapType.RINGBUF, 0, 0, 4096)),
        create_map(MapShape(MapType.QUEUE, 0, 8, 4)),
        create_map(MapShape(MapType.PROG_ARRAY, 4, 4, 4)),
    ]
    outcomes: Counter[str] = Counter()
    programs = 100 if engine.name == "jit" else 250  # compiling takes most of the time
    for seed in range(250 * block, 250 * block + programs):
        code = random_program(seed)
        request = LoadRequest(type=SYSCALL, insns=code, license="GPL", map_by_fd=maps.__getitem__)
        context = PlainContext(bytearray(64), writable=True)
        run = Run(load_program(request, print), cast("Kernel", StillKernel()), budget=3000, context=context)
        try:
            assert choose_engine().execute(run, context.attach(run.memory)) == 0
            outcomes["returned"] += 1
        except ProgramFault as error:
            outcomes[error.kind] += 1
    assert {"returned", "memory", "helper"} <= outcomes.keys()
