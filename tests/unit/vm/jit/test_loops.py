"""Counted loops: their short form ends where the long one does, and leaves no region."""

from __future__ import annotations

import pytest

from ebpf.abi.types import ProgramType
from tests.unit.vm.jit.alike import same_end

MEMORY = "memory"

WALK = """
    r2 = r10; r2 += -512; r0 = 0
    {start}
again:
    r3 = *(u64 *)(r2 + 0)
    r0 += 1
    r2 += 8
    {step}
    if {test} goto again
    exit
"""


@pytest.mark.parametrize(
    ("start", "step", "test"),
    [
        ("r1 = -10", "r1 += 4", "r1 < -1"),
        ("r1 = -10", "r1 += 4", "r1 <= -1"),
        ("r1 = 0x7ffffffffffffff0 ll; r5 = 0x7fffffffffffffff ll", "r1 += 4", "r1 s<= r5"),
        ("r1 = 0x7ffffffffffffff0 ll; r5 = 0x7fffffffffffffff ll", "r1 += 4", "r1 s< r5"),
        ("r1 = 0", "r1 += 0x40000000", "w1 s< 0x7fffffff"),
        ("r1 = 0", "r1 += 0x7fffffff; r1 += 0x7fffffff; r1 += 2", "w1 < 100"),
        ("w1 = 0", "w1 += 0x7fffffff", "w1 != 1"),
    ],
)
def test_counter_that_begins_again(start: str, step: str, test: str) -> None:
    end = same_end(WALK.format(start=start, step=step, test=test))
    # It goes on and on, out of the stack.
    assert end.fault is not None
    assert end.fault[0] == MEMORY


@pytest.mark.parametrize(
    ("start", "step", "test", "times"),
    [
        ("r1 = 0", "r1 += 3", "r1 < 10", 4),
        ("r1 = 0", "r1 += 3", "r1 <= 9", 4),
        ("r1 = 0", "r1 += 3", "r1 != 9", 3),
        ("r1 = -9", "r1 += 3", "r1 s< 3", 4),
        ("r1 = -9", "r1 += 3", "r1 < 3", 1),
        ("w1 = 0", "w1 += 2", "w1 < 7", 4),
        ("w1 = -2", "w1 += 1", "w1 != 2", 4),
        ("r1 = -3; r5 = -1", "r1 += 1", "r1 != r5", 2),
    ],
)
def test_iterations(start: str, step: str, test: str, times: int) -> None:
    assert same_end(WALK.format(start=start, step=step, test=test)).r0 == times


def test_32_bit_counter_that_goes_below_zero_in_between() -> None:
    program = """
        r6 = r10; r6 += -512
        r1 = 0; r0 = 0
    again:
        w1 -= 8
        r2 = r6; r2 += r1
        r3 = *(u64 *)(r2 + 8)
        w1 += 9
        if w1 < 100 goto again
        exit
    """
    assert same_end(program).fault == (MEMORY, 7)


def test_32_bit_sum_of_something_else_in_the_counters_register() -> None:
    program = """
        r6 = r10; r6 += -100
        r7 = -5; r1 = 0; r0 = 0
    again:
        r3 = r1
        r1 = r7; w1 += 1; r1 += r6
        r5 = *(u8 *)(r1 + 8)
        r1 = r3
        w1 += 1
        if w1 < 10 goto again
        exit
    """
    assert same_end(program).fault == (MEMORY, 9)


@pytest.mark.parametrize("budget", [0, 1, 40, 45, 46, 47, 48, 49, 60])
def test_budget_around_the_end(budget: int) -> None:
    program = """
        r1 = 0; r0 = 0
    again:
        r0 += r1
        r1 += 1
        if r1 < 15 goto again
        exit
    """
    end = same_end(program, budget=budget)
    assert end.r0 == 105 if budget >= 48 else end.fault == ("budget", None)


@pytest.mark.parametrize("length", [14, 20, 63, 64])
@pytest.mark.parametrize("test", ["r2 < r3", "r2 != r3", "r2 <= r3"])
def test_counter_that_is_a_packet_pointer(length: int, test: str) -> None:
    program = f"""
        r2 = *(u32 *)(r1 + 0); r3 = *(u32 *)(r1 + 4); r0 = 0
    again:
        r4 = *(u8 *)(r2 + 0)
        r0 += r4
        *(u8 *)(r2 + 0) = r0
        r2 += 1
        if {test} goto again
        exit
    """
    end = same_end(program, ProgramType.XDP, data=bytes(range(length)))
    assert end.r0 == sum(range(length)) if "=" not in test or "!" in test else end.fault == (MEMORY, 3)


def test_side_ways() -> None:
    program = """
        r6 = map[one][0] ll
        r1 = 0; r0 = 0
    again:
        r2 = r6; r2 += r1
        *(u8 *)(r2 + 0) = r1
        if r1 != 5 goto usual
        r0 += 100
    usual:
        r0 += 1
        if r0 == 120 goto out
        r1 += 1
        if r1 < 64 goto again
    out:
        exit
    """
    assert same_end(program).r0 == 120
