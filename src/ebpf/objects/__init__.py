"""Live objects: collections, programs, maps, variables and readers, each owning what it holds open.

All are context managers with an idempotent close(). `CollectionSpec.load()` makes a collection; maps and programs
that exist already are opened by pin or id (`Map.open_pinned`, `Program.open_id`, `Map.iter_all` …).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.lazy import lazy_names

if TYPE_CHECKING:
    from ebpf.objects.arrays import ArrayMap, PerCpuArrayMap
    from ebpf.objects.batch import Batch
    from ebpf.objects.collection import Collection
    from ebpf.objects.hash import HashMap, LpmTrie, PerCpuHashMap
    from ebpf.objects.load import load_collection
    from ebpf.objects.map import Map
    from ebpf.objects.percpu import PerCpu
    from ebpf.objects.program import Program
    from ebpf.objects.queues import BloomFilter, QueueMap, StackMap
    from ebpf.objects.reader import Reader
    from ebpf.objects.references import MapOfMaps, ProgramArray
    from ebpf.objects.results import ProgramStats, RunManyResult
    from ebpf.objects.rings import PerfEventArray, RingBuffer
    from ebpf.objects.variable import Variable

__all__ = [
    "ArrayMap",
    "Batch",
    "BloomFilter",
    "Collection",
    "HashMap",
    "LpmTrie",
    "Map",
    "MapOfMaps",
    "PerCpu",
    "PerCpuArrayMap",
    "PerCpuHashMap",
    "PerfEventArray",
    "Program",
    "ProgramArray",
    "ProgramStats",
    "QueueMap",
    "Reader",
    "RingBuffer",
    "RunManyResult",
    "StackMap",
    "Variable",
    "load_collection",
]

__getattr__ = lazy_names(__name__, {
    "arrays": ("ArrayMap", "PerCpuArrayMap"),
    "batch": ("Batch",),
    "collection": ("Collection",),
    "hash": ("HashMap", "LpmTrie", "PerCpuHashMap"),
    "load": ("load_collection",),
    "map": ("Map",),
    "percpu": ("PerCpu",),
    "program": ("Program",),
    "queues": ("BloomFilter", "QueueMap", "StackMap"),
    "reader": ("Reader",),
    "references": ("MapOfMaps", "ProgramArray"),
    "results": ("ProgramStats", "RunManyResult"),
    "rings": ("PerfEventArray", "RingBuffer"),
    "variable": ("Variable",),
})  # fmt: skip
