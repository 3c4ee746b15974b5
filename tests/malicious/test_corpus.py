"""Every hostile program ends as it has to, in a process that lives on, and leaves the same behind on every engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from ebpf.errors import NotSupportedError
from ebpf.vm.engines import choose_engine
from tests.conftest import ENGINES
from tests.malicious.bare import REFUSED
from tests.malicious.case import ANY, Case
from tests.malicious.groups import CASES, GROUPS
from tests.malicious.outcomes import DiedError, outcomes
from tests.stage.run import Outcome, comparable


def run(engine: str, group: str) -> dict[str, Outcome | DiedError]:
    try:
        choose_engine(engine)
    except NotSupportedError as error:
        pytest.skip(str(error))
    return outcomes(engine, group)


def wrong_end(case: Case, outcome: Outcome) -> str | None:
    """Say what is wrong with how a program ended; None if nothing is."""
    place = (outcome.program, outcome.insn)
    if (outcome.fault, outcome.refused) != (case.fault, REFUSED if case.errno and case.bare else case.errno):
        return f"fault {case.fault!r} or errno {case.errno} expected"
    if case.fault and case.bad is not None and place != case.bad:
        return f"fault at {case.bad} expected"
    if case.value is not None and case.value not in (ANY, (outcome.r0 or 0) & 0xFFFFFFFF):
        return f"result {case.value} expected"
    if case.out is not None and not bytes.fromhex(outcome.maps["out"][0][1]).startswith(case.out):
        return f"{case.out!r} expected in the map"
    return None


def test_corpus_is_large_and_every_name_is_a_line_of_its_own() -> None:
    assert len(CASES) >= 200
    assert [name for name, times in Counter(map(str, CASES)).items() if times > 1 or "\n" in name] == []


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("engine", ENGINES)
def test_end(engine: str, group: str) -> None:
    found = run(engine, group)
    wrong = []
    for case in GROUPS[group]:
        outcome = found[case.name]
        reason = str(outcome) if isinstance(outcome, DiedError) else wrong_end(case, outcome)
        if reason is not None:
            wrong.append(f"{case}: {reason}, found {outcome}")
    assert wrong == []


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("engine", ENGINES[1:])
def test_same_as_the_first_engine(engine: str, group: str) -> None:
    found, expected = run(engine, group), run(ENGINES[0], group)
    different = []
    for case in GROUPS[group]:
        outcome, other = found[case.name], expected[case.name]
        if isinstance(outcome, DiedError) or isinstance(other, DiedError):
            continue  # that is what the test above says
        if case.value == ANY:
            other = replace(other, r0=outcome.r0)
        if comparable(outcome, engine) != comparable(other, engine):
            different.append(f"{case}: {outcome} instead of {other}")
    assert different == []
