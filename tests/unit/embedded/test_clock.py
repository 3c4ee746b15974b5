"""The time that programs see: the system's clocks, which native code asks, or the clock that the runtime was given."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import pytest

from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.vm.engines import VARIABLE
from ebpf.vm.helpers.environment import TICK_NS
from tests.unit.embedded_programs import load

HELPERS = ("ktime_get_ns", "ktime_get_boot_ns", "ktime_get_tai_ns", "ktime_get_coarse_ns", "jiffies64")
CALLS = [f"call bpf_{name}\n*(u64 *)(r6 + {8 * n}) = r0\n" for n, name in enumerate(HELPERS)]
TEXT = "r6 = *(u32 *)(r1 + 0)\n" + "".join(CALLS) + "r0 = 0\nexit"


@pytest.fixture(params=["reference", "interpreter"], autouse=True)
def _engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, request.param)


def times(clock: Callable[[], int] | None = None) -> tuple[int, ...]:
    """Run a program that asks all clocks."""
    runtime = EmbeddedRuntime(clock=clock)
    program = load(runtime, TEXT)
    try:
        seen = runtime.runner(program).run(bytes(40)).data
    finally:
        program.handle.close()
        runtime.close()
    return struct.unpack("<5Q", seen)


def test_clocks_of_the_system() -> None:
    before = time.monotonic_ns()
    monotonic, boot, tai, coarse, jiffies = times()
    after = time.monotonic_ns()
    assert before <= monotonic <= after
    assert boot >= monotonic
    assert abs(tai - time.time_ns()) < 60 * 10**9
    assert before - TICK_NS <= coarse <= after
    assert coarse % TICK_NS == 0
    assert jiffies - coarse // TICK_NS in (0, 1)


def test_a_clock_of_ones_own() -> None:
    ticks = iter(range(10 * TICK_NS + 7, 20 * TICK_NS, TICK_NS))
    first, *others = times(lambda: next(ticks))
    assert first % TICK_NS == 7
    index = first // TICK_NS
    assert others == [first + TICK_NS, first + 2 * TICK_NS, (index + 3) * TICK_NS, index + 4]
