"""Array map (kernel/bpf/arraymap.c, `BPF_MAP_TYPE_ARRAY`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ebpf.abi.linux import EINVAL
from ebpf.abi.types import MapFlag
from ebpf.vm.maps.base import LOCK, MAX_VIEWS, PAGE_SIZE, Map, MapShape, round_up
from ebpf.vm.maps.storage import zeroed


class ArrayMap(Map):
    """Values in one block of zeroed memory, each at a multiple of 8 bytes; elements always exist.

    `storage` is that block; of a map with BPF_F_MMAPABLE it is whole pages.
    """

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self.stride = round_up(shape.value_size, 8)
        size = self.stride * shape.max_entries
        self.mapped_size = round_up(size, PAGE_SIZE)
        self.storage = zeroed(self.mapped_size if shape.flags & MapFlag.MMAPABLE else size)
        self._views: dict[int, memoryview] = {}

    @classmethod
    def cost(cls, shape: MapShape, *, cpus: int) -> int:
        return round_up(shape.value_size, 8) * shape.max_entries

    def view(self, index: int) -> memoryview | None:
        """Return the live value at `index`, the same view every time."""
        view = self._views.get(index)
        if view is None and 0 <= index < self.max_entries:
            start = index * self.stride
            if len(self._views) >= MAX_VIEWS:
                self._views.clear()  # the same element has a second address then in a run that knows the first
            view = self._views.setdefault(index, self.storage[start : start + self.value_size])
        return view

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        return self.view(int.from_bytes(key[:4], "little"))

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        index = self.check_index(key, flags)
        if index < 0:
            return index
        view = self.view(index)
        assert view is not None
        with self.lock:
            self.store(view, value[: self.value_size])
        return 0

    def read(self, key: bytes, flags: int = 0, value: bytes = b"") -> bytes | int:
        if flags & LOCK and self.lock_offset is not None:
            with self.lock:
                return super().read(key)
        return super().read(key)

    def delete(self, key: bytes) -> int:
        return -EINVAL

    def next_key(self, key: bytes | None) -> bytes | int:
        return self.index_after(key)

    def elements(self) -> list[tuple[bytes, Any, memoryview]]:
        return list(self.elements_on(0))

    def elements_on(self, cpu: int) -> Iterator[tuple[bytes, Any, memoryview]]:
        return ((i.to_bytes(4, "little"), i, self.view(i)) for i in range(self.max_entries))  # type: ignore[misc]  # every index has a view
