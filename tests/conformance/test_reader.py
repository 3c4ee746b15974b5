"""Readers that several use, records that can't be read, and calls that are interrupted."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

from ebpf.abi.types import MapType
from ebpf.btf import Builder, Struct
from ebpf.errors import BtfError, ClosedError, DeadlineExceeded
from ebpf.objects import Collection, Reader
from ebpf.runtime import Runtime
from ebpf.spec import MapSpec
from tests.conformance.specs import RING, RING_SIZE, collection, program
from tests.conformance.waits import begun, ended, until
from tests.interrupts import interrupted

OUTPUT = RING[RING.index("    r1 = map") : RING.index("    r0 = 2")]
SHORT = 65
"""The length of a packet whose record is shorter than others."""


@pytest.fixture
def loaded(runtime: Runtime) -> Iterator[Collection]:
    """Programs that write one record, two, a short one, and one to another ring."""
    spec = collection(
        MapSpec("events", MapType.RINGBUF, 0, 0, RING_SIZE),
        MapSpec("others", MapType.RINGBUF, 0, 0, RING_SIZE),
        program(RING, name="one"),
        program(RING.replace(OUTPUT, OUTPUT * 2), name="two"),
        program(
            RING.replace("r3 = 16", f"r3 = 16\nr5 = *(u64 *)(r10 - 16)\nif r5 != {SHORT} goto full\nr3 = 8\nfull:")
        ),
        program(RING.replace("map[events]", "map[others]"), name="other"),
    )
    with spec.load(runtime=runtime) as coll:
        yield coll


def reader_of(loaded: Collection, ring: str = "events", **options: Any) -> Reader:
    reader: Reader = loaded.maps[ring].reader(**options)  # type: ignore[attr-defined]  # it is a ring
    return reader


def run(loaded: Collection, *lengths: int, program: str = "program") -> None:
    for length in lengths:
        loaded.programs[program].run(bytes(length))


def event() -> Struct:
    types = Builder()
    u64 = types.add_int("u64", 8)
    types.add_struct("event", 16, [("length", u64, 0), ("mark", u64, 64)])
    found = types.build().find("event", Struct)
    assert found is not None
    return found


def length_of(record: Any) -> int:
    return int(struct.unpack_from("=Q", record)[0])


def test_each_waiting_thread_gets_one_of_two_records(loaded: Collection) -> None:
    with reader_of(loaded) as reader:
        threads = [begun(reader.read) for _ in range(2)]
        until(lambda: len(reader._waiting) == 2)
        run(loaded, 64, program="two")
        for thread, results in threads:
            thread.join(20)
            assert len(results) == 1


@pytest.mark.parametrize("arrays", [True, False])
def test_a_batch_ends_before_a_record_that_is_too_short(
    loaded: Collection, arrays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if arrays:
        pytest.importorskip("numpy")
    with reader_of(loaded, type=event()) as reader:
        if not arrays:
            monkeypatch.setattr(reader, "_layout", lambda: None)
        run(loaded, 60, 61, SHORT, SHORT, 62, 63)
        for expected in ([60, 61], None, None, [62, 63]):
            if expected is None:
                with pytest.raises(ValueError, match="has 8 bytes, its type 16"):
                    reader.read_batch(timeout=0)
            else:
                assert [length_of(record) for record in reader.read_batch(timeout=0)] == expected
        with pytest.raises(DeadlineExceeded):
            reader.read_batch(timeout=0)


def test_one_record_that_is_too_short_is_reported_once(loaded: Collection) -> None:
    with reader_of(loaded, type=event()) as reader:
        run(loaded, 60, SHORT, 61)
        assert reader.read(0).length == 60
        with pytest.raises(ValueError, match="has 8 bytes, its type 16"):
            reader.read(0)
        assert [length_of(record) for record in reader.read_batch(timeout=0)] == [61]


def test_a_record_that_can_not_be_decoded_is_reported_once(loaded: Collection) -> None:
    types = Builder()
    u64 = types.add_int("u64", 8)
    pair = types.add_struct("pair", 16, [("first", u64, 0), ("second", u64, 64)])
    types.add_struct("event", 8, [("length", u64, 0), ("pairs", types.add_array(pair, 0), 64)])
    with reader_of(loaded, type=types.build().find("event", Struct)) as reader:
        run(loaded, 60, SHORT)
        with pytest.raises(BtfError, match="in whole elements of 16"):
            reader.read(0)
        assert reader.read(0).length == SHORT


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("many", [True, False])
def test_no_record_is_lost_by_an_interrupt(loaded: Collection, many: bool, typed: bool) -> None:
    options = {"type": event()} if typed else {"raw": True}
    with reader_of(loaded, **options) as reader:
        stopped, place = True, 0
        while stopped:
            place += 1
            run(loaded, 60, 61, 62)
            found = interrupted(lambda: reader.read_batch(timeout=0) if many else reader.read(0), place)
            stopped = not found
            lengths = [length_of(record) for record in found[0]] if many and found else []
            lengths += [60] if found and not many else []
            while len(lengths) < 3:
                lengths += [length_of(record) for record in reader.read_batch(timeout=0)]
            assert lengths == [60, 61, 62]
            with pytest.raises(DeadlineExceeded):
                reader.read(0)
        assert place > 10


def test_merging_needs_readers_that_nobody_reads_and_changes_none_else(loaded: Collection) -> None:
    free, busy = reader_of(loaded), reader_of(loaded, "others")
    thread, results = begun(busy.read)
    until(lambda: busy._waiting)
    with pytest.raises(ClosedError, match="being read"):
        Reader.merge(free, busy)
    with pytest.raises(ValueError, match="each once"):
        Reader.merge(free, free)
    run(loaded, 60)
    run(loaded, 61, program="other")
    assert length_of(free.read(0)) == 60
    thread.join(20)
    assert [length_of(record) for record in results] == [61]
    with Reader.merge(free, busy) as merged:
        run(loaded, 62)
        assert length_of(merged.read(0)) == 62
        assert (free.closed, busy.closed) == (True, True)


def test_merging_fails_without_a_waiter_and_changes_nothing(
    loaded: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_waiter(*_: object) -> None:
        raise OSError("too many open files")

    with reader_of(loaded) as reader:
        with monkeypatch.context() as patch:
            patch.setattr(type(loaded.runtime), "waiter", no_waiter)
            with pytest.raises(OSError, match="too many"):
                Reader.merge(reader)
        run(loaded, 60)
        assert length_of(reader.read(0)) == 60


def test_closing_the_map_closes_a_merged_reader(loaded: Collection) -> None:
    merged = Reader.merge(reader_of(loaded), reader_of(loaded, "others"))
    thread, _ = begun(lambda: list(merged))
    until(lambda: merged._waiting)
    ended(loaded.maps["others"].close)
    thread.join(20)
    assert not thread.is_alive()
    assert merged.closed
