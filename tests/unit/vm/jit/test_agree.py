"""Random programs do in compiled code, in both tiers, what they do on the reference engine."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpf.errors import NotSupportedError
from ebpf.vm import reference
from ebpf.vm.engines import choose_engine
from ebpf.vm.jit.compiled import CompiledProgram
from ebpf.vm.jit.engine import Compiled
from ebpf.vm.jit.tiers import Check, tiers_of
from ebpf.vm.program import Program
from tests.unit.vm.generated import FUNCTIONS, Draft, Outcome, assemble, outcome


class OneTier(Compiled):
    """An engine that compiles every program, those of tail calls too, with one tier."""

    def __init__(self, tier: str) -> None:
        super().__init__(trusted=False, patient=False)  # who is patient compiles with the first tier
        self._tier = tier

    def code_for(self, program: Program, check: Check) -> CompiledProgram | None:
        tiers = tiers_of(program)
        if tiers.code is None:
            tiers.compile(self._tier)
        return tiers.code


def seen(end: Outcome) -> object:
    """Return what has to be the same: when compiled code finds that its budget is used up, it may be further."""
    if end.fault is not None and end.fault[0] == "budget":
        return "budget"
    return end.r0, end.fault and end.fault[:2], end.context, end.maps


@pytest.mark.parametrize("tier", ["light", "full"])
def test_same_outcome(tier: str) -> None:
    try:
        choose_engine("jit")
    except NotSupportedError as error:
        pytest.skip(str(error))

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(functions=FUNCTIONS, target=FUNCTIONS, budget=st.sampled_from([20, 600, 5000]))
    def compare(functions: list[list[Draft]], target: list[list[Draft]], budget: int) -> None:
        code, other = assemble(functions), assemble(target)
        expected = seen(outcome(reference.execute, code, other, budget=budget))
        assert seen(outcome(OneTier(tier).execute, code, other, budget=budget)) == expected

    compare()
