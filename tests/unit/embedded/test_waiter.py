"""Waits for rings that Ctrl-C ends, and what is left of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ebpf.abi.types import MapType
from ebpf.runtime.embedded.rings import EmbeddedRing, EmbeddedWaiter
from tests.conformance.waits import begun, ended, until
from tests.interrupts import interrupted
from tests.unit.embedded_programs import created, kernel


@pytest.fixture
def opened() -> Iterator[tuple[EmbeddedWaiter, EmbeddedRing]]:
    """A waiter and its ring, which is empty."""
    with kernel() as runtime:
        facts = created(runtime, MapType.RINGBUF, 0, 0, 4096)
        ring = runtime.open_ring(facts)
        waiter = runtime.waiter([ring], facts)
        assert isinstance(ring, EmbeddedRing)
        assert isinstance(waiter, EmbeddedWaiter)
        yield waiter, ring
        for thing in (waiter, ring, facts.handle):
            thing.close()


def test_ctrl_c_in_the_middle_of_a_wait_is_what_comes_out_of_it(opened: tuple[EmbeddedWaiter, EmbeddedRing]) -> None:
    waiter, _ = opened
    place, whole = 0, False
    while not whole:
        place += 1
        whole = interrupted(lambda: waiter.wait(0.01), place, threading.__file__) == [False]
        assert ended(lambda: waiter.wait(0)) is False
        waiter.wake()
        assert ended(lambda: waiter.wait(20)) is True
    assert place > 10


def test_ctrl_c_in_the_middle_of_a_wake_leaves_it_to_the_next(opened: tuple[EmbeddedWaiter, EmbeddedRing]) -> None:
    waiter, _ = opened
    place, whole = 0, False
    while not whole:
        place += 1
        whole = bool(interrupted(waiter.wake, place, threading.__file__))
        waiter.wake()
        assert ended(lambda: waiter.wait(20)) is True
    assert place > 1


def test_each_of_many_that_wait_is_rung(opened: tuple[EmbeddedWaiter, EmbeddedRing]) -> None:
    waiter, ring = opened
    calls = [begun(lambda: waiter.wait(20)) for _ in range(4)]
    until(lambda: len(waiter._bell._locks) == len(calls))
    ring.ring.output(b"for all")
    for thread, results in calls:
        thread.join(20)
        assert results == [True]
    assert not waiter._bell._locks
