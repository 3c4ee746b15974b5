"""Cases of the Linux kernel alone: they need the privilege to call bpf()."""

from __future__ import annotations

import pytest

from tests.privilege import missing_bpf_privilege


@pytest.fixture(autouse=True)
def _privileged() -> None:
    missing = missing_bpf_privilege()
    if missing is not None:
        pytest.skip(missing)
