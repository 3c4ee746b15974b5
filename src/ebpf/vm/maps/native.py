"""The types of maps that there are in native storage."""

from __future__ import annotations

from typing import Protocol

from ebpf.abi.types import MapType
from ebpf.vm.maps.base import Map, MapShape
from ebpf.vm.maps.nativearray import NativeArrayMap, NativePercpuArrayMap
from ebpf.vm.maps.nativebloom import NativeBloomFilterMap
from ebpf.vm.maps.nativehash import (
    NativeHashMap,
    NativeLruHashMap,
    NativeLruPercpuHashMap,
    NativePercpuHashMap,
)
from ebpf.vm.maps.nativelpm import NativeLpmTrieMap
from ebpf.vm.maps.nativenested import NativeArrayOfMapsMap, NativeHashOfMapsMap
from ebpf.vm.maps.nativequeue import NativeQueueMap, NativeStackMap
from ebpf.vm.maps.nativeredirect import NativeCpuMap, NativeDevMap, NativeXskMap
from ebpf.vm.maps.nativering import NativeRingBufferMap


class NativeKind(Protocol):
    """A class of maps in native storage."""

    def __call__(self, shape: MapShape, *, cpus: int, seed: int) -> Map: ...
    def fits(self, shape: MapShape, *, cpus: int) -> bool: ...


NATIVE: dict[MapType, NativeKind] = {
    MapType.ARRAY: NativeArrayMap,
    MapType.PERCPU_ARRAY: NativePercpuArrayMap,
    MapType.HASH: NativeHashMap,
    MapType.PERCPU_HASH: NativePercpuHashMap,
    MapType.LRU_HASH: NativeLruHashMap,
    MapType.LRU_PERCPU_HASH: NativeLruPercpuHashMap,
    MapType.LPM_TRIE: NativeLpmTrieMap,
    MapType.DEVMAP: NativeDevMap,
    MapType.CPUMAP: NativeCpuMap,
    MapType.XSKMAP: NativeXskMap,
    MapType.QUEUE: NativeQueueMap,
    MapType.STACK: NativeStackMap,
    MapType.RINGBUF: NativeRingBufferMap,
    MapType.BLOOM_FILTER: NativeBloomFilterMap,
}
"""Beside these and maps of maps, the others are in Python storage."""


def native_kind(shape: MapShape, *, cpus: int) -> NativeKind | None:
    """Return the class of such a map, None where it has to be in Python storage."""
    kind = NATIVE.get(shape.type)
    return kind if kind is not None and kind.fits(shape, cpus=cpus) else None


def native_nested_kind(shape: MapShape, *, cpus: int) -> type[NativeArrayOfMapsMap] | type[NativeHashOfMapsMap] | None:
    """Return the class of such a map of maps, None where it has to be in Python storage."""
    if shape.type is MapType.ARRAY_OF_MAPS:
        return NativeArrayOfMapsMap
    return NativeHashOfMapsMap if NativeHashOfMapsMap.fits(shape, cpus=cpus) else None
