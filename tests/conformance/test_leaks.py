"""Objects that nobody closed say so, and where they were made."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable

import pytest

from ebpf import link
from ebpf.objects import Collection, Map, Program, Reader, RingBuffer
from ebpf.runtime import Runtime
from tests.conformance.specs import hash_map, ring_collection

FRAME = bytes(60)


def ring(loaded: Collection) -> RingBuffer:
    events = loaded.maps["events"]
    assert isinstance(events, RingBuffer)
    return events


def started(loaded: Collection) -> object:
    source = link.packets(loaded.programs["program"], [])
    source.start()
    source.wait(10)
    return source


DROPPED: dict[str, Callable[[Collection], object]] = {
    "map": lambda loaded: Map.create(hash_map(), runtime=loaded.runtime),
    "program": lambda loaded: Program.open_id(loaded.programs["program"].id, runtime=loaded.runtime),
    "collection": lambda loaded: ring_collection().load(runtime=loaded.runtime),
    "link": lambda loaded: link.xdp(loaded.programs["program"], 1, mode="generic"),
    "source of packets": started,
    "reader": lambda loaded: ring(loaded).reader(),
    "merged reader": lambda loaded: Reader.merge(ring(loaded).reader()),
}


def dropped(make: Callable[[], object]) -> list[warnings.WarningMessage]:
    """Make something and forget it; return what is said about that."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
        gc.collect()
    return caught


@pytest.mark.parametrize("kind", DROPPED)
def test_what_is_dropped_says_where_it_was_made(runtime: Runtime, kind: str) -> None:
    with ring_collection().load(runtime=runtime) as loaded:
        caught = dropped(lambda: DROPPED[kind](loaded))
    assert caught
    for warning in caught:
        assert warning.category is ResourceWarning
        assert warning.filename == __file__
        assert f"made at {__file__}:{warning.lineno}" in str(warning.message)


def test_what_came_to_its_end_is_dropped_silently(runtime: Runtime) -> None:
    with ring_collection().load(runtime=runtime) as loaded:
        with link.packets(loaded.programs["program"], [FRAME] * 3) as source:
            source.wait(10)
        records: list[object] = []
        assert not dropped(lambda: records.extend(ring(loaded).reader()))
        assert len(records) == 3
    assert not dropped(lambda: ring_collection().load(runtime=runtime).close())
