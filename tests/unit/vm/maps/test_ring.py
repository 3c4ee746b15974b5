"""Ring buffer: layout of records, wrapping, order of completion, wake-ups, waiting for space."""

from __future__ import annotations

import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.abi.linux import EAGAIN, EINVAL
from ebpf.abi.types import MapType
from ebpf.vm.maps import MapShape, RingBufferMap, create_map
from ebpf.vm.maps.ring import BUSY, DISCARD

pytestmark = pytest.mark.usefixtures("storage")


def make(size: int = 4096) -> RingBufferMap:
    ring = create_map(MapShape(MapType.RINGBUF, 0, 0, size))
    assert isinstance(ring, RingBufferMap)
    return ring


def consume(ring: RingBufferMap) -> list[bytes]:
    """Read what is complete, as a consumer of the mapped pages does."""
    found = []
    while ring.consumer() < ring.producer():
        at = ring.consumer() % ring.size
        (length,) = struct.unpack_from("<I", ring.data, at)
        if length & BUSY:
            break
        size = length & ~(BUSY | DISCARD)
        if not length & DISCARD:
            found.append(ring.data[at + 8 : at + 8 + size].tobytes())
        ring.set_consumer(ring.consumer() + 8 + (size + 7) // 8 * 8)
    return found


def test_header() -> None:
    ring = make()
    record = ring.reserve(13)
    assert record is not None
    assert struct.unpack_from("<II", ring.data, 0) == (13 | BUSY, 3)
    assert ring.producer() == 24
    ring.discard(record)
    assert struct.unpack_from("<I", ring.data, 0) == (13 | DISCARD,)
    assert consume(ring) == []
    assert ring.consumer() == 24


def test_an_unfinished_record_holds_up_those_behind_it() -> None:
    ring = make()
    first, second = ring.reserve(8), ring.reserve(8)
    assert first is not None
    assert second is not None
    second.view[:] = b"second__"
    ring.submit(second)
    assert not ring.ready()
    assert consume(ring) == []
    first.view[:] = b"first___"
    ring.submit(first)
    assert ring.ready()
    assert consume(ring) == [b"first___", b"second__"]


@pytest.mark.parametrize(("size", "fits"), [(4096 - 8, False), (4096 - 9, False), (4096 - 16, True), (1 << 31, False)])
def test_one_byte_stays_free(size: int, fits: bool) -> None:
    assert (make().reserve(size) is not None) == fits


def test_full() -> None:
    ring = make()
    assert [ring.output(bytes(2000)) for _ in range(3)] == [0, 0, -EAGAIN]
    assert ring.query(0) == 2 * 2008
    assert [ring.query(what) for what in (1, 2, 3, 4)] == [4096, 0, 4016, 0]
    assert ring.output(b"", 4) == -EINVAL


@given(st.lists(st.binary(max_size=900), max_size=60))
def test_records_come_out_as_they_went_in(records: list[bytes]) -> None:
    ring, seen = make(), list[bytes]()
    for record in records:
        if ring.output(record) == -EAGAIN:
            seen += consume(ring)
            assert ring.output(record) == 0
    assert seen + consume(ring) == records


@pytest.mark.parametrize(
    ("flags", "behind", "wakes"), [(0, False, 1), (0, True, 0), (1, False, 0), (2, True, 1), (2, False, 1)]
)
def test_wake_up(flags: int, behind: bool, wakes: int) -> None:
    ring, woken = make(), []
    if behind:
        ring.output(b"unread")
    ring.listeners.append(lambda: woken.append(1))
    assert ring.output(b"x", flags) == 0
    assert len(woken) == wakes


def test_waiting_for_space() -> None:
    ring = make()
    freed = threading.Event()

    def wait(full: RingBufferMap, seen: int) -> bool:
        freed.set()
        with full.space.listening() as rung:
            while full.consumer() == seen:
                assert rung(10)
        return True

    ring.on_full = wait
    ring.output(bytes(4080))
    thread = threading.Thread(target=lambda: ring.output(b"after"))
    thread.start()
    assert freed.wait(10)
    assert consume(ring) == [bytes(4080)]
    thread.join(10)
    assert consume(ring) == [b"after"]
