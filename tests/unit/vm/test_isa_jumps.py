"""Jumps of every kind."""

from __future__ import annotations

import pytest

from ebpf.vm.conformance import run_instructions
from tests.isa import jumps
from tests.isa.case import Case

pytestmark = pytest.mark.usefixtures("engine")


@pytest.mark.parametrize("case", jumps.CASES, ids=str)
def test_case(case: Case) -> None:
    assert run_instructions(case.code, case.memory) == case.expected
