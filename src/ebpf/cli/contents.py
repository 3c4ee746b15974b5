"""The contents of maps as rows: decoded where the map has types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from ebpf.abi.types import MapFlag

if TYPE_CHECKING:
    from ebpf.objects import Collection, Map

_SECTIONS = (".rodata", ".data", ".bss", ".kconfig")


def rows(map_: Map, *, raw: bool = False) -> Iterator[tuple[Any, Any]]:
    """Yield what can be listed of a map as (key, value); arrays leave out elements that are all zero."""
    items = getattr(map_, "items", None)
    if items is None:
        return
    if not isinstance(map_, Sequence):
        yield from items(raw=raw)
        return
    for index, data in items(raw=True):
        if any(data if isinstance(data, bytes) else b"".join(data)):
            yield index, data if raw else map_[index]


def listable(map_: Map) -> bool:
    """Say whether a map's contents make a table: rings have none, data sections show as variables."""
    is_section = map_.max_entries == 1 and any(section in map_.name for section in _SECTIONS)
    return hasattr(map_, "items") and not is_section and not map_.flags & MapFlag.WRONLY


def listable_maps(collection: Collection) -> Iterator[tuple[str, Map]]:
    """Yield the maps of a collection whose contents make a table."""
    return ((name, map_) for name, map_ in collection.maps.items() if listable(map_))


def first(items: Iterator[tuple[Any, Any]], limit: int) -> tuple[list[tuple[Any, Any]], bool]:
    """Return the first `limit` rows, and whether there are more."""
    taken = list(islice(items, limit + 1))
    return taken[:limit], len(taken) > limit
