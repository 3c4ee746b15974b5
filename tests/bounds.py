"""Bounds of time and memory that hold whatever the machine is doing beside."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

_SOON = 0.1
"""Seconds that an end may take; the best of a few tries, because other processes take theirs."""
_TRIES = 5
_QUICK = 0.5
"""Seconds of the processor that nobody has to be asked about."""


def soon(measure: Callable[[], float]) -> bool:
    """Tell whether one of a few tries takes no longer than it may."""
    return any(measure() <= _SOON for _ in range(_TRIES))


def bounded(work: Callable[[], object], size: int) -> None:
    """Run, in what this machine takes to count to 100 million (about two seconds), and in 32 MB + 20 × size."""
    begin = time.process_time()
    work()
    took = time.process_time() - begin
    assert took < _QUICK or took < 20 * _counting(5_000_000)
    tracemalloc.start()
    try:
        work()
        assert tracemalloc.get_traced_memory()[1] < (32 << 20) + 20 * size
    finally:
        tracemalloc.stop()


def _counting(numbers: int) -> float:
    begin = time.process_time()
    for _ in range(numbers):
        pass
    return time.process_time() - begin
