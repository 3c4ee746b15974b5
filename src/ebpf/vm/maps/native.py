"""The types of maps that there are in native storage."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

from ebpf.abi.types import MapType
from ebpf.vm.maps.base import Map, MapShape


class NativeKind(Protocol):
    """A class of maps in native storage."""

    def __call__(self, shape: MapShape, *, cpus: int, seed: int) -> Map: ...
    def fits(self, shape: MapShape, *, cpus: int) -> bool: ...


_CLASSES = {
    MapType.ARRAY: ("nativearray", "NativeArrayMap"),
    MapType.PERCPU_ARRAY: ("nativepercpu", "NativePercpuArrayMap"),
    MapType.HASH: ("nativehash", "NativeHashMap"),
    MapType.PERCPU_HASH: ("nativehash", "NativePercpuHashMap"),
    MapType.LRU_HASH: ("nativehash", "NativeLruHashMap"),
    MapType.LRU_PERCPU_HASH: ("nativehash", "NativeLruPercpuHashMap"),
    MapType.LPM_TRIE: ("nativelpm", "NativeLpmTrieMap"),
    MapType.DEVMAP: ("nativeredirect", "NativeDevMap"),
    MapType.CPUMAP: ("nativeredirect", "NativeCpuMap"),
    MapType.XSKMAP: ("nativeredirect", "NativeXskMap"),
    MapType.QUEUE: ("nativequeue", "NativeQueueMap"),
    MapType.STACK: ("nativequeue", "NativeStackMap"),
    MapType.RINGBUF: ("nativering", "NativeRingBufferMap"),
    MapType.BLOOM_FILTER: ("nativebloom", "NativeBloomFilterMap"),
    MapType.ARRAY_OF_MAPS: ("nativenested", "NativeArrayOfMapsMap"),
    MapType.HASH_OF_MAPS: ("nativenested", "NativeHashOfMapsMap"),
}
"""Type → module and class, imported for the first map of the type. The others are in Python storage."""


def native_kind(shape: MapShape, *, cpus: int) -> NativeKind | None:
    """Return the class of such a map, None where it has to be in Python storage.

    That of a map of maps takes the shape of those, too.
    """
    if shape.type not in _CLASSES:
        return None
    module, name = _CLASSES[shape.type]
    kind: NativeKind = getattr(import_module(f"ebpf.vm.maps.{module}"), name)
    return kind if kind.fits(shape, cpus=cpus) else None
