"""Map values as memory: the storage of a BPF_F_MMAPABLE array itself (kernel/bpf/arraymap.c array_map_mmap)."""

from __future__ import annotations

import weakref

from ebpf.abi.linux import EACCES, EINVAL, ENOTSUPP, EPERM
from ebpf.abi.types import MapFlag
from ebpf.errors import ClosedError
from ebpf.runtime.embedded.objects import MapObject, OpenFile, Registry
from ebpf.vm.fault import Rejected
from ebpf.vm.maps import ArrayMap


class MappedArray:
    """A mapped array. While a writable one is open, or a view of it lives, the map can't be frozen.

    Views see every write of programs and the other way round; writes of more than 8 bytes are not atomic.
    """

    def __init__(self, registry: Registry, file: OpenFile, obj: MapObject, size: int, *, writable: bool) -> None:
        self._memory: memoryview | None = _storage(file, obj, size, writable=writable)
        self._size = size
        self._registry = registry
        self._map = obj
        self._writable = writable
        self._count(1)

    @property
    def size(self) -> int:
        """How many bytes are mapped."""
        return self._size

    def view(self) -> memoryview:
        """Return the memory, live."""
        if self._memory is None:
            raise ClosedError("the map's memory was closed; map it again")
        view = self._memory[:]
        self._count(1)
        weakref.finalize(view, self._count, -1)
        return view

    def close(self) -> None:
        """Give the mapping up; live views keep it."""
        memory, self._memory = self._memory, None
        if memory is not None:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._registry.lock:
            self._map.writable_mappings += change * self._writable
        if change > 0:
            self._registry.retain(self._map)
        else:
            self._registry.release(self._map)


def _storage(file: OpenFile, obj: MapObject, size: int, *, writable: bool) -> memoryview:
    map_ = obj.map
    if not isinstance(map_, ArrayMap) or not map_.flags & MapFlag.MMAPABLE:
        raise Rejected(ENOTSUPP, f"{map_!r} can't be mapped: only arrays with BPF_F_MMAPABLE can")
    if writable and map_.frozen:
        raise Rejected(EPERM, "the map is frozen")
    if writable and not map_.program_writable:
        raise Rejected(EACCES, "a map that programs can't write (BPF_F_RDONLY_PROG) is mapped for reading only")
    if not file.readable or (writable and not file.writable):
        raise Rejected(EACCES, "the map was opened for one direction only")
    if not 0 < size <= map_.mapped_size:
        raise Rejected(EINVAL, f"the map has {map_.mapped_size} bytes to map, not {size}")
    memory = map_.storage[:size]
    return memory if writable else memory.toreadonly()
