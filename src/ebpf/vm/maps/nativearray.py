"""Arrays in native storage: the block of values is the same as in Python storage, and native code knows where it is."""

from __future__ import annotations

from ebpf.vm.maps.array import ArrayMap
from ebpf.vm.maps.base import MapShape, round_up
from ebpf.vm.maps.storage import NativeStorage, shift_of


class NativeArrayMap(ArrayMap):
    """An array that native code reads and writes."""

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self.native = NativeStorage(self, self.storage, stride=self.stride, numbers=shape.max_entries)

    @classmethod
    def fits(cls, shape: MapShape, *, cpus: int) -> bool:
        """Whether the values of such an array have addresses."""
        return round_up(shape.value_size, 8) <= 1 << shift_of(shape.max_entries)
