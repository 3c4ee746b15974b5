"""BPF_PROG_TEST_RUN: the kernel and the vm give the same verdict, packet, context, errno and helper results."""

from __future__ import annotations

import pytest

from tests.testrun import xdp
from tests.testrun.bothways import Case, on_kernel, on_vm


@pytest.mark.parametrize("case", xdp.CASES, ids=str)
def test_xdp(case: Case) -> None:
    assert on_vm(case) == on_kernel(case)
