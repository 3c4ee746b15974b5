"""A ring buffer without room: native code drops the record itself, unless the run waits or a reader may sleep."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ebpf.abi.helpers import Helper
from ebpf.abi.types import MapType
from ebpf.objects.packets import gather
from ebpf.runtime.base import Runner
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.embedded.rings import EmbeddedRing
from ebpf.vm.engines import Engine
from tests.unit.embedded_programs import created, kernel, load, ring_program

pytestmark = pytest.mark.usefixtures("engine")

PACKET = bytes(64)
SIZE, RECORD = 4096, 72
FITS = (SIZE - 1) // RECORD
FULL = -11 + 2 & 0xFFFFFFFF
"""What `ring_program` returns then; RESERVE returns 1."""
RESERVE = """
    r1 = map_fd[{ring}] ll
    r2 = 64
    r3 = 0
    call bpf_ringbuf_reserve
    if r0 == 0 goto full
    r1 = r0
    r2 = 0
    call bpf_ringbuf_submit
    r0 = 2
    exit
full:
    r0 = 1
    exit
"""
MANY = 40
WAYS: dict[str, Callable[[Runner], object]] = {
    "one by one": lambda runner: [runner.run(PACKET) for _ in range(MANY)],
    "repeated": lambda runner: runner.run(PACKET, repeat=MANY),
    "in a batch": lambda runner: runner.run_many(gather([PACKET] * MANY)),
}


@contextmanager
def filled(text: str | None = None, **options: Any) -> Iterator[tuple[EmbeddedRuntime, Runner, EmbeddedRing]]:
    """A program, and the ring that it has filled."""
    with kernel(**options) as runtime:
        facts = created(runtime, MapType.RINGBUF, 0, 0, SIZE)
        program = ring_program(runtime, facts) if text is None else load(runtime, text, ring=facts)
        ring, runner = runtime.open_ring(facts), runtime.runner(program)
        assert isinstance(ring, EmbeddedRing)
        try:
            for _ in range(FITS):
                assert runner.run(PACKET).retval == 2
            yield runtime, runner, ring
        finally:
            for thing in (ring, program.handle, facts.handle):
                thing.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("text", "dropped"), [(None, FULL), (RESERVE, 1)])
def test_native_code_drops_the_record(
    way: str, text: str | None, dropped: int, asked: Counter[int], engine: Engine
) -> None:
    with filled(text) as (_, runner, ring):
        assert runner.run(PACKET).retval == dropped
        asked.clear()
        WAYS[way](runner)
        assert runner.run(PACKET).retval == dropped
        assert asked.total() == (0 if engine.code else MANY + 1)
        assert ring.producer() == FITS * RECORD


def test_there_is_room_again_as_soon_as_something_was_read(asked: Counter[int]) -> None:
    with filled() as (_, runner, ring):
        for _ in range(3):
            ring.set_consumer(ring.consumer() + RECORD)
            assert [runner.run(PACKET).retval for _ in range(2)] == [2, FULL]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("text", [None, RESERVE])
def test_a_thread_that_may_not_lose_records_waits(way: str, text: str | None) -> None:
    """Whether other threads do, on the same lanes, too, makes no difference."""
    with filled(text) as (runtime, runner, ring):
        WAYS[way](runner)
        wait_for_it(runtime, lambda: WAYS[way](runner), ring)
        assert ring.producer() == (FITS + MANY) * RECORD
        ring.set_consumer(ring.consumer() - RECORD * (FITS - MANY))
        WAYS[way](runner)
        assert ring.producer() == (FITS + MANY) * RECORD


def wait_for_it(runtime: EmbeddedRuntime, body: Callable[[], object], ring: EmbeddedRing) -> None:
    """Do something on a thread that waits for space, and read until it is done."""

    def work() -> None:
        runtime.state.lossless.waits = True
        body()

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        if ring.consumer() != ring.producer():
            ring.set_consumer(ring.consumer() + RECORD)
        thread.join(0.0005)


@pytest.mark.parametrize("text", [None, RESERVE])
def test_a_reader_that_may_sleep_is_woken_first(text: str | None, asked: Counter[int], engine: Engine) -> None:
    """Many runs follow each other: at their end it would be woken anyway, and the records until then be lost."""
    times = 3 * FITS
    with filled(text) as (_, runner, ring):
        woken: list[int] = []

        def wake() -> None:
            woken.append(ring.producer())
            ring.set_consumer(ring.producer())

        ring.set_consumer(ring.producer())  # the next record is one that its reader waits for
        asked.clear()
        ring.ring.listeners.append(wake)
        runner.run(PACKET, repeat=times)
        ring.ring.listeners.remove(wake)
        lost = 0 if engine.code is None else 2
        assert ring.producer() == (FITS + times - lost) * RECORD
        if engine.code is None:
            assert len(woken) == times
        else:
            # Each time FITS records, and the one that Python is asked for.
            assert woken == [2 * FITS * RECORD, 3 * FITS * RECORD, (4 * FITS - lost) * RECORD]
            assert asked == {Helper.RINGBUF_OUTPUT if text is None else Helper.RINGBUF_RESERVE: lost}
