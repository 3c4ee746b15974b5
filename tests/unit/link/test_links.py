"""Links that begin together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ebpf import link
from ebpf.objects import Collection
from tests.conformance.specs import ring_collection
from tests.reading import PATIENCE, count_to_the_end, reader_of

PACKET = bytes(64)


@pytest.fixture
def loaded() -> Iterator[Collection]:
    with ring_collection().load(runtime="embedded") as collection:
        yield collection


def test_a_source_that_ends_before_another_starts_is_not_the_last(
    loaded: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (link.packets(loaded.programs["program"], [PACKET] * count) for count in (1, 500))
    exhausted: list[bool] = []
    start = second.start

    def start_late() -> None:
        first.wait(PATIENCE)
        exhausted.append(loaded.sources.exhausted)
        start()

    monkeypatch.setattr(second, "start", start_late)
    with reader_of(loaded) as reader, link.Links([first, second]):
        assert exhausted == [False]
        assert count_to_the_end(reader) == 501


def test_a_start_that_fails_ends_what_it_began(loaded: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (link.packets(loaded.programs["program"], [PACKET]) for _ in range(2))

    def fail() -> None:
        raise RuntimeError("no more threads")

    monkeypatch.setattr(second, "start", fail)
    with reader_of(loaded) as reader:
        with pytest.raises(RuntimeError, match="no more threads"), link.Links([first, second]):
            pass
        assert count_to_the_end(reader) <= 1


def test_links_that_are_closed_begin_no_source(loaded: Collection) -> None:
    links = link.Links([link.packets(loaded.programs["program"], [PACKET])])
    links.close()
    links.start()
    assert not loaded.sources.exhausted
