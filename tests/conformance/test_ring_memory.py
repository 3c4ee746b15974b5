"""Ring buffers and perf rings as memory, and waiting for them, below the readers."""

from __future__ import annotations

import mmap
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from ebpf.abi.linux import ENOENT
from ebpf.abi.types import MapType, ProgramType
from ebpf.errors import ClosedError
from ebpf.runtime import MapFacts, RingMemory, Runtime
from ebpf.runtime.base import Waiter
from ebpf.runtime.embedded.rings import EmbeddedWaiter
from tests.conformance.making import a_map, a_program
from tests.conformance.test_failures import held
from tests.conformance.waits import begun, until
from tests.interrupts import interrupted

PAGE = mmap.PAGESIZE

RINGBUF_OUTPUT = """
r1 = 0x1122334455667788 ll
*(u64 *)(r10 - 8) = r1
r1 = 0 ll
r2 = r10
r2 += -8
r3 = 8
r4 = 0
call 130
r0 = 0
exit
"""

PERF_OUTPUT = """
r6 = r1
r3 = 0x0123456789abcdef ll
*(u64 *)(r10 - 8) = r3
r1 = r6
r2 = 0 ll
w3 = -1
r4 = r10
r4 += -8
r5 = 8
call 25
r0 = 0
exit
"""
OUTCOME = PERF_OUTPUT.replace("r0 = 0\n", "")
"""Returns what the helper returned."""


def _bytes_of(text: str) -> str:
    """Write a 64-bit constant in two halves, so that ldimm64 is left to map references."""
    lines = []
    for line in text.strip().splitlines():
        name, _, rest = line.partition(" = ")
        if rest.endswith(" ll") and rest != "0 ll":
            value = int(rest.removesuffix(" ll"), 16)
            lines += [f"w{name[1:]} = {value >> 32}", f"{name} <<= 32", f"{name} |= {value & 0x7FFFFFFF}"]
        else:
            lines.append(line)
    return "\n".join(lines)


def _value(text: str) -> int:
    value = int(text.split(" = 0x")[1].split(" ll")[0], 16)
    return value >> 32 << 32 | value & 0x7FFFFFFF


@pytest.fixture
def ringbuf(runtime: Runtime) -> Iterator[MapFacts]:
    with a_map(runtime, MapType.RINGBUF, key_size=0, value_size=0, max_entries=PAGE) as map_:
        yield map_


@pytest.fixture
def perf(runtime: Runtime) -> Iterator[MapFacts]:
    with a_map(runtime, MapType.PERF_EVENT_ARRAY, value_size=4, max_entries=runtime.cpus) as map_:
        yield map_


def emit(runtime: Runtime, map_: MapFacts, times: int = 1, cpu: int = 0) -> None:
    if map_.type is MapType.RINGBUF:
        with a_program(runtime, _bytes_of(RINGBUF_OUTPUT), maps=(map_,)) as program:
            runtime.runner(program).run(bytes(20), repeat=times)
        return
    with a_program(runtime, _bytes_of(PERF_OUTPUT), kind=ProgramType.XDP, maps=(map_,)) as program:
        runtime.runner(program).run(bytes(20), repeat=times, cpu=cpu)


def test_a_ring_buffer_s_records_are_mapped(runtime: Runtime, ringbuf: MapFacts) -> None:
    ring = runtime.open_ring(ringbuf)
    assert (ring.size, len(ring.data), ring.producer(), ring.consumer()) == (PAGE, 2 * PAGE, 0, 0)
    emit(runtime, ringbuf, 3)
    assert (ring.producer(), ring.consumer()) == (48, 0)
    length, _, value = struct.unpack_from("=IIQ", ring.data, 16)
    assert (length, value) == (8, _value(RINGBUF_OUTPUT))
    ring.set_consumer(48)
    assert ring.consumer() == 48
    ring.close()


def test_a_full_ring_takes_no_more(runtime: Runtime, ringbuf: MapFacts) -> None:
    ring = runtime.open_ring(ringbuf)
    emit(runtime, ringbuf, 1000)
    assert ring.producer() <= PAGE
    before = ring.producer()
    emit(runtime, ringbuf)
    assert ring.producer() == before
    ring.set_consumer(before)
    emit(runtime, ringbuf)
    assert ring.producer() == before + 16
    ring.close()


def test_the_data_is_read_only(runtime: Runtime, ringbuf: MapFacts, perf: MapFacts) -> None:
    for ring in (runtime.open_ring(ringbuf), runtime.open_ring(perf, cpu=0)):
        assert ring.data.readonly
        with pytest.raises(TypeError, match="read-only"):
            ring.data[0] = 1
        ring.close()


def test_a_perf_ring_gets_its_cpu_s_samples(runtime: Runtime, perf: MapFacts) -> None:
    rings = [runtime.open_ring(perf, cpu=cpu, size=PAGE) for cpu in range(runtime.cpus)]
    emit(runtime, perf, 2, cpu=runtime.cpus - 1)
    assert [ring.producer() > 0 for ring in rings] == [False] * (runtime.cpus - 1) + [True]
    ring = rings[-1]
    kind, _, size, raw = struct.unpack_from("=IHHI", ring.data, 0)
    assert (kind, size % 8, raw) == (9, 0, 12)  # PERF_RECORD_SAMPLE, 8 bytes and padding
    assert struct.unpack_from("=Q", ring.data, 12)[0] == _value(PERF_OUTPUT)
    assert ring.producer() == 2 * size
    ring.set_consumer(ring.producer())
    assert ring.consumer() == ring.producer()
    for one in rings:
        one.close()


def test_perf_ring_sizes_are_powers_of_two_pages(runtime: Runtime, perf: MapFacts) -> None:
    for asked, size in ((1, PAGE), (PAGE + 1, 2 * PAGE), (3 * PAGE, 4 * PAGE), (None, 64 * 1024)):
        ring = runtime.open_ring(perf, cpu=0, size=asked)
        assert (ring.size, len(ring.data)) == (size, size)
        ring.close()


def test_a_closed_perf_ring_leaves_its_slot(runtime: Runtime, perf: MapFacts) -> None:
    ring = runtime.open_ring(perf, cpu=0)
    ring.close()
    ring.close()
    again = runtime.open_ring(perf, cpu=0)
    emit(runtime, perf, cpu=0)
    assert again.producer() > 0
    again.close()


def test_a_ring_outlives_its_map_s_handle(runtime: Runtime) -> None:
    with a_map(runtime, MapType.PERF_EVENT_ARRAY, value_size=4, max_entries=runtime.cpus) as map_:
        ring = runtime.open_ring(map_, cpu=0)
    assert ring.producer() == 0
    ring.close()


def test_a_map_without_rings_is_refused(runtime: Runtime) -> None:
    with a_map(runtime) as map_, pytest.raises(ValueError, match="got a map of type HASH"):
        runtime.open_ring(map_)


def test_a_closed_ring_says_so(runtime: Runtime, ringbuf: MapFacts) -> None:
    ring = runtime.open_ring(ringbuf)
    ring.close()
    for call in (ring.producer, ring.consumer, lambda: ring.set_consumer(0)):
        with pytest.raises(ClosedError):
            call()


def test_closing_defers_the_unmapping_until_slices_are_gone(runtime: Runtime, ringbuf: MapFacts) -> None:
    emit(runtime, ringbuf)
    ring = runtime.open_ring(ringbuf)
    record = ring.data[8:16]
    ring.close()
    assert struct.unpack("=Q", record)[0] == _value(RINGBUF_OUTPUT)
    record.release()


def closings(runtime: Runtime, map_: MapFacts) -> Iterator[RingMemory]:
    """Open a ring again and again, each closed half by a call that is interrupted, each time at another place."""
    runtime.open_ring(map_, cpu=0).close()  # imports what that takes
    place, whole = 0, False
    while not whole:
        place += 1
        ring = runtime.open_ring(map_, cpu=0)
        whole = bool(interrupted(ring.close, place))
        yield ring
    assert place > 5


@pytest.mark.parametrize("type_", [MapType.RINGBUF, MapType.PERF_EVENT_ARRAY])
def test_another_close_completes_one_that_was_interrupted(
    runtime: Runtime, ringbuf: MapFacts, perf: MapFacts, type_: MapType
) -> None:
    map_ = ringbuf if type_ is MapType.RINGBUF else perf
    before = held(runtime)
    for ring in closings(runtime, map_):
        ring.close()
        with pytest.raises(ClosedError):
            ring.producer()
        assert held(runtime) == before


def test_it_empties_the_slot(runtime: Runtime, perf: MapFacts) -> None:
    with a_program(runtime, _bytes_of(OUTCOME), kind=ProgramType.XDP, maps=(perf,)) as program:
        for ring in closings(runtime, perf):
            ring.close()
            assert runtime.runner(program).run(bytes(20), cpu=0).retval == -ENOENT & 0xFFFFFFFF


def test_it_leaves_alone_what_was_opened_in_between(runtime: Runtime, perf: MapFacts) -> None:
    for ring in closings(runtime, perf):
        newer = runtime.open_ring(perf, cpu=0)  # by the same number, where that was given back already
        ring.close()
        emit(runtime, perf)
        assert newer.producer() > 0
        newer.close()


@pytest.fixture
def waiting(runtime: Runtime, ringbuf: MapFacts) -> Iterator[RingMemory]:
    ring = runtime.open_ring(ringbuf)
    yield ring
    ring.close()


def test_wait_times_out(runtime: Runtime, waiting: RingMemory, ringbuf: MapFacts) -> None:
    waiter = runtime.waiter([waiting], ringbuf)
    started = time.monotonic()
    assert waiter.wait(0.05) is False
    assert 0.04 < time.monotonic() - started < 2
    assert waiter.wait(0) is False
    waiter.close()


def test_data_ends_a_wait(runtime: Runtime, waiting: RingMemory, ringbuf: MapFacts) -> None:
    waiter = runtime.waiter([waiting], ringbuf)
    thread = threading.Timer(0.05, emit, [runtime, ringbuf])
    thread.start()
    assert waiter.wait(10) is True
    thread.join()
    waiting.set_consumer(waiting.producer())
    assert waiter.wait(0) is False
    waiter.close()


def test_perf_data_ends_a_wait(runtime: Runtime, perf: MapFacts) -> None:
    rings = [runtime.open_ring(perf, cpu=cpu) for cpu in range(runtime.cpus)]
    waiter = runtime.waiter(rings, perf)
    assert waiter.wait(0) is False
    emit(runtime, perf, cpu=runtime.cpus - 1)
    assert waiter.wait(10) is True
    waiter.close()
    for ring in rings:
        ring.close()


def test_wake_ends_one_wait(runtime: Runtime, waiting: RingMemory, ringbuf: MapFacts) -> None:
    waiter = runtime.waiter([waiting], ringbuf)
    waiter.wake()
    waiter.wake()
    assert waiter.wait(10) is True
    assert waiter.wait(0) is False
    waiter.close()
    waiter.wake()
    with pytest.raises(ClosedError):
        waiter.wait(0)


def test_close_ends_every_wait(runtime: Runtime, waiting: RingMemory, ringbuf: MapFacts) -> None:
    waiter = runtime.waiter([waiting], ringbuf)
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(waiter.wait(None))) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    waiter.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert results == [True] * 4


def test_another_close_of_a_waiter_completes_one_that_was_interrupted(
    runtime: Runtime, waiting: RingMemory, ringbuf: MapFacts
) -> None:
    before, place, whole = held(runtime), 0, False
    while not whole:
        place += 1
        waiter = runtime.waiter([waiting], ringbuf)
        thread, results = begun(lambda waiter=waiter: ends(waiter))
        until(lambda waiter=waiter: is_awaited(waiter))
        whole = bool(interrupted(waiter.close, place))
        waiter.close()
        thread.join(5)
        assert results == [True], place
        with pytest.raises(ClosedError):
            waiter.wait(0)
        assert held(runtime) == before, place
    assert place > 3


def ends(waiter: Waiter) -> bool:
    """Wait until the waiter is closed; one that is closed as the wait begins says so."""
    try:
        return waiter.wait(20)
    except ClosedError:
        return True


def is_awaited(waiter: Waiter) -> bool:
    """Whether a thread waits, or is about to."""
    if isinstance(waiter, EmbeddedWaiter):
        return bool(waiter._bell._locks)
    return waiter._handle._borrowed.users > 0  # type: ignore[attr-defined]
