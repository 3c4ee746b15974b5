"""Perf event arrays and their reader."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.abi.types import MapType
from ebpf.objects import PerfEventArray
from ebpf.runtime import Runtime
from ebpf.spec import CollectionSpec
from tests.conformance.specs import perf_collection

FIREWALL = Path(__file__).parents[2] / "src/ebpf/cli/data/firewall.o"
RECORD = struct.pack("=QQ", 42, 7)


def test_the_size_of_the_map_is_the_number_of_cpus(runtime: Runtime) -> None:
    with perf_collection().load(runtime=runtime) as loaded:
        events = loaded.maps["events"]
        assert (events.type, events.max_entries) == (MapType.PERF_EVENT_ARRAY, runtime.cpus)


def test_records_have_a_tail_of_padding(runtime: Runtime) -> None:
    with perf_collection().load(runtime=runtime) as loaded:
        events = loaded.maps["events"]
        assert isinstance(events, PerfEventArray)
        with events.reader() as reader:
            loaded.programs["program"].run(bytes(64), repeat=3)
            for _ in range(3):
                record = reader.read(1)
                assert record[:16] == RECORD
                assert len(record) == 20  # the record, its length word and padding fill multiples of 8
            assert reader.lost == 0


@pytest.fixture
def _one_cpu() -> Iterator[None]:
    """Keep this thread on one CPU: each has a ring of its own, and what one lost is told by its own next record."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


@pytest.mark.usefixtures("_one_cpu")
def test_a_full_ring_counts_what_it_lost(runtime: Runtime) -> None:
    with perf_collection().load(runtime=runtime) as loaded:
        events = loaded.maps["events"]
        assert isinstance(events, PerfEventArray)
        with events.reader(size=4096) as reader:
            total = 0
            for _ in range(3):
                loaded.programs["program"].run(bytes(64), repeat=500)
                total += len(reader.read_batch(timeout=1))
            # The record that says how many were lost comes with the next one that fits.
            loaded.programs["program"].run(bytes(64))
            total += len(reader.read_batch(timeout=1))
            assert reader.lost > 1000
            assert total + reader.lost == 1501


def test_close_wakes_a_reader(runtime: Runtime) -> None:
    with perf_collection().load(runtime=runtime) as loaded:
        events = loaded.maps["events"]
        assert isinstance(events, PerfEventArray)
        reader = events.reader()
        thread = threading.Thread(target=list, args=[reader])
        thread.start()
        reader.close()
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("given", [False, True])
def test_a_reader_takes_over_from_one_that_closes_later(runtime: Runtime, given: bool) -> None:
    spec = perf_collection()
    with spec.load(runtime=runtime) as first:
        before = first.maps["events"]
        with spec.load(runtime=runtime, replace_maps={"events": before}) as loaded:
            after = loaded.maps["events"] if given else before
            assert isinstance(before, PerfEventArray)
            assert isinstance(after, PerfEventArray)
            old = before.reader()
            with after.reader() as reader:
                old.close()
                loaded.programs["program"].run(bytes(64))
                assert reader.read(1)[:16] == RECORD


def test_the_type_of_the_slots_is_not_the_type_of_records(runtime: Runtime) -> None:
    types = CollectionSpec.from_file(FIREWALL).types
    assert types is not None
    spec = perf_collection()
    spec.maps["events"].value = types.find("__u32")
    with spec.load(runtime=runtime) as loaded:
        events = loaded.maps["events"]
        assert isinstance(events, PerfEventArray)
        with events.reader() as reader:
            loaded.programs["program"].run(bytes(64))
            assert reader.read(1)[:16] == RECORD
        with events.reader(type=types.find("rule_key")) as reader:
            loaded.programs["program"].run(bytes(64))
            assert reader.read(1).protocol == 42
