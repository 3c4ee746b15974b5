"""LRU hash maps (kernel/bpf/bpf_lru_list.c, `BPF_MAP_TYPE_LRU_HASH`, `BPF_MAP_TYPE_LRU_PERCPU_HASH`).

The kernel's choice of a victim is approximate (it moves elements between lists in batches); here it is exact: the
element that was used longest ago goes. As in the kernel, look-ups and updates by programs and updates by the system
call are uses, look-ups by the system call are not.
"""

from __future__ import annotations

from collections import OrderedDict

from ebpf.abi.linux import ENOENT, ENOMEM
from ebpf.abi.types import MapFlag
from ebpf.vm.maps.base import MapShape
from ebpf.vm.maps.hash import Element, HashMap
from ebpf.vm.maps.percpu import PercpuHashMap


class LruHashMap(HashMap):
    """A hash map that is never full. With BPF_F_NO_COMMON_LRU each CPU has an equal part of the elements to itself."""

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self._parts = cpus if shape.flags & MapFlag.NO_COMMON_LRU else 1
        self.max_entries = _equal_parts(shape.max_entries, self._parts)
        self._recent: list[OrderedDict[bytes, None]] = [OrderedDict() for _ in range(self._parts)]
        self._home: dict[bytes, int] = {}
        self._cpu = 0  # CPU of the update in progress, under the lock

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        with self.lock:
            element = self._table.get(key)
            if element is None:
                return None
            self.touch(key)
            return element.values[cpu if self.per_cpu else 0] if self.per_cpu else element.value

    def lookup_quietly(self, key: bytes) -> memoryview | None:
        element = self._table.get(key)
        return None if element is None else element.value

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        with self.lock:
            self._cpu = cpu
            error = super().update(key, value, flags, cpu)
            if not error:
                self.touch(key)
            return error

    def write(self, key: bytes, value: bytes, flags: int = 0) -> int:
        with self.lock:
            self._cpu = 0
            error = super().write(key, value, flags)
            if not error:
                self.touch(key)
            return error

    def touch(self, key: bytes) -> None:
        """Note a use; the caller holds the lock."""
        self._recent[self._home[key]].move_to_end(key)

    def make_room(self, key: bytes) -> int:
        part = self._cpu % self._parts
        recent = self._recent[part]
        if len(recent) >= self.max_entries // self._parts:
            if not recent:
                return -ENOMEM  # fewer elements than CPUs: this CPU has none to give
            self.remove(next(iter(recent)))
        return 0

    def place(self, element: Element) -> int:
        part = self._cpu % self._parts
        result = super().place(element)
        self._home[element.key] = part
        self._recent[part][element.key] = None
        return result

    def remove(self, key: bytes) -> Element | None:
        element = super().remove(key)
        if element is not None:
            del self._recent[self._home[key]][key]
            del self._home[key]
        return element


class LruPercpuHashMap(LruHashMap, PercpuHashMap):
    """An LRU hash map with one value per CPU."""

    def read(self, key: bytes, flags: int = 0, value: bytes = b"") -> bytes | int:
        with self.lock:
            element = self._table.get(key)
            return -ENOENT if element is None else self.export_all(element.values)


def _equal_parts(max_entries: int, parts: int) -> int:
    """Round up so that every part is as large as the others."""
    return -(-max_entries // parts) * parts
