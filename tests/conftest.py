"""What every test of this process shares."""

from __future__ import annotations

import pytest

from tests.mounts import mount_own
from tests.privilege import missing_bpf_privilege


@pytest.fixture(scope="session", autouse=True)
def _own_mounts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Pin into a BPF file system that nobody else sees, and that leaves nothing behind."""
    if missing_bpf_privilege() is None:
        mount_own(tmp_path_factory.mktemp("cgroup"))
