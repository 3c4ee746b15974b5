"""Records out of rings, against a model of the kernel's writing."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.objects.records import PERF_RECORD_LOST, PERF_RECORD_SAMPLE, Cursor, PerfCursor, RingCursor

SIZE = 256
BUSY, DISCARD = 1 << 31, 1 << 30


class FakeRing:
    """A ring in a bytearray; `mirror` lays the data out twice, as ring buffers are mapped."""

    def __init__(self, *, mirror: bool, start: int = 0) -> None:
        self.size = SIZE
        self._mirror = mirror
        self._bytes = bytearray(SIZE)
        self._head = self._tail = start

    @property
    def data(self) -> memoryview:
        return memoryview(bytes(self._bytes) * (2 if self._mirror else 1))

    def producer(self) -> int:
        return self._head

    def consumer(self) -> int:
        return self._tail

    def set_consumer(self, position: int) -> None:
        assert self._tail <= position <= self._head
        self._tail = position

    def close(self) -> None:
        return

    @property
    def room(self) -> int:
        return SIZE - (self._head - self._tail)

    def write(self, data: bytes) -> None:
        for byte in data:
            self._bytes[self._head % SIZE] = byte
            self._head += 1


def write_ring(ring: FakeRing, payload: bytes, flags: int = 0) -> bool:
    whole = struct.pack("=II", len(payload) | flags, 0) + payload
    whole += bytes(-len(whole) % 8)
    if len(whole) > ring.room:
        return False
    ring.write(whole)
    return True


def write_perf(ring: FakeRing, payload: bytes) -> bool:
    body = struct.pack("=I", len(payload)) + payload
    body += bytes(-len(body) % 8)
    if len(body) + 8 > ring.room:
        return False
    ring.write(struct.pack("=IHH", PERF_RECORD_SAMPLE, 0, len(body) + 8) + body)
    return True


def write_lost(ring: FakeRing, count: int) -> None:
    ring.write(struct.pack("=IHHQQ", PERF_RECORD_LOST, 0, 24, 1, count))


def take(cursor: Cursor, limit: int) -> list[bytes]:
    """Copy records out and free their space, as a consumer does."""
    records, cursor.position = cursor.copy(limit)
    cursor.free()
    return records


payloads = st.lists(st.binary(min_size=0, max_size=60), max_size=40)


@given(payloads, st.integers(0, 3 * SIZE // 8).map(lambda n: n * 8), st.integers(1, 5))
def test_a_ring_gives_back_what_was_written(written: list[bytes], start: int, limit: int) -> None:
    ring = FakeRing(mirror=True, start=start)
    cursor = RingCursor(ring)
    expected: list[bytes] = []
    seen: list[bytes] = []
    for payload in written:
        discarded = len(payload) % 3 == 0
        while not write_ring(ring, payload, DISCARD if discarded else 0):
            seen += take(cursor, limit)
        if not discarded:
            expected.append(payload)
    while ring.consumer() != ring.producer():
        seen += take(cursor, limit)
    assert seen == expected


@given(payloads, st.integers(0, 3 * SIZE // 8).map(lambda n: n * 8))
def test_a_perf_ring_gives_back_what_was_written(written: list[bytes], start: int) -> None:
    ring = FakeRing(mirror=False, start=start)
    cursor = PerfCursor(ring)
    seen: list[bytes] = []
    lost = 0
    for number, payload in enumerate(written):
        while ring.room < 100:  # a record of 60 bytes and the news of lost ones
            seen += take(cursor, 1)
        assert write_perf(ring, payload)
        if number % 7 == 0:
            write_lost(ring, number)
            lost += number
    seen += take(cursor, 1000)
    assert seen == written
    assert cursor.lost == lost


def test_a_reserved_record_holds_back_what_is_behind_it() -> None:
    ring = FakeRing(mirror=True)
    cursor = RingCursor(ring)
    write_ring(ring, b"first")
    write_ring(ring, b"later", BUSY)
    write_ring(ring, b"ready")
    assert take(cursor, 10) == [b"first"]
    assert take(cursor, 10) == []
    ring._bytes[16:20] = struct.pack("=I", 5)
    assert take(cursor, 10) == [b"later", b"ready"]


@given(st.lists(st.sampled_from([b"a" * 12, b"b" * 12, b"odd", b"c" * 12]), max_size=10))
def test_arrays_stop_at_the_first_record_of_another_size(written: Sequence[bytes]) -> None:
    ring = FakeRing(mirror=True, start=SIZE - 24)
    cursor = RingCursor(ring)
    for payload in written:
        write_ring(ring, payload)
    run = 0
    while run < len(written) and len(written[run]) == 12:
        run += 1
    rows, cursor.position = cursor.copy_array(numpy, 12, 100)
    assert [bytes(row) for row in rows] == list(written[:run])
    assert take(cursor, 100) == list(written[run:])


@pytest.mark.parametrize("flags", [BUSY, DISCARD])
def test_arrays_take_neither_reserved_nor_discarded_records(flags: int) -> None:
    ring = FakeRing(mirror=True)
    write_ring(ring, b"x" * 12, flags)
    rows, end = RingCursor(ring).copy_array(numpy, 12, 10)
    assert (len(rows), end) == (0, 0)


def test_a_damaged_perf_record_does_not_hang() -> None:
    ring = FakeRing(mirror=False)
    ring.write(bytes(16))
    assert take(PerfCursor(ring), 10) == []
    assert ring.consumer() == ring.producer()
