"""One ring that a reader reads, and how its records are decoded."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ebpf.btf import Array, Codec, Struct, size_of, strip

if TYPE_CHECKING:
    from ebpf.btf import Type
    from ebpf.objects.collection import Sources
    from ebpf.objects.map import Map
    from ebpf.objects.records import Cursor


class Channel:
    """One ring, the map it belongs to, and how its records are decoded."""

    def __init__(self, cursor: Cursor, map_: Map, type_: Type | None) -> None:
        self.cursor = cursor
        self.map = map_
        self.type = type_
        self.size = 0 if type_ is None else size_of(type_)
        self.codec = None if type_ is None else Codec(type_, byte_order=sys.byteorder)
        self._whole = type_ is None or _ends_flexible(type_)

    @property
    def sources(self) -> Sources:
        return self.map.sources

    def decode(self, record: bytes) -> Any:
        """Decode a record that is not shorter than its type."""
        return record if self.codec is None else self.codec.decode(self.trim(record))

    def trim(self, record: bytes) -> bytes:
        """Cut off what a perf ring adds for alignment, except behind a flexible array, whose end only it knows."""
        return record if self._whole else record[: self.size]

    def too_short(self, record: bytes) -> ValueError:
        """Return the error of a record that is shorter than its type."""
        return ValueError(
            f"record of map {self.map.name} has {len(record)} bytes, its type {self.size}; read it with raw=True"
        )

    def close(self) -> None:
        self.cursor.ring.close()

    @property
    def backlog(self) -> float:
        """How full the ring is, 0 to 1."""
        ring = self.cursor.ring
        return (ring.producer() - ring.consumer()) / ring.size


def _ends_flexible(type_: Type) -> bool:
    """Say whether a struct ends in an array without a length."""
    whole = strip(type_)
    if not isinstance(whole, Struct) or not whole.members:
        return False
    last = strip(whole.members[-1].type)
    return isinstance(last, Array) and last.nelems == 0
