"""Which class a type of map has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf import objects
from ebpf.abi.types import MapType

if TYPE_CHECKING:
    from ebpf.objects.map import Map

_CLASSES: dict[MapType, str] = {
    MapType.HASH: "HashMap", MapType.LRU_HASH: "HashMap", MapType.PERCPU_HASH: "PerCpuHashMap",
    MapType.LRU_PERCPU_HASH: "PerCpuHashMap", MapType.LPM_TRIE: "LpmTrie", MapType.ARRAY: "ArrayMap",
    MapType.PERCPU_ARRAY: "PerCpuArrayMap", MapType.QUEUE: "QueueMap", MapType.STACK: "StackMap",
    MapType.BLOOM_FILTER: "BloomFilter", MapType.PROG_ARRAY: "ProgramArray", MapType.ARRAY_OF_MAPS: "MapOfMaps",
    MapType.HASH_OF_MAPS: "MapOfMaps", MapType.RINGBUF: "RingBuffer", MapType.PERF_EVENT_ARRAY: "PerfEventArray",
    MapType.DEVMAP_HASH: "HashMap", MapType.SOCKHASH: "HashMap", MapType.DEVMAP: "ArrayMap", MapType.CPUMAP: "ArrayMap",
    MapType.WINDOWS_HASH: "HashMap", MapType.WINDOWS_LRU_HASH: "HashMap", MapType.WINDOWS_PERCPU_HASH: "PerCpuHashMap",
    MapType.WINDOWS_LRU_PERCPU_HASH: "PerCpuHashMap", MapType.WINDOWS_LPM_TRIE: "LpmTrie",
    MapType.WINDOWS_ARRAY: "ArrayMap", MapType.WINDOWS_PERCPU_ARRAY: "PerCpuArrayMap",
    MapType.WINDOWS_QUEUE: "QueueMap", MapType.WINDOWS_STACK: "StackMap", MapType.WINDOWS_PROG_ARRAY: "ProgramArray",
    MapType.WINDOWS_ARRAY_OF_MAPS: "MapOfMaps", MapType.WINDOWS_HASH_OF_MAPS: "MapOfMaps",
    MapType.WINDOWS_RINGBUF: "RingBuffer",
}  # fmt: skip


def class_of(type_: MapType) -> type[Map]:
    """Return the class for a type of map, which is imported now.

    It is plain `Map` (look-up, store, delete) for a type without its own.
    """
    found: type[Map] = getattr(objects, _CLASSES.get(type_, "Map"))
    return found
