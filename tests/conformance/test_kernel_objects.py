"""Objects, links, pins and information: every runtime answers with the same errno.

What is expected was measured on Linux 6.18 and stands in object_results.py.
"""

from __future__ import annotations

import os

import pytest

from ebpf.runtime import Runtime
from tests.conformance.object_cases import TOPICS, Steps, cgroup
from tests.conformance.object_results import RESULTS
from tests.mounts import cgroup_root


@pytest.mark.parametrize("topic", TOPICS)
def test_topic(runtime: Runtime, topic: str) -> None:
    with Steps(runtime) as steps:
        TOPICS[topic](steps)
    assert steps.results == RESULTS[topic]


def test_cgroup(runtime: Runtime, cgroup_directory: str) -> None:
    directory = os.open(cgroup_directory, os.O_RDONLY)
    try:
        with Steps(runtime) as steps:
            cgroup(steps, directory)
    finally:
        os.close(directory)
    assert steps.results == RESULTS["cgroup"]


@pytest.fixture
def cgroup_directory(runtime: Runtime, tmp_path: os.PathLike[str]):  # type: ignore[no-untyped-def]  # yields a path
    """A new cgroup of the kernel; any directory for the embedded one."""
    if runtime.name == "embedded":
        yield os.fspath(tmp_path)
        return
    root = cgroup_root()
    if root is None:
        pytest.skip("no cgroup2 file system is mounted")
    path = os.path.join(root, f"ebpf_test_{os.getpid()}")
    os.mkdir(path)
    yield path
    os.rmdir(path)
