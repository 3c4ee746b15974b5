"""Every engine gives the same r0, context, maps, records, addresses and faults as the reference engine."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpf.errors import NotSupportedError
from ebpf.vm import reference
from ebpf.vm.engines import Engine, choose_engine
from tests.unit.vm.generated import FUNCTIONS, Draft, assemble, outcome

ENDS = {"returned", "memory", "alignment", "stack", "budget", "helper", "call"}


@pytest.fixture(scope="module")
def interpreter() -> Engine:
    try:
        return choose_engine("interpreter")
    except NotSupportedError as error:
        pytest.skip(str(error))


def test_same_outcome(interpreter: Engine) -> None:
    ends: Counter[object] = Counter()

    @settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(functions=FUNCTIONS, target=FUNCTIONS)
    def compare(functions: list[list[Draft]], target: list[list[Draft]]) -> None:
        code, other = assemble(functions), assemble(target)
        expected = outcome(reference.execute, code, other)
        ends[expected.fault[0] if expected.fault else "returned"] += 1
        assert outcome(interpreter.execute, code, other) == expected

    compare()
    # The comparison means something only while the programs do all sorts of things.
    assert ends.keys() >= ENDS, ends


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(functions=FUNCTIONS, target=FUNCTIONS, budget=st.integers(0, 60))
def test_same_end_of_the_budget(
    interpreter: Engine, functions: list[list[Draft]], target: list[list[Draft]], budget: int
) -> None:
    code, other = assemble(functions), assemble(target)
    expected = outcome(reference.execute, code, other, budget=budget)
    assert outcome(interpreter.execute, code, other, budget=budget) == expected
