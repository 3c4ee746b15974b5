"""Every hostile program ends as it has to, in a process that lives on, and leaves the same behind on every engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ebpf.errors import NotSupportedError
from ebpf.vm.engines import choose_engine
from tests.conftest import ENGINES
from tests.malicious.bare import REFUSED
from tests.malicious.case import ANY, Case
from tests.malicious.groups import CASES, GROUPS
from tests.malicious.outcomes import SECONDS, DiedError, outcomes
from tests.stage.run import Outcome, comparable

pytestmark = pytest.mark.timeout(3 * SECONDS)  # the first test of an engine waits for all of its programs


def run(engine: str) -> dict[str, list[Outcome] | DiedError]:
    try:
        choose_engine(engine)
    except NotSupportedError as error:
        pytest.skip(str(error))
    return outcomes(engine)


def wrong_end(case: Case, outcome: Outcome) -> str | None:
    """Say what is wrong with how a program ended; None if nothing is."""
    either = case.fault and case.value is not None
    fault = case.fault if outcome.fault or not either else ""
    if (outcome.fault, outcome.refused) != (fault, REFUSED if case.errno and case.bare else case.errno):
        return f"fault {case.fault!r} or errno {case.errno} expected"
    if fault and case.bad is not None and (outcome.program, outcome.insn) != case.bad:
        return f"fault at {case.bad} expected"
    if not fault and case.value not in (None, ANY, (outcome.r0 or 0) & 0xFFFFFFFF):
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
    found = run(engine)
    wrong = []
    for case in GROUPS[group]:
        ends = found[str(case)]
        reason = str(ends) if isinstance(ends, DiedError) else wrong_end(case, ends[0])
        if reason is not None:
            wrong.append(f"{case}: {reason}, found {ends}")
    assert wrong == []


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("engine", ENGINES[1:])
def test_same_as_the_first_engine(engine: str, group: str) -> None:
    found, expected = run(engine), run(ENGINES[0])
    different = []
    for case in GROUPS[group]:
        ends, others = found[str(case)], expected[str(case)]
        if isinstance(ends, DiedError) or isinstance(others, DiedError):
            continue  # that is what the test above says
        different += [f"{case}: {difference}" for difference in _differences(engine, case, ends, others)]
    assert different == []


def _differences(engine: str, case: Case, ends: list[Outcome], others: list[Outcome]) -> Iterator[str]:
    for where, outcome, other in zip(("by itself", "in a lane"), ends, others, strict=False):
        if case.value == ANY:
            other = replace(other, r0=outcome.r0)
        if comparable(outcome, engine) != comparable(other, engine):
            yield f"{where} {outcome} instead of {other}"
