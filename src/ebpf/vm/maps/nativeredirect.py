"""Redirect targets by number that native code knows of: which there are. The targets themselves are Python's."""

from __future__ import annotations

from ebpf.vm.maps.base import MapShape
from ebpf.vm.maps.redirect import CpuMap, DevMap, XskMap
from ebpf.vm.maps.storage import NativeStorage, zeroed

_MOST_TARGETS = 1 << 30


class NativeDevMap(DevMap):
    """Interface indices; native code looks whether there is one."""

    native: NativeStorage

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self._there = zeroed(shape.max_entries)
        self.native = NativeStorage(self, self._there, stride=1, numbers=0)

    @classmethod
    def fits(cls, shape: MapShape, *, cpus: int) -> bool:
        """Whether the table has a bearable size."""
        return shape.max_entries <= _MOST_TARGETS

    def set_target(self, index: int, target: memoryview | None) -> None:
        with self.lock:
            super().set_target(index, target)
            self._there[index] = target is not None


class NativeCpuMap(NativeDevMap, CpuMap):
    """Queue sizes by CPU, the same way."""


class NativeXskMap(NativeDevMap, XskMap):
    """Sockets, of which there are none."""
