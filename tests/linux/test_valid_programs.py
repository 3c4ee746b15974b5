"""Random valid programs: the kernel takes nearly all of them, and does with them what the reference engine does."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

import ebpf.runtime
from tests.stage.run import play, play_in
from tests.valid.draft import VALID, Plan
from tests.valid.program import script_of

pytestmark = pytest.mark.skipif(
    not platform.release().startswith("6.18."), reason="needs Linux 6.18, whose instruction set the embedded kernel has"
)
KERNEL = ebpf.runtime.linux()


@pytest.fixture(autouse=True)
def _on_the_first_cpu() -> Iterator[None]:
    """Stay on CPU 0, whose values of per-CPU maps the embedded kernel's only run changes, too."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    yield
    os.sched_setaffinity(0, before)


def test_valid_programs() -> None:
    taken: Counter[bool] = Counter()

    @settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(plan=VALID)
    def compare(plan: Plan) -> None:
        script = script_of(plan, cpus=KERNEL.cpus)
        theirs, ours = play_in(KERNEL, script), play(script, "reference")
        taken[not theirs.refused] += 1
        if theirs.refused:
            return
        assert ours.r0 is not None
        assert (ours.r0 & 0xFFFFFFFF, ours.packet, ours.maps) == (theirs.r0, theirs.packet, theirs.maps)

    compare()
    assert taken[True] >= 0.95 * taken.total(), taken
