"""Maps of maps that native code looks into: beside the objects of Python there is a table of where they are.

What it holds are addresses of struct map, which programs never see. Native code compares them with the maps that the
run can reach; what is not among those is the host's to answer, and so is an inner map in Python storage.
"""

from __future__ import annotations

from typing import Any

from ebpf.abi.types import MapType
from ebpf.vm.maps.base import Map, MapShape
from ebpf.vm.maps.nativehash import NativeHashMap
from ebpf.vm.maps.nested import ArrayOfMapsMap, HashOfMapsMap
from ebpf.vm.maps.storage import TYPE, NativeStorage, zeroed

_POINTER = 8
_NONE, _ELSEWHERE = 0, 1
"""What stands for an empty slot, and for a map in Python storage."""
_MOST_KNOWN = 64
"""How many inner maps a run knows from its start."""


def _where(held: Map | None) -> int:
    if held is None:
        return _NONE
    return _ELSEWHERE if held.native is None else held.native.address


class NativeArrayOfMapsMap(ArrayOfMapsMap):
    """Slots of maps that native code finds."""

    native: NativeStorage

    def __init__(self, shape: MapShape, *, template: MapShape, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, template=template, cpus=cpus, seed=seed)
        self._table = zeroed(_POINTER * shape.max_entries).cast("Q")
        self.native = NativeStorage(self, self._table.cast("B"), stride=_POINTER, numbers=0)

    @classmethod
    def fits(cls, shape: MapShape, *, cpus: int) -> bool:
        """Whether there can be such a map: always."""
        return True

    def known(self) -> list[Map]:
        with self.lock:
            return [held for _, held in sorted(self._objects.items())][:_MOST_KNOWN]

    def _swap(self, index: int, held: Any) -> Any:
        old = super()._swap(index, held)
        with self.lock:
            self.version += 1
            self._table[index] = _where(self.held(index))
        return old


class NativeHashOfMapsMap(HashOfMapsMap):
    """Maps by key that native code finds."""

    native: NativeStorage

    def __init__(self, shape: MapShape, *, template: MapShape, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, template=template, cpus=cpus, seed=seed)
        self._index = NativeHashMap(MapShape(MapType.HASH, shape.key_size, _POINTER, shape.max_entries), seed=seed)
        self.native = self._index.native
        self.native.words[TYPE], self.native.numbers = int(self.type), 0

    @classmethod
    def fits(cls, shape: MapShape, *, cpus: int) -> bool:
        """Whether a table of a bearable size holds such a map."""
        return NativeHashMap.fits(MapShape(MapType.HASH, shape.key_size, _POINTER, shape.max_entries), cpus=cpus)

    def known(self) -> list[Map]:
        with self.lock:
            return [element.held for element in self._slots if element is not None][:_MOST_KNOWN]

    def hold(self, key: bytes, held: Map, flags: int = 0) -> int:
        error = super().hold(key, held, flags)
        self._note(key)
        return error

    def delete(self, key: bytes) -> int:
        error = super().delete(key)
        self._note(key)
        return error

    def _note(self, key: bytes) -> None:
        with self.lock:
            self.version += 1
            held = self.inner(key)
            if held is None:
                self._index.delete(key)
            else:
                self._index.write(key, _where(held).to_bytes(_POINTER, "little"))
