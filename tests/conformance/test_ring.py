"""Ring buffers and their reader."""

from __future__ import annotations

import asyncio
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.abi.types import MapType
from ebpf.errors import ClosedError, DeadlineExceeded
from ebpf.objects import Batch, Collection, Reader, RingBuffer
from ebpf.runtime import Runtime
from ebpf.spec import CollectionSpec, MapSpec
from tests.conformance.specs import RING, RING_SIZE, collection, program, ring_collection

RECORD = struct.pack("=QQ", 64, 7)
STRIDE = 24
FIREWALL = Path(__file__).parents[2] / "src/ebpf/cli/data/firewall.o"


@pytest.fixture
def loaded(runtime: Runtime) -> Iterator[Collection]:
    with ring_collection().load(runtime=runtime) as coll:
        yield coll


def ring(loaded: Collection) -> RingBuffer:
    events = loaded.maps["events"]
    assert isinstance(events, RingBuffer)
    return events


def run(loaded: Collection, times: int = 1, length: int = 64) -> None:
    loaded.programs["program"].run(bytes(length), repeat=times)


def test_records_come_in_order(loaded: Collection) -> None:
    with ring(loaded).reader() as reader:
        for length in (60, 61, 62):
            run(loaded, length=length)
        assert [struct.unpack("=QQ", reader.read(1))[0] for _ in range(3)] == [60, 61, 62]


def test_a_deadline_passes(loaded: Collection) -> None:
    with ring(loaded).reader() as reader:
        before = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            reader.read(0.05)
        assert 0.04 < time.monotonic() - before < 5
        run(loaded)
        assert reader.read(0) == RECORD


def test_a_reader_waits_for_another_thread(loaded: Collection) -> None:
    timer = threading.Timer(0.05, run, [loaded])
    with ring(loaded).reader() as reader:
        timer.start()
        assert reader.read(10) == RECORD
        timer.join()


def test_a_full_ring_drops_and_the_rest_wraps(loaded: Collection) -> None:
    fits = RING_SIZE // STRIDE
    with ring(loaded).reader() as reader:
        for _ in range(20):  # several times round: 170 records of 24 bytes leave 16 bytes over
            run(loaded, times=fits + 10)
            batch = reader.read_batch(timeout=1)
            assert len(batch) == fits
            assert set(map(bytes, batch)) == {RECORD}


def test_batches_without_a_type(loaded: Collection) -> None:
    with ring(loaded).reader() as reader:
        run(loaded, times=5)
        batch = reader.read_batch(2)
        assert isinstance(batch, Batch)
        assert [bytes(record) for record in batch] == [RECORD] * 2
        assert list(batch.offsets) == [0, 16]
        assert list(batch.lengths) == [16, 16]
        assert bytes(batch[1:][0]) == RECORD
        assert len(reader.read_batch()) == 3
        with pytest.raises(DeadlineExceeded):
            reader.read_batch(timeout=0)


def test_close_from_another_thread_ends_every_iteration(loaded: Collection) -> None:
    reader = ring(loaded).reader()
    ended: list[int] = []
    threads = [threading.Thread(target=lambda: ended.append(len(list(reader)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    run(loaded, times=3)
    time.sleep(0.05)
    reader.close()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert sum(ended) == 3
    with pytest.raises(ClosedError):
        reader.read()
    reader.close()


def test_closing_the_map_ends_its_readers(loaded: Collection) -> None:
    reader = ring(loaded).reader()
    thread = threading.Thread(target=list, args=[reader])
    thread.start()
    time.sleep(0.02)
    loaded.close()
    thread.join(10)
    assert not thread.is_alive()
    assert reader.closed


def test_flush_disturbs_nobody(loaded: Collection) -> None:
    with ring(loaded).reader() as reader:
        threading.Timer(0.02, reader.flush).start()
        threading.Timer(0.06, run, [loaded]).start()
        assert reader.read(10) == RECORD


def test_async_for(loaded: Collection) -> None:
    async def main() -> list[bytes]:
        reader = ring(loaded).reader()

        async def produce() -> None:
            for _ in range(3):
                await asyncio.sleep(0.01)
                run(loaded, times=2)
            await asyncio.sleep(0.05)
            reader.close()

        task = asyncio.create_task(produce())
        records = [record async for record in reader]
        await task
        return records

    assert asyncio.run(asyncio.wait_for(main(), 20)) == [RECORD] * 6


def test_async_for_ends_when_a_thread_closes(loaded: Collection) -> None:
    async def main() -> list[bytes]:
        reader = ring(loaded).reader()
        threading.Timer(0.05, reader.close).start()
        return [record async for record in reader]

    assert asyncio.run(asyncio.wait_for(main(), 20)) == []


def test_a_cancelled_task_leaves_the_reader_usable(loaded: Collection) -> None:
    async def main() -> bytes:
        with ring(loaded).reader() as reader:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(reader), 0.05)
            run(loaded)
            record: bytes = await asyncio.wait_for(anext(reader), 10)
            return record

    assert asyncio.run(main()) == RECORD


def test_merge_reads_two_rings(runtime: Runtime) -> None:
    spec = collection(
        MapSpec("events", MapType.RINGBUF, 0, 0, RING_SIZE),
        MapSpec("others", MapType.RINGBUF, 0, 0, RING_SIZE),
        program(RING, name="one"),
        program(RING.replace("map[events]", "map[others]"), name="two"),
    )
    with spec.load(runtime=runtime) as loaded:
        readers = [loaded.maps[name].reader() for name in ("events", "others")]  # type: ignore[attr-defined]  # both are rings
        with Reader.merge(*readers) as merged:
            loaded.programs["one"].run(bytes(60))
            loaded.programs["two"].run(bytes(61))
            assert {merged.read(1) for _ in range(2)} == {struct.pack("=QQ", n, 7) for n in (60, 61)}
            threading.Timer(0.05, loaded.programs["two"].run, [bytes(62)]).start()
            assert merged.read(10) == struct.pack("=QQ", 62, 7)
        assert all(reader.closed for reader in readers)


def test_records_are_decoded_by_the_tag_of_the_map(runtime: Runtime) -> None:
    numpy = pytest.importorskip("numpy")
    frame = bytes(12) + b"\x08\x00" + bytes.fromhex("4500001400000000400600000a0000010a000002") + bytes(20)
    with CollectionSpec.from_file(FIREWALL).load(runtime=runtime) as loaded:
        events = loaded.maps["events"]
        assert isinstance(events, RingBuffer)
        with events.reader() as reader:
            loaded.programs["firewall"].run(frame)
            event = reader.read(1)
            assert (event.number, event.cause.name, event.length) == (1, "CAUSE_NEW_FLOW", len(frame))
            assert event.flow.source.bytes[:4] == (10, 0, 0, 1)
        with events.reader() as reader:
            for last in range(10):
                loaded.programs["firewall"].run(frame[:33] + bytes([last + 10]) + frame[34:])
            batch = reader.read_batch()
            assert isinstance(batch, numpy.ndarray)
            assert batch["number"].tolist() == list(range(2, 12))
            assert batch["flow"]["destination"]["bytes"][:, 3].tolist() == list(range(10, 20))
        with events.reader(raw=True) as reader:
            loaded.programs["firewall"].run(frame[:33] + b"\x99" + frame[34:])
            assert len(reader.read(1)) == 56
        with pytest.raises(LookupError, match="no type nothing"):
            events.reader(type="nothing")


def test_a_record_shorter_than_its_type_is_an_error(runtime: Runtime) -> None:
    types = CollectionSpec.from_file(FIREWALL).types
    assert types is not None
    event = types.find("event")
    with ring_collection().load(runtime=runtime) as loaded, ring(loaded).reader(type=event) as reader:
        run(loaded)
        with pytest.raises(ValueError, match="has 16 bytes, its type 56"):
            reader.read(1)
