"""Runs that wait for the reader of a full ring: they lose nothing, and wait for nothing that can't come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from ebpf.abi.linux import ENOSPC
from ebpf.abi.types import MapType
from ebpf.errors import ClosedError, ProgramFault
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.embedded.rings import EmbeddedRing
from ebpf.vm.maps import PerfRing, RingBufferMap
from ebpf.vm.maps.ring import NO_WAKEUP
from tests.interrupts import interrupted
from tests.unit.embedded_programs import created, kernel, load

SIZE = 4096
RINGS = {MapType.RINGBUF: (0, 0, SIZE), MapType.PERF_EVENT_ARRAY: (4, 4, 1)}
Write = Callable[[bytes], int]


def in_time(runtime: EmbeddedRuntime, work: Callable[[], object]) -> list[object]:
    """What `work` returns on a thread that may not lose records; nothing if it waits for ever, which ends here."""
    answers: list[object] = []

    def lossless() -> None:
        runtime.state.lossless.waits = True
        with suppress(ProgramFault):  # the kernel was closed
            answers.append(work())

    thread = threading.Thread(target=lossless)
    thread.start()
    thread.join(5)
    found = list(answers)
    runtime.close()
    thread.join(10)
    assert not thread.is_alive()
    return found


@pytest.fixture(params=RINGS, ids=lambda type_: type_.name)
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[EmbeddedRuntime, EmbeddedRing]]:
    """A kernel and the open ring of one of its maps."""
    with kernel() as runtime:
        facts = created(runtime, request.param, *RINGS[request.param])
        ring = runtime.open_ring(facts, cpu=0, size=SIZE)
        assert isinstance(ring, EmbeddedRing)
        yield runtime, ring
        ring.close()
        facts.handle.close()


def test_a_reader_that_reads_all_before_the_wait_begins(
    opened: tuple[EmbeddedRuntime, EmbeddedRing], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, ring = opened
    tries = "_try_reserve" if isinstance(ring.ring, RingBufferMap) else "_write"
    once = getattr(ring.ring, tries)

    def then_read_all(*args: object) -> object:
        made = once(*args)
        if not made:
            ring.set_consumer(ring.producer())
        return made

    monkeypatch.setattr(ring.ring, tries, then_read_all)
    assert ring.ring.output(bytes(3000)) == 0
    assert in_time(runtime, lambda: ring.ring.output(bytes(3000))) == [0]


@pytest.mark.parametrize("size", [SIZE - 8, SIZE], ids=["as large as the ring", "larger"])
def test_what_never_fits_is_not_waited_for(opened: tuple[EmbeddedRuntime, EmbeddedRing], size: int) -> None:
    runtime, ring = opened
    answers = in_time(runtime, lambda: ring.ring.output(bytes(size)))
    assert len(answers) == 1
    assert answers != [0]


def test_a_sample_that_does_not_fit_beside_the_count_of_lost_ones() -> None:
    with kernel() as runtime:
        facts = created(runtime, MapType.PERF_EVENT_ARRAY, 4, 4, 1)
        ring = runtime.open_ring(facts, cpu=0, size=SIZE)
        perf = ring.ring  # type: ignore[attr-defined]  # of the embedded kernel
        assert isinstance(perf, PerfRing)
        assert perf.output(bytes(5000)) < 0
        largest = SIZE - 20
        assert in_time(runtime, lambda: perf.output(bytes(largest))) == [-ENOSPC]
        ring.close()
        facts.handle.close()


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    "second",
    [
        "r1 = map_fd[{ring}] ll\nr2 = 3000\nr3 = 0\ncall bpf_ringbuf_reserve\nif r0 == 0 goto full",
        "r1 = map_fd[{ring}] ll\nr2 = r6\nr3 = 3000\nr4 = 0\ncall bpf_ringbuf_output\nif r0 != 0 goto full",
    ],
    ids=["reserve", "output"],
)
def test_a_run_does_not_wait_for_a_reader_of_its_own_record(second: str) -> None:
    """A reader gets as far as the record that the run still holds, and no further."""
    with kernel() as runtime:
        facts = created(runtime, MapType.RINGBUF, 0, 0, SIZE)
        ring = runtime.open_ring(facts)
        text = f"""
        r1 = map_fd[{{ring}}] ll
        r2 = 3000
        r3 = 0
        call bpf_ringbuf_reserve
        r6 = r0
        if r0 == 0 goto full
        {second}
        r7 = 1
        goto submit
        full:
        r7 = 2
        submit:
        r1 = r6
        r2 = 0
        call bpf_ringbuf_submit
        r0 = r7
        exit
        """
        program = load(runtime, text, ring=facts)
        runner = runtime.runner(program)
        assert in_time(runtime, lambda: runner.run(bytes(64)).retval) == [2]
        for thing in (ring, program.handle, facts.handle):
            thing.close()


def test_a_reader_that_sleeps_beside_silent_records_is_woken() -> None:
    with kernel() as runtime:
        facts = created(runtime, MapType.RINGBUF, 0, 0, SIZE)
        ring = runtime.open_ring(facts)
        assert isinstance(ring, EmbeddedRing)
        buffer = ring.ring
        assert isinstance(buffer, RingBufferMap)
        buffer.listeners.append(lambda: ring.set_consumer(ring.producer()))
        assert buffer.output(bytes(3000), NO_WAKEUP) == 0
        assert ring.consumer() == 0
        assert in_time(runtime, lambda: buffer.output(bytes(3000), NO_WAKEUP)) == [0]
        buffer.listeners.clear()
        for thing in (ring, facts.handle):
            thing.close()


def test_ctrl_c_in_the_middle_of_a_wait_for_space_is_what_comes_out_of_it(
    opened: tuple[EmbeddedRuntime, EmbeddedRing], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, ring = opened
    monkeypatch.setattr(runtime.state.lossless, "waits", True)
    place, whole = 0, list[bool]()
    while not whole:
        place += 1
        assert ring.ring.output(bytes(3000)) == 0
        seen = ring.consumer()
        reader = threading.Timer(0.005, ring.set_consumer, [ring.producer()])
        reader.start()
        whole = interrupted(lambda seen=seen: runtime.state.wait_for_space(ring.ring, seen), place, threading.__file__)
        reader.join()
        assert whole in ([], [True])
    assert place > 5


def test_waits_for_records_end_with_the_kernel() -> None:
    with kernel() as runtime:
        facts = created(runtime, MapType.RINGBUF, 0, 0, SIZE)
        ring = runtime.open_ring(facts)
        waiter = runtime.waiter([ring], facts)
        assert isinstance(ring, EmbeddedRing)
        assert isinstance(ring.ring, RingBufferMap)
        ring.ring.output(b"the last one")
        ends: list[str] = []

        def wait() -> None:
            try:
                waiter.wait(20)
            except ClosedError as error:
                ends.append(str(error))

        wait()
        ring.set_consumer(ring.producer())
        thread = threading.Thread(target=wait)
        thread.start()
        runtime.close()
        thread.join(20)
        assert ends == ["the kernel of the ring was closed"]
        for thing in (waiter, ring, facts.handle):
            thing.close()
