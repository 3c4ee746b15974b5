"""Random numbers: one sequence for a seed, on every engine, whoever takes the next number."""

from __future__ import annotations

import os
import struct
from collections import Counter
from random import Random

import pytest

from ebpf.abi.helpers import Helper
from ebpf.abi.types import MapType
from ebpf.objects.packets import gather
from ebpf.vm.engines import Engine
from ebpf.vm.native import NUMBERS_AHEAD as AHEAD
from tests.unit.embedded_programs import created, kernel, load

pytestmark = pytest.mark.usefixtures("engine")

SEED = 11
NUMBER = "call bpf_get_prandom_u32\nexit"
PACKET = bytes(16)
NOTED = """
    r6 = *(u32 *)(r1 + 0)
    call bpf_get_prandom_u32
    *(u32 *)(r6 + 0) = r0
    call bpf_get_prandom_u32
    *(u32 *)(r6 + 4) = r0
    r0 = 0
    exit
"""
"""Puts two numbers into its packet."""


def expected(count: int) -> list[int]:
    generator = Random(SEED)
    return [generator.getrandbits(32) for _ in range(count)]


def noted(packets: list[bytes]) -> list[int]:
    return [number for packet in packets for number in struct.unpack_from("<II", packet)]


def test_runs_and_what_else_needs_numbers_take_turns() -> None:
    with kernel(seed=SEED) as runtime:
        program = load(runtime, NUMBER)
        runner, found = runtime.runner(program), []
        for _ in range(2 * AHEAD):
            found.append(runner.run(PACKET).retval)
            found.append(runtime.state.random_u32())
            created(runtime, MapType.HASH, 4, 4, 1).handle.close()  # its seed is the next one
            found.append(-1)
        right = expected(6 * AHEAD)
        assert found == [-1 if index % 3 == 2 else number for index, number in enumerate(right)]
        program.handle.close()


def test_runs_that_follow_each_other() -> None:
    with kernel(seed=SEED) as runtime:
        program = load(runtime, NOTED)
        runner, count = runtime.runner(program), AHEAD + 3
        found = noted(list(runner.run_many(gather([PACKET] * count)).packets))
        found += noted([runner.run(PACKET, repeat=count).data])
        function = runner.function()
        for _ in range(count):
            packet = bytearray(PACKET)
            function(packet)
            found += noted([bytes(packet)])
        right = expected(6 * count)
        assert found == right[: 2 * count] + right[4 * count - 2 :]
        program.handle.close()


def test_threads_share_the_sequence() -> None:
    with kernel(seed=SEED, cpus=2) as runtime:
        program = load(runtime, NOTED)
        count = 4 * AHEAD
        found = noted(list(runtime.runner(program).run_many(gather([PACKET] * count), threads=2).packets))
        assert sorted(found) == sorted(expected(2 * count))
        program.handle.close()


def test_python_is_asked_for_many_at_a_time(asked: Counter[int], engine: Engine) -> None:
    with kernel() as runtime:
        program = load(runtime, NUMBER)
        runtime.runner(program).run(PACKET, repeat=3 * AHEAD)
        assert asked == {Helper.GET_PRANDOM_U32: 3 * AHEAD if engine.code is None else 3}
        program.handle.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_child_goes_on_by_itself() -> None:
    with kernel(seed=SEED) as runtime:
        program = load(runtime, NUMBER)
        runner = runtime.runner(program)
        assert runner.run(PACKET).retval == expected(1)[0]
        if not (child := os.fork()):
            os._exit([runner.run(PACKET).retval for _ in range(AHEAD)] != expected(AHEAD + 1)[1:])
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert runner.run(PACKET).retval == expected(2)[1]
        program.handle.close()
