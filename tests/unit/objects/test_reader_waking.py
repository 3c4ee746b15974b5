"""When readers wake each other and give their rings back, on rings and a waiter that do no more than they are told."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import struct
import sys
import threading
from collections.abc import Callable
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

import ebpf
from ebpf.objects import Reader
from ebpf.objects.channel import Channel
from ebpf.objects.collection import Sources
from ebpf.objects.records import RingCursor
from tests.conformance.waits import begun, ended, until

OBJECTS = os.path.join(os.path.dirname(ebpf.__file__), "objects")
RECORD = b"12345678"


class FakeRing:
    """A ring buffer, and how often it was closed; `on_free` is called when space is given back."""

    size = 4096

    def __init__(self) -> None:
        self._bytes = bytearray(self.size)
        self._head = self._tail = 0
        self.on_free: Callable[[], None] = int
        self.closed = 0

    @property
    def data(self) -> memoryview:
        return memoryview(bytes(self._bytes))

    def producer(self) -> int:
        return self._head

    def consumer(self) -> int:
        return self._tail

    def set_consumer(self, position: int) -> None:
        self.on_free()
        self._tail = position

    def close(self) -> None:
        self.closed += 1

    def write(self) -> None:
        record = struct.pack("=II", len(RECORD), 0) + RECORD
        self._bytes[self._head : self._head + len(record)] = record
        self._head += len(record)


class FakeWaiter:
    """A waiter that wake() alone ends; `on_wake` is called in the middle of that."""

    def __init__(self) -> None:
        self._woken = threading.Semaphore(0)
        self.on_wake: Callable[[], None] = int
        self.waits = 0
        self.closed = 0

    def wait(self, timeout: float | None) -> bool:
        self.waits += 1
        return self._woken.acquire(timeout=timeout)

    def wake(self) -> None:
        self.on_wake()
        self._woken.release()

    def fileno(self) -> None:
        return None

    def close(self) -> None:
        self.closed += 1


class Fakes:
    """A ring, its waiter and their reader."""

    def __init__(self) -> None:
        self.ring, self.waiter = FakeRing(), FakeWaiter()
        runtime = SimpleNamespace(waiter=lambda rings, facts: self.waiter)
        map_: Any = SimpleNamespace(name="events", runtime=runtime, facts=None, sources=Sources(), _readers=set())
        self.reader = Reader([Channel(RingCursor(self.ring), map_, None)])

    @property
    def closed(self) -> tuple[int, int]:
        """How often ring and waiter were closed."""
        return self.ring.closed, self.waiter.closed


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


@pytest.mark.parametrize("meanwhile", [False, True])
def test_who_takes_a_record_wakes_another_for_the_next(fakes: Fakes, meanwhile: bool) -> None:
    def write_once_more() -> None:
        fakes.ring.on_free = int
        fakes.ring.write()  # behind a record that is not given back yet: its program wakes nobody

    calls = [begun(fakes.reader.read) for _ in range(2)]
    until(lambda: len(fakes.reader._waiting) == 2)
    if meanwhile:
        fakes.ring.on_free = write_once_more
    else:
        fakes.ring.write()
    fakes.ring.write()
    fakes.waiter.wake()
    for thread, results in calls:
        thread.join(20)
        assert results == [RECORD]
    fakes.reader.close()


def test_who_is_about_to_wait_looks_again(fakes: Fakes) -> None:
    class Waiting(set[object]):
        def add(self, call: object) -> None:
            fakes.ring.write()  # after the last look; whoever copied it out before this knows of nobody to wake
            super().add(call)

    fakes.reader._waiting = Waiting()
    assert ended(fakes.reader.read) == RECORD
    fakes.reader.close()


def test_a_record_that_could_not_be_returned_goes_to_another_who_waits(fakes: Fakes) -> None:
    def fail(_: object) -> None:
        raise KeyboardInterrupt

    thread, results = begun(fakes.reader.read)
    until(lambda: fakes.reader._waiting)
    fakes.ring.write()
    with pytest.raises(KeyboardInterrupt):
        fakes.reader._until(0, fakes.reader._consumer.take_one, fail)
    thread.join(20)
    assert results == [RECORD]
    fakes.reader.close()


def test_nobody_is_woken_where_nobody_waits(fakes: Fakes) -> None:
    fakes.waiter.on_wake = lambda: pytest.fail("for whom?")
    fakes.ring.write()
    fakes.ring.write()
    assert [fakes.reader.read(0) for _ in range(2)] == [RECORD] * 2
    fakes.reader.close()


def test_a_handler_may_close_the_reader_in_the_middle_of_wake(fakes: Fakes) -> None:
    fakes.waiter.on_wake = fakes.reader.close
    ended(fakes.reader.flush)
    assert fakes.closed == (1, 1)


def test_a_handler_may_close_the_reader_in_the_middle_of_a_call(fakes: Fakes) -> None:
    fakes.ring.on_free = fakes.reader.close
    fakes.ring.write()
    assert ended(fakes.reader.read) == RECORD
    assert fakes.closed == (1, 1)


def test_a_handler_may_close_the_reader_in_the_middle_of_close(fakes: Fakes) -> None:
    close = fakes.ring.close

    def close_twice() -> None:
        fakes.reader.close()
        close()

    fakes.ring.close = close_twice  # type: ignore[method-assign]  # this ring only
    ended(fakes.reader.close)
    assert fakes.closed == (1, 1)


def interrupt(call: Callable[[], object], place: int) -> bool:
    """Raise KeyboardInterrupt as function number `place` of a call begins; return whether it has so many."""
    count = 0

    def raise_there(frame: FrameType, _event: str, _arg: object) -> None:
        nonlocal count
        if frame.f_code.co_filename.startswith(OBJECTS):
            count += 1
            if count == place:
                raise KeyboardInterrupt

    before = sys.gettrace()
    sys.settrace(raise_there)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_another_close_completes_one_that_was_interrupted() -> None:
    place, interrupted = 0, True
    while interrupted:
        place += 1
        fakes = Fakes()
        interrupted = interrupt(fakes.reader.close, place)
        fakes.reader.close()
        fakes.reader.close()
        assert fakes.ring.closed == 1
    assert place > 3


def test_dropping_the_reader_completes_a_close_that_was_interrupted() -> None:
    place, interrupted = 1, True  # not before it has begun: nobody has closed then
    while interrupted:
        place += 1
        fakes = Fakes()
        interrupted = interrupt(fakes.reader.close, place)
        del fakes.reader
        gc.collect()
        assert fakes.ring.closed == 1
    assert place > 3


def test_closing_while_another_call_waits_leaves_the_rings_to_that(fakes: Fakes) -> None:
    thread, results = begun(lambda: list(fakes.reader))
    until(lambda: fakes.reader._waiting)
    fakes.reader.close()
    thread.join(20)
    assert (results, fakes.closed) == ([[]], (1, 1))


def test_the_thread_of_cancelled_tasks_passes_on_what_ends_it(fakes: Fakes) -> None:
    woken: list[int] = []
    fakes.waiter.on_wake = lambda: woken.append(1)
    cancel_a_task(fakes)
    until(lambda: len(woken) == 2)  # for the thread, and by it
    fakes.reader.close()


def test_the_thread_of_cancelled_tasks_ends_even_if_another_gets_the_wake(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebpf.objects.watch._PATIENCE", 0.01)
    monkeypatch.setattr(fakes.waiter, "wake", int)
    before = threading.active_count()
    cancel_a_task(fakes)
    until(lambda: threading.active_count() <= before)
    fakes.reader.close()


def cancel_a_task(fakes: Fakes) -> None:
    """Cancel a task while a thread waits for it."""

    async def main() -> None:
        task = asyncio.ensure_future(fakes.reader.__anext__())
        while not fakes.waiter.waits:
            await asyncio.sleep(0.001)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    ended(lambda: asyncio.run(main()))
