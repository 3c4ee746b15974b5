"""Runs that follow each other in native code: each begins as if it were the first."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, cast

import pytest

from ebpf.abi.types import ProgramType
from ebpf.vm.jit.engine import LaneCode
from ebpf.vm.jit.tiers import Tiers
from ebpf.vm.native import ENTRY
from ebpf.vm.values import places_of
from tests.unit.vm.bench import bench
from tests.unit.vm.jit.alike import same_end

if TYPE_CHECKING:
    from ebpf.vm.jit.compiled import CompiledProgram


@pytest.mark.parametrize("register", [1, 2, 3, 4, 5])
def test_registers_begin_as_in_the_first_run(register: int) -> None:
    # What native code calls for a helper finds its arguments in the machine, where a run finds its own.
    program = f"""
        r6 = r{register}
        *(u32 *)(r10 - 4) = 0
        *(u64 *)(r10 - 24) = 0; *(u64 *)(r10 - 16) = 0
        r1 = map[hash] ll; r2 = r10; r2 += -4; r3 = r10; r3 += -24; r4 = 0; r5 = 9
        call bpf_map_update_elem
        r0 = r6
        r0 >>= 16
        exit
    """
    first = same_end(program, ProgramType.XDP, data=bytes(64), repeat=1)
    assert same_end(program, ProgramType.XDP, data=bytes(64), repeat=5) == first


@pytest.mark.parametrize("budget", [5, 9, 13, 14, 15])
def test_budget_of_each_run(budget: int) -> None:
    program = "r0 = 0; " + "r0 += 1; " * 12 + "exit"
    same_end(program, ProgramType.XDP, data=bytes(64), repeat=4, budget=budget)


def test_code_is_not_unmapped_while_a_lane_enters_it() -> None:
    """Unmapping lets other threads run, and these may run the lane, which is a function's."""
    program = bench().load("r0 = 1\nexit")
    entries: list[tuple[int, int]] = []

    class Code:
        def __init__(self, address: int) -> None:
            self.address = address

        def __del__(self) -> None:
            entries.append((self.address, entered[ENTRY]))

    tiers = Tiers(program, trusted=False)
    lane = LaneCode(program, tiers)
    tiers.code = cast("CompiledProgram", Code(1))
    entered = lane.take(places_of(program))
    assert entered[ENTRY] == 1
    tiers.code = cast("CompiledProgram", Code(2))
    lane.enter(entered)
    gc.collect()
    assert entries == [(1, 2)]
