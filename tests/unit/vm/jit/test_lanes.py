"""Runs that follow each other in native code: each begins as if it were the first."""

from __future__ import annotations

import gc
import weakref
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


def test_code_stays_mapped_while_a_lane_may_be_in_it() -> None:
    """Better code may come while a function's run is in the code before."""
    program = bench().load("r0 = 1\nexit")

    class Code:
        def __init__(self, address: int) -> None:
            self.address = address

    tiers = Tiers(program, trusted=False)
    lane = LaneCode(program, tiers)
    codes = [Code(1), Code(2)]
    gone = [weakref.ref(code) for code in codes]
    tiers.code = cast("CompiledProgram", codes[0])
    entered = lane.take(places_of(program))
    assert entered[ENTRY] == 1
    tiers.code = cast("CompiledProgram", codes[1])
    lane.enter(entered)
    assert entered[ENTRY] == 2
    codes.clear()
    assert all(code() is not None for code in gone)
    del lane, tiers
    gc.collect()
    assert all(code() is None for code in gone)
