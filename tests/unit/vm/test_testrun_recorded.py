"""The embedded kernel answers test runs as Linux 6.18 did when it was asked (tests/testrun/recorded.json)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import ebpf.runtime
from ebpf.runtime import Runtime
from tests.testrun.case import on
from tests.testrun.recorded import CASES, digest, load

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(scope="module")
def embedded() -> Iterator[Runtime]:
    kernel = ebpf.runtime.embedded()
    yield kernel
    kernel.close()


@pytest.mark.parametrize("subject", CASES)
def test_answers_are_the_recorded_ones(embedded: Runtime, subject: str) -> None:
    recorded = load()[subject]
    assert len(recorded) == len(CASES[subject]), "cases were added: record them again"
    different = [
        str(case) for case, known in zip(CASES[subject], recorded, strict=True) if digest(on(embedded, case)) != known
    ]
    assert not different
