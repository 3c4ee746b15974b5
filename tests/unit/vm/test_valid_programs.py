"""Random programs, valid ones and such as fault: every engine comes to the same end and leaves the same behind."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpf.errors import NotSupportedError
from ebpf.vm.engines import choose_engine
from tests.conftest import ENGINES
from tests.stage.run import FULL, Outcome, comparable, play
from tests.valid.draft import VALID, Plan, random_plan
from tests.valid.program import script_of
from tests.valid.wrong import WRONGS

FAULTS = {"memory", "alignment", "helper", "call", "budget"}
PROFILE = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@cache
def expected(plan: Plan) -> Outcome:
    """What the first engine, the definition, makes of a plan; the others are given the same ones."""
    return play(script_of(plan), ENGINES[0])


@pytest.fixture(params=ENGINES[1:])
def other(request: pytest.FixtureRequest) -> str:
    try:
        return choose_engine(request.param).name
    except NotSupportedError as error:
        pytest.skip(str(error))


def way(plan: Plan, engine: str) -> str:
    """Return the engine, for every second program in its full tier: what comes before LLVM's passes is the same."""
    return FULL if engine == "jit" and zlib.crc32(repr(plan).encode()) % 2 else engine


def test_valid_programs(other: str) -> None:
    @PROFILE
    @given(plan=VALID)
    def compare(plan: Plan) -> None:
        outcome = play(script_of(plan), way(plan, other))
        assert outcome == expected(plan)
        assert (outcome.refused, outcome.fault) == (0, "")

    compare()


@pytest.mark.parametrize("block", range(4))
def test_drawn_programs(other: str, block: int) -> None:
    """Programs drawn evenly: Hypothesis likes small numbers and repetition. `make fuzz-engines` goes on from here."""
    for seed in range(50 * block, 50 * block + 50):
        plan = random_plan(seed)
        assert comparable(play(script_of(plan), way(plan, other)), other) == comparable(expected(plan), other), (
            f"seed {seed}"
        )


def test_valid_programs_in_a_lane(other: str) -> None:
    @settings(PROFILE, max_examples=80)
    @given(plan=VALID)
    def compare(plan: Plan) -> None:
        script = replace(script_of(plan), repeat=3, lane=True)
        assert play(script, way(plan, other)) == play(script, ENGINES[0])

    compare()


def test_programs_that_fault(other: str) -> None:
    ends: Counter[str] = Counter()
    for wrong in range(WRONGS):

        @settings(PROFILE, max_examples=7)
        @given(plan=VALID, wrong=st.just(wrong), at=st.integers(0, 24))
        def compare(plan: Plan, wrong: int, at: int) -> None:
            faulty = replace(plan, fault=(wrong, at))
            outcome = play(script_of(faulty), way(plan, other))
            ends[outcome.fault] += 1
            assert comparable(outcome, other) == comparable(expected(faulty), other)
            assert not outcome.refused

        compare()
    # The comparison means something only while the programs do all sorts of wrong.
    assert ends.keys() >= FAULTS, ends
