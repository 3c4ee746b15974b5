"""Ring buffers and perf rings as this kernel maps them; what holds on every runtime is in tests/conformance."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

import pytest

from ebpf.abi.types import MapType
from ebpf.errors import SystemCallError
from ebpf.runtime import MapFacts
from tests.conformance.test_ring_memory import emit
from tests.linux.making import KERNEL, a_map

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def ringbuf() -> Iterator[MapFacts]:
    with a_map(MapType.RINGBUF, key_size=0, value_size=0, max_entries=PAGE) as map_:
        yield map_


@pytest.fixture
def perf() -> Iterator[MapFacts]:
    with a_map(MapType.PERF_EVENT_ARRAY, value_size=4, max_entries=KERNEL.cpus) as map_:
        yield map_


def test_the_data_comes_twice_so_that_no_record_wraps(ringbuf: MapFacts) -> None:
    ring = KERNEL.open_ring(ringbuf)
    for _ in range(PAGE // 16 + 10):
        emit(KERNEL, ringbuf)
        ring.set_consumer(ring.producer())
    assert bytes(ring.data[:PAGE]) == bytes(ring.data[PAGE:])
    ring.close()


def test_a_cpu_that_is_not_there_is_named_by_errno(perf: MapFacts) -> None:
    with pytest.raises(SystemCallError, match="perf_event_open"):
        KERNEL.open_ring(perf, cpu=4000)


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


def test_the_number_works_with_select(ringbuf: MapFacts) -> None:
    ring = KERNEL.open_ring(ringbuf)
    waiter = KERNEL.waiter([ring], ringbuf)
    number = waiter.fileno()
    assert number is not None
    assert select.select([number], [], [], 0)[0] == []
    emit(KERNEL, ringbuf)
    assert select.select([number], [], [], 10)[0] == [number]
    waiter.close()
    ring.close()
