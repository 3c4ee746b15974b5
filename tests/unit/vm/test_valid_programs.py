"""Random programs, valid ones and such as fault: every engine comes to the same end and leaves the same behind."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings

from ebpf.errors import NotSupportedError
from ebpf.vm.engines import choose_engine
from tests.conftest import ENGINES
from tests.stage.run import Outcome, comparable, play
from tests.valid.draft import FAULTY, VALID, Plan
from tests.valid.program import script_of

FAULTS = {"memory", "alignment", "helper", "budget"}
PROFILE = settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


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


def test_valid_programs(other: str) -> None:
    @PROFILE
    @given(plan=VALID)
    def compare(plan: Plan) -> None:
        outcome = play(script_of(plan), other)
        assert outcome == expected(plan)
        assert (outcome.refused, outcome.fault) == (0, "")

    compare()


def test_valid_programs_in_a_lane(other: str) -> None:
    @settings(PROFILE, max_examples=100)
    @given(plan=VALID)
    def compare(plan: Plan) -> None:
        script = replace(script_of(plan), repeat=3, lane=True)
        assert play(script, other) == play(script, ENGINES[0])

    compare()


def test_programs_that_fault(other: str) -> None:
    ends: Counter[str] = Counter()

    @PROFILE
    @given(plan=FAULTY)
    def compare(plan: Plan) -> None:
        outcome = play(script_of(plan), other)
        ends[outcome.fault] += 1
        assert comparable(outcome, other) == comparable(expected(plan), other)
        assert not outcome.refused

    compare()
    # The comparison means something only while the programs do all sorts of wrong.
    assert ends.keys() >= FAULTS, ends
