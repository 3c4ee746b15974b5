"""Per-CPU array and hash map (`BPF_MAP_TYPE_PERCPU_ARRAY`, `BPF_MAP_TYPE_PERCPU_HASH`).

In the system call a value is all CPUs' values one after the other, each rounded up to 8 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ebpf.abi.linux import EINVAL, ENOENT
from ebpf.vm.maps.base import EXIST, MAX_VIEWS, Map, MapShape, round_up
from ebpf.vm.maps.hash import Element, HashMap
from ebpf.vm.maps.storage import zeroed


class _Values(Map):
    """What both kinds share: values in the form of the system call."""

    per_cpu = True

    def export_all(self, values: list[memoryview]) -> bytes:
        """Join the values of all CPUs."""
        padding = bytes(-self.value_size % 8)
        return b"".join(view.tobytes() + padding for view in values)

    def split(self, value: bytes) -> list[bytes]:
        """Cut a value of the system call into the CPUs' values."""
        stride = round_up(self.value_size, 8)
        return [value[i * stride : i * stride + self.value_size] for i in range(self.cpus)]


class PercpuArrayMap(_Values):
    """An array; the values of an element lie together, that of CPU 0 first."""

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self.stride = round_up(shape.value_size, 8)
        self.storage = zeroed(self.stride * shape.max_entries * cpus)
        self._views: dict[int, memoryview] = {}

    @classmethod
    def cost(cls, shape: MapShape, *, cpus: int) -> int:
        return round_up(shape.value_size, 8) * shape.max_entries * cpus

    def view(self, index: int, cpu: int) -> memoryview | None:
        """Return the live value of that CPU at `index`, the same view every time."""
        number = index * self.cpus + cpu
        view = self._views.get(number)
        if view is None and 0 <= index < self.max_entries:
            start = number * self.stride
            if len(self._views) >= MAX_VIEWS:
                self._views.clear()
            view = self._views.setdefault(number, self.storage[start : start + self.value_size])
        return view

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        return self.view(int.from_bytes(key[:4], "little"), cpu)

    def lookup_percpu(self, key: bytes, cpu: int) -> memoryview | None:
        return self.lookup(key, cpu) if cpu < self.cpus else None

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        index = self._check(key, flags)
        if index < 0:
            return index
        with self.lock:
            self._put(index, cpu, value[: self.value_size])
        return 0

    def read(self, key: bytes, flags: int = 0, value: bytes = b"") -> bytes | int:
        index = int.from_bytes(key[:4], "little")
        if index >= self.max_entries:
            return -ENOENT
        with self.lock:
            return self.export_all([v for cpu in range(self.cpus) if (v := self.view(index, cpu)) is not None])

    def write(self, key: bytes, value: bytes, flags: int = 0) -> int:
        index = self._check(key, flags)
        if index < 0:
            return index
        with self.lock:
            for cpu, part in enumerate(self.split(value)):
                self._put(index, cpu, part)
        return 0

    def delete(self, key: bytes) -> int:
        return -EINVAL

    def next_key(self, key: bytes | None) -> bytes | int:
        return self.index_after(key)

    def elements(self) -> list[tuple[bytes, Any, memoryview]]:
        return list(self.elements_on(0))

    def elements_on(self, cpu: int) -> Iterator[tuple[bytes, Any, memoryview]]:
        return ((i.to_bytes(4, "little"), i, self.view(i, cpu)) for i in range(self.max_entries))  # type: ignore[misc]  # every index has a view

    def _check(self, key: bytes, flags: int) -> int:
        return -EINVAL if flags > EXIST else self.check_index(key, flags)

    def _put(self, index: int, cpu: int, value: bytes) -> None:
        view = self.view(index, cpu)
        assert view is not None
        view[:] = value


class PercpuHashMap(HashMap, _Values):
    """A hash map with one value per CPU; values change in place."""

    per_cpu = True

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        element = self._table.get(key)
        return None if element is None else element.values[cpu]

    def lookup_percpu(self, key: bytes, cpu: int) -> memoryview | None:
        return self.lookup(key, cpu) if cpu < self.cpus else None

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        parts = [bytes(self.value_size)] * self.cpus
        parts[cpu] = value
        return self._update(key, parts, flags, only=cpu)

    def write(self, key: bytes, value: bytes, flags: int = 0) -> int:
        return self._update(key, self.split(value), flags)

    def read(self, key: bytes, flags: int = 0, value: bytes = b"") -> bytes | int:
        with self.lock:
            element = self._table.get(key)
            return -ENOENT if element is None else self.export_all(element.values)

    def elements_on(self, cpu: int) -> list[tuple[bytes, Any, memoryview]]:
        with self.lock:
            return [(e.key, e.key, e.values[cpu]) for e in self._slots if e is not None]

    def _update(self, key: bytes, parts: list[bytes], flags: int, *, only: int | None = None) -> int:
        with self.lock:
            old = self._table.get(key)
            error = -EINVAL if flags > EXIST else self.check_flags(flags, exists=old is not None)
            if error:
                return error
            if old is None:
                return self.make_room(key) or self.place(_element(key, parts))
            for cpu, part in enumerate(parts):
                if only in (None, cpu):
                    old.values[cpu][:] = part
            return 0


def _element(key: bytes, parts: list[bytes]) -> Element:
    values = [memoryview(bytearray(part)) for part in parts]
    return Element(key, values[0], values=values)
