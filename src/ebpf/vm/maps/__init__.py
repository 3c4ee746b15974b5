"""Map storage of the embedded kernel: one module per kind of map.

`create_map` makes a map from a `MapShape` that `check_shape` found good; the classes are for `isinstance`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebpf.vm.maps.array import ArrayMap
    from ebpf.vm.maps.base import Map, MapShape
    from ebpf.vm.maps.bloom import BloomFilterMap
    from ebpf.vm.maps.create import KINDS, check_shape, check_template, create_map
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
    "KINDS",
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
    "create_map",
]

_HOMES: dict[str, tuple[str, ...]] = {
    "array": ("ArrayMap",),
    "base": ("Map", "MapShape"),
    "bloom": ("BloomFilterMap",),
    "create": ("KINDS", "check_shape", "check_template", "create_map"),
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
}  # fmt: skip
"""Where the names are: a module is imported when one of its names is used."""
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
