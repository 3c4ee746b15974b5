"""Programs with ring buffers as functions: their readers are woken, and nothing is lost, doubled or left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from ebpf.abi.types import MapType
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.embedded.rings import EmbeddedRing
from ebpf.vm.engines import Engine
from tests.threads import in_threads
from tests.unit.embedded_programs import created, kernel, load, ring_program

pytestmark = pytest.mark.usefixtures("engine")

SIZE, RECORD = 4096, 72
FITS = (SIZE - 1) // RECORD
NUMBERS = """
    r6 = *(u32 *)(r1 + 0)
    r6 = *(u32 *)(r6 + 0)
    *(u64 *)(r10 - 8) = r6
    r1 = map_fd[{ring}] ll
    r2 = r10
    r2 += -8
    r3 = 8
    r4 = 0
    call bpf_ringbuf_output
    r0 = r6
    exit
"""
"""Puts the packet's first number into the ring, and returns it."""


@contextmanager
def function(
    text: str | None = None, size: int = SIZE
) -> Iterator[tuple[EmbeddedRuntime, EmbeddedRing, Callable[[bytearray], int]]]:
    """A kernel, a ring, and a program that writes to it as a function."""
    with kernel() as runtime:
        facts = created(runtime, MapType.RINGBUF, 0, 0, size)
        program = ring_program(runtime, facts) if text is None else load(runtime, text, ring=facts)
        ring = runtime.open_ring(facts)
        assert isinstance(ring, EmbeddedRing)
        try:
            yield runtime, ring, runtime.runner(program).function()
        finally:
            for thing in (ring, program.handle, facts.handle):
                thing.close()


def test_it_is_a_builtin_and_drops_what_has_no_room(engine: Engine) -> None:
    with function() as (_, ring, call):
        assert (type(call) is type(len)) == (engine.code is not None)
        assert [call(bytearray(64)) for _ in range(FITS + 1)] == [2] * FITS + [-11 + 2 & 0xFFFFFFFF]
        assert ring.producer() == FITS * RECORD


def test_a_sleeping_reader_is_woken() -> None:
    with function() as (runtime, ring, call):
        waiter, woken = runtime.waiter([ring], None), threading.Event()  # type: ignore[arg-type]  # nobody looks at it

        def read() -> None:
            for _ in range(3):
                assert waiter.wait(20)
                ring.set_consumer(ring.producer())
                woken.set()

        thread = threading.Thread(target=read)
        thread.start()
        for _ in range(3):
            call(bytearray(64))
            assert woken.wait(5)
            woken.clear()
        thread.join(10)
        waiter.close()


def test_each_thread_gets_its_own_result() -> None:
    """While readers are woken other threads may run the program."""
    with function(NUMBERS, 1 << 20) as (_, ring, call):
        wrong: list[tuple[int, int]] = []
        wake = threading.Lock()

        def listen() -> None:
            with wake:
                ring.set_consumer(ring.producer())

        def work(first: int) -> None:
            for number in range(first, first + 2000):
                got = call(bytearray(number.to_bytes(4, "little") + bytes(60)))
                if got != number:
                    wrong.append((got, number))

        ring.ring.listeners.append(listen)
        try:
            in_threads(partial(work, first * 10_000) for first in range(4))
        finally:
            ring.ring.listeners.remove(listen)
        assert not wrong
        assert ring.producer() == 8000 * 16
