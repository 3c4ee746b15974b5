"""Map storage of the embedded kernel: one module per kind of map.

`create_map` makes a map from a `MapShape` that `check_shape` found good; the classes are for `isinstance`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.lazy import lazy_names

if TYPE_CHECKING:
    from ebpf.vm.maps.array import ArrayMap
    from ebpf.vm.maps.base import Map, MapShape
    from ebpf.vm.maps.bloom import BloomFilterMap
    from ebpf.vm.maps.create import check_shape, check_template, cost_of, create_map, is_seeded
    from ebpf.vm.maps.hash import HashMap
    from ebpf.vm.maps.lpm import LpmTrieMap
    from ebpf.vm.maps.lru import LruHashMap, LruPercpuHashMap
    from ebpf.vm.maps.nested import ArrayOfMapsMap, HashOfMapsMap
    from ebpf.vm.maps.percpu import PercpuArrayMap, PercpuHashMap
    from ebpf.vm.maps.perf import PerfEventArrayMap, PerfRing
    from ebpf.vm.maps.progarray import ProgramArrayMap
    from ebpf.vm.maps.queue import QueueMap, StackMap
    from ebpf.vm.maps.redirect import CpuMap, DevMap, DevMapHash, XskMap
    from ebpf.vm.maps.ring import Reservation, RingBufferMap
    from ebpf.vm.maps.slots import SlotArrayMap

__all__ = [
    "ArrayMap",
    "ArrayOfMapsMap",
    "BloomFilterMap",
    "CpuMap",
    "DevMap",
    "DevMapHash",
    "HashMap",
    "HashOfMapsMap",
    "LpmTrieMap",
    "LruHashMap",
    "LruPercpuHashMap",
    "Map",
    "MapShape",
    "PercpuArrayMap",
    "PercpuHashMap",
    "PerfEventArrayMap",
    "PerfRing",
    "ProgramArrayMap",
    "QueueMap",
    "Reservation",
    "RingBufferMap",
    "SlotArrayMap",
    "StackMap",
    "XskMap",
    "check_shape",
    "check_template",
    "cost_of",
    "create_map",
    "is_seeded",
]

__getattr__ = lazy_names(__name__, {
    "array": ("ArrayMap",),
    "base": ("Map", "MapShape"),
    "bloom": ("BloomFilterMap",),
    "create": ("check_shape", "check_template", "cost_of", "create_map", "is_seeded"),
    "hash": ("HashMap",),
    "lpm": ("LpmTrieMap",),
    "lru": ("LruHashMap", "LruPercpuHashMap"),
    "nested": ("ArrayOfMapsMap", "HashOfMapsMap"),
    "percpu": ("PercpuArrayMap", "PercpuHashMap"),
    "perf": ("PerfEventArrayMap", "PerfRing"),
    "progarray": ("ProgramArrayMap",),
    "queue": ("QueueMap", "StackMap"),
    "redirect": ("CpuMap", "DevMap", "DevMapHash", "XskMap"),
    "ring": ("Reservation", "RingBufferMap"),
    "slots": ("SlotArrayMap",),
})  # fmt: skip
