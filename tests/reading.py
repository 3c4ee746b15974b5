"""Reading the ring "events" of a collection in tests, where an end that never comes has to fail and not to hang."""

from __future__ import annotations

import time

from ebpf.errors import ClosedError
from ebpf.objects import Collection, Reader, RingBuffer

PATIENCE = 30
"""Seconds after which a test fails that would wait for ever."""


def reader_of(loaded: Collection) -> Reader:
    """Return a new reader."""
    events = loaded.maps["events"]
    assert isinstance(events, RingBuffer)
    return events.reader()


def count_to_the_end(reader: Reader) -> int:
    """Read until the sources are exhausted; return how many records came. Raises DeadlineExceeded."""
    count, deadline = 0, time.monotonic() + PATIENCE
    while True:
        try:
            reader.read(max(deadline - time.monotonic(), 0))
        except ClosedError:
            return count
        count += 1
