"""The maps in native storage that a run can reach, and the addresses of their values (support/machine.h).

The address of a value is `1 << 63 | place << 48 | number << shift | offset`, and `3 << 62 | place << 48` stands for the
map. The place is the map's in the table of the run, from 1 on, so that no address of a value is what another one times
a number is; it stays what it is while the run lasts, and is the same with every engine.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ebpf.abi import types
from ebpf.plain import NamedTuple
from ebpf.vm.fault import Fault

if TYPE_CHECKING:
    from ebpf.vm.maps.base import Map
    from ebpf.vm.maps.nativering import NativeRingBufferMap
    from ebpf.vm.maps.storage import NativeStorage
    from ebpf.vm.program import Program

ADDRESS_BITS = 48
"""Bits of an address for the number of a value and the offset in it."""
MAP_WORDS = 40
VALUES_WORDS = 8
"""Words of struct map and of struct values."""

_VALUE, _MAP = 1 << 63, 3 << 62
_REST = (1 << ADDRESS_BITS) - 1
_MOST_PLACES = 1 << 14


class Value(NamedTuple):
    """What an address of a value leads to."""

    map: Map
    storage: NativeStorage
    number: int
    offset: int


class Places:
    """Maps and their places. Immutable: runs of the same program share it."""

    __slots__ = ("_numbers", "_versions", "maps", "rings", "table")

    def __init__(self, maps: tuple[Map, ...] = (), *, versions: tuple[tuple[Map, int], ...] = ()) -> None:
        self.maps = maps
        self._versions = versions
        self._numbers = {map_: number for number, map_ in enumerate(maps, 1)}
        if len(maps) >= _MOST_PLACES:
            raise Fault("memory", f"the run uses {_MOST_PLACES} maps or more")
        self.rings = _rings_among(maps)
        self.table = array("Q", bytes(8 * VALUES_WORDS * (len(maps) + 1)))
        for place, map_ in enumerate(maps, 1):
            assert map_.native is not None
            words = [*map_.native.describe(), map_.native.address]
            self.table[place * VALUES_WORDS : place * VALUES_WORDS + len(words)] = array("Q", words)

    @property
    def current(self) -> bool:
        """Whether the maps in maps of maps still are those that have places."""
        return all(outer.version == version for outer, version in self._versions)

    def __contains__(self, map_: Map) -> bool:
        return map_ in self._numbers

    def including(self, maps: Iterable[Map]) -> Places:
        """Return places for further maps, too."""
        missing = [map_ for map_ in maps if map_ not in self._numbers]
        return Places((*self.maps, *missing)) if missing else self

    def first(self, map_: Map) -> int:
        """Return the address of value 0 of a map that has a place."""
        return _VALUE | self._numbers[map_] << ADDRESS_BITS

    def address(self, map_: Map) -> int:
        """Return the address that stands for a map that has a place."""
        return _MAP | self._numbers[map_] << ADDRESS_BITS

    def map_at(self, address: int) -> Map | None:
        """Return the map that an address stands for, or None."""
        return None if address & _REST else self._map(address - _MAP)

    def stored_at(self, address: int) -> Map:
        """Return the map whose struct map is there."""
        return next(map_ for map_ in self.maps if map_.native is not None and map_.native.address == address)

    def find(self, address: int) -> Value | None:
        """Return what an address is that of, whatever the offset; None where there is no value."""
        map_ = self._map(address - _VALUE)
        if map_ is None:
            return None
        storage = map_.native
        assert storage is not None
        number, offset = divmod(address & _REST, 1 << storage.shift)
        return Value(map_, storage, number, offset) if number < storage.numbers else None

    def _map(self, address: int) -> Map | None:
        place = address >> ADDRESS_BITS
        return self.maps[place - 1] if 0 < place <= len(self.maps) else None

    def describe(self) -> list[str]:
        """Return one line per map: addresses of the first value and the end of the last one, permissions, name."""
        return [
            f"{self.first(map_):#x}-{self.first(map_) + self._span(map_):#x} "
            f"{'r' if map_.program_readable else '-'}{'w' if map_.program_writable else '-'} values of {map_.name}"
            for map_ in self.maps
            if self._span(map_) > 0
        ]

    def _span(self, map_: Map) -> int:
        storage = map_.native
        assert storage is not None
        return (storage.numbers - 1 << storage.shift) + map_.value_size if storage.numbers else 0


def _rings_among(maps: tuple[Map, ...]) -> list[NativeRingBufferMap]:
    if all(map_.type is not types.MapType.RINGBUF for map_ in maps):
        return []
    from ebpf.vm.maps.nativering import NativeRingBufferMap

    return [map_ for map_ in maps if isinstance(map_, NativeRingBufferMap)]


NO_PLACES = Places()


def _is_nested(map_: Map) -> bool:
    return map_.type in (types.MapType.ARRAY_OF_MAPS, types.MapType.HASH_OF_MAPS)


def is_native(map_: Map) -> bool:
    """Whether the map is in native storage."""
    return map_.native is not None


def places_of(program: Program) -> Places:
    """Return the places in a run of this program alone."""
    places: Places | None = program.compiled.get("places")
    if places is None or not places.current:
        nested = [map_ for map_ in program.maps if _is_nested(map_)]
        versions = tuple((outer, outer.version) for outer in nested)
        inner = (map_ for outer in nested for map_ in outer.known())
        maps = tuple(dict.fromkeys(filter(is_native, (*program.maps, *inner))))
        places = program.compiled["places"] = Places(maps, versions=versions)
    return places
