"""Every engine gives the same r0, context, maps, records, addresses and faults as the reference engine."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpf.errors import NotSupportedError
from ebpf.vm import reference
from ebpf.vm.engines import Engine, choose_engine
from ebpf.vm.memory import OFFSET_BITS, OFFSET_MASK
from tests.conftest import ENGINES
from tests.unit.vm.generated import FUNCTIONS, Draft, Outcome, assemble, outcome, random_functions

_MOST_REGIONS = 1 << 12
COMMON_ENDS = {"returned", "memory", "call"}
"""What Hypothesis, which likes small numbers, never misses; programs drawn evenly end in all ways."""
ENDS = COMMON_ENDS | {"alignment", "stack", "budget", "helper"}


@pytest.fixture(scope="module")
def interpreter() -> Engine:
    try:
        return choose_engine("interpreter")
    except NotSupportedError as error:
        pytest.skip(str(error))


def test_same_outcome(interpreter: Engine) -> None:
    ends: Counter[object] = Counter()

    def compare(functions: list[list[Draft]], target: list[list[Draft]]) -> None:
        code, other = assemble(functions), assemble(target)
        expected = outcome(reference.execute, code, other)
        ends[expected.fault[0] if expected.fault else "returned"] += 1
        assert outcome(interpreter.execute, code, other) == expected

    drawn = given(functions=FUNCTIONS, target=FUNCTIONS)(compare)
    settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])(drawn)()
    # The comparison means something only while the programs do all sorts of things.
    assert ends.keys() >= COMMON_ENDS, ends
    for seed in range(100):
        choose = random.Random(seed)
        compare(random_functions(choose), random_functions(choose))
    assert ends.keys() >= ENDS, ends


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(functions=FUNCTIONS, target=FUNCTIONS, budget=st.integers(0, 60))
def test_same_end_of_the_budget(
    interpreter: Engine, functions: list[list[Draft]], target: list[list[Draft]], budget: int
) -> None:
    code, other = assemble(functions), assemble(target)
    expected = outcome(reference.execute, code, other, budget=budget)
    assert outcome(interpreter.execute, code, other, budget=budget) == expected


@pytest.mark.parametrize("block", range(5))
@pytest.mark.parametrize("name", ENGINES[1:])
def test_same_end_of_programs_drawn_evenly(name: str, block: int) -> None:
    """Without what not all engines have in common: the numbers of regions, and the place where a budget ends.

    Programs that do something else because of an address are rare; none of these does.
    """
    try:
        engine = choose_engine(name)
    except NotSupportedError as error:
        pytest.skip(str(error))
    for seed in range(60 * block, 60 * block + 60):
        choose = random.Random(seed)
        code, target = (assemble(random_functions(choose)) for _ in range(2))
        expected, found = outcome(reference.execute, code, target), outcome(engine.execute, code, target)
        assert _visible(found) == _visible(expected), f"seed {seed}"


def _visible(outcome: Outcome) -> tuple[object, ...]:
    if outcome.fault is not None and outcome.fault[0] == "budget":
        return ("budget",)
    r0 = outcome.r0
    if r0 is not None and 0 < r0 >> OFFSET_BITS < _MOST_REGIONS:
        r0 &= OFFSET_MASK
    return r0, outcome.fault and outcome.fault[:2], outcome.context, outcome.maps
