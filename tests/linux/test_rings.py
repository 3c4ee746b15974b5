"""Ring buffers and perf rings as memory, and waiting for them."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from ebpf.abi.types import MapType, ProgramType
from ebpf.errors import ClosedError, SystemCallError
from ebpf.runtime import MapFacts, RingMemory
from tests.linux.making import KERNEL, a_map, a_program

PAGE = os.sysconf("SC_PAGE_SIZE")

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
def ringbuf() -> Iterator[MapFacts]:
    with a_map(MapType.RINGBUF, key_size=0, value_size=0, max_entries=PAGE) as map_:
        yield map_


@pytest.fixture
def perf() -> Iterator[MapFacts]:
    with a_map(MapType.PERF_EVENT_ARRAY, value_size=4, max_entries=KERNEL.cpus) as map_:
        yield map_


def _emit(map_: MapFacts, times: int = 1, cpu: int = 0) -> None:
    if map_.type is MapType.RINGBUF:
        with a_program(_bytes_of(RINGBUF_OUTPUT), maps=(map_,)) as program:
            KERNEL.runner(program).run(bytes(20), repeat=times)
        return
    with a_program(_bytes_of(PERF_OUTPUT), kind=ProgramType.XDP, maps=(map_,)) as program:
        KERNEL.runner(program).run(bytes(20), repeat=times, cpu=cpu)


def test_a_ring_buffer_s_records_are_mapped(ringbuf: MapFacts) -> None:
    ring = KERNEL.open_ring(ringbuf)
    assert (ring.size, len(ring.data), ring.producer(), ring.consumer()) == (PAGE, 2 * PAGE, 0, 0)
    _emit(ringbuf, 3)
    assert (ring.producer(), ring.consumer()) == (48, 0)
    length, _, value = struct.unpack_from("=IIQ", ring.data, 16)
    assert (length, value) == (8, _value(RINGBUF_OUTPUT))
    ring.set_consumer(48)
    assert ring.consumer() == 48
    ring.close()


def test_the_data_comes_twice_so_that_no_record_wraps(ringbuf: MapFacts) -> None:
    ring = KERNEL.open_ring(ringbuf)
    for _ in range(PAGE // 16 + 10):
        _emit(ringbuf)
        ring.set_consumer(ring.producer())
    assert bytes(ring.data[:PAGE]) == bytes(ring.data[PAGE:])
    ring.close()


def test_a_full_ring_takes_no_more(ringbuf: MapFacts) -> None:
    ring = KERNEL.open_ring(ringbuf)
    _emit(ringbuf, 1000)
    assert ring.producer() <= PAGE
    before = ring.producer()
    _emit(ringbuf)
    assert ring.producer() == before
    ring.set_consumer(before)
    _emit(ringbuf)
    assert ring.producer() == before + 16
    ring.close()


def test_the_data_is_read_only(ringbuf: MapFacts, perf: MapFacts) -> None:
    for ring in (KERNEL.open_ring(ringbuf), KERNEL.open_ring(perf, cpu=0)):
        assert ring.data.readonly
        with pytest.raises(TypeError, match="read-only"):
            ring.data[0] = 1
        ring.close()


def test_a_perf_ring_gets_its_cpu_s_samples(perf: MapFacts) -> None:
    rings = [KERNEL.open_ring(perf, cpu=cpu, size=PAGE) for cpu in range(KERNEL.cpus)]
    _emit(perf, 2, cpu=KERNEL.cpus - 1)
    assert [ring.producer() > 0 for ring in rings] == [False] * (KERNEL.cpus - 1) + [True]
    ring = rings[-1]
    kind, _, size, raw = struct.unpack_from("=IHHI", ring.data, 0)
    assert (kind, size % 8, raw) == (9, 0, 12)  # PERF_RECORD_SAMPLE, 8 bytes and padding
    assert struct.unpack_from("=Q", ring.data, 12)[0] == _value(PERF_OUTPUT)
    assert ring.producer() == 2 * size
    ring.set_consumer(ring.producer())
    assert ring.consumer() == ring.producer()
    for one in rings:
        one.close()


def test_perf_ring_sizes_are_powers_of_two_pages(perf: MapFacts) -> None:
    for asked, size in ((1, PAGE), (PAGE + 1, 2 * PAGE), (3 * PAGE, 4 * PAGE), (None, 64 * 1024)):
        ring = KERNEL.open_ring(perf, cpu=0, size=asked)
        assert (ring.size, len(ring.data)) == (size, size)
        ring.close()


def test_a_closed_perf_ring_leaves_its_slot(perf: MapFacts) -> None:
    ring = KERNEL.open_ring(perf, cpu=0)
    ring.close()
    ring.close()
    again = KERNEL.open_ring(perf, cpu=0)
    _emit(perf, cpu=0)
    assert again.producer() > 0
    again.close()


def test_a_ring_outlives_its_map_s_handle() -> None:
    with a_map(MapType.PERF_EVENT_ARRAY, value_size=4, max_entries=KERNEL.cpus) as map_:
        ring = KERNEL.open_ring(map_, cpu=0)
    assert ring.producer() == 0
    ring.close()


def test_a_cpu_that_is_not_there_is_named_by_errno(perf: MapFacts) -> None:
    with pytest.raises(SystemCallError, match="perf_event_open"):
        KERNEL.open_ring(perf, cpu=4000)


def test_a_map_without_rings_is_refused() -> None:
    with a_map() as map_, pytest.raises(ValueError, match="got a map of type HASH"):
        KERNEL.open_ring(map_)


def test_a_closed_ring_says_so(ringbuf: MapFacts) -> None:
    ring = KERNEL.open_ring(ringbuf)
    ring.close()
    for call in (ring.producer, ring.consumer, lambda: ring.set_consumer(0)):
        with pytest.raises(ClosedError):
            call()


def test_closing_defers_the_unmapping_until_slices_are_gone(ringbuf: MapFacts) -> None:
    _emit(ringbuf)
    ring = KERNEL.open_ring(ringbuf)
    record = ring.data[8:16]
    ring.close()
    assert struct.unpack("=Q", record)[0] == _value(RINGBUF_OUTPUT)
    record.release()


def _mappings() -> int:
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return sum("bpf-map" in line or "perf_event" in line for line in maps)


def test_nothing_stays_mapped(ringbuf: MapFacts, perf: MapFacts) -> None:
    before, descriptors = _mappings(), len(os.listdir("/proc/self/fd"))
    rings = [KERNEL.open_ring(ringbuf), KERNEL.open_ring(perf, cpu=0)]
    waiter = KERNEL.waiter(rings, ringbuf)
    kept = rings[0].data[:8]
    assert _mappings() > before
    waiter.close()
    for ring in rings:
        ring.close()
    assert _mappings() > before
    kept.release()
    del kept
    assert (_mappings(), len(os.listdir("/proc/self/fd"))) == (before, descriptors)


@pytest.fixture
def waiting(ringbuf: MapFacts) -> Iterator[RingMemory]:
    ring = KERNEL.open_ring(ringbuf)
    yield ring
    ring.close()


def test_wait_times_out(waiting: RingMemory, ringbuf: MapFacts) -> None:
    waiter = KERNEL.waiter([waiting], ringbuf)
    started = time.monotonic()
    assert waiter.wait(0.05) is False
    assert 0.04 < time.monotonic() - started < 2
    assert waiter.wait(0) is False
    waiter.close()


def test_data_ends_a_wait(waiting: RingMemory, ringbuf: MapFacts) -> None:
    waiter = KERNEL.waiter([waiting], ringbuf)
    thread = threading.Timer(0.05, _emit, [ringbuf])
    thread.start()
    assert waiter.wait(10) is True
    thread.join()
    waiting.set_consumer(waiting.producer())
    assert waiter.wait(0) is False
    waiter.close()


def test_perf_data_ends_a_wait(perf: MapFacts) -> None:
    rings = [KERNEL.open_ring(perf, cpu=cpu) for cpu in range(KERNEL.cpus)]
    waiter = KERNEL.waiter(rings, perf)
    assert waiter.wait(0) is False
    _emit(perf, cpu=1)
    assert waiter.wait(10) is True
    waiter.close()
    for ring in rings:
        ring.close()


def test_wake_ends_one_wait(waiting: RingMemory, ringbuf: MapFacts) -> None:
    waiter = KERNEL.waiter([waiting], ringbuf)
    waiter.wake()
    waiter.wake()
    assert waiter.wait(10) is True
    assert waiter.wait(0) is False
    waiter.close()
    waiter.wake()
    with pytest.raises(ClosedError):
        waiter.wait(0)


def test_close_ends_every_wait(waiting: RingMemory, ringbuf: MapFacts) -> None:
    waiter = KERNEL.waiter([waiting], ringbuf)
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


def test_the_number_works_with_select(waiting: RingMemory, ringbuf: MapFacts) -> None:
    import select

    waiter = KERNEL.waiter([waiting], ringbuf)
    number = waiter.fileno()
    assert number is not None
    assert select.select([number], [], [], 0)[0] == []
    _emit(ringbuf)
    assert select.select([number], [], [], 10)[0] == [number]
    waiter.close()
