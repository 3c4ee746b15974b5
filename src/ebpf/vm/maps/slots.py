"""Arrays of kernel objects: programs and maps (kernel/bpf/arraymap.c, fd_array).

A slot keeps its object alive through `retain` and `release`, which the kernel sets; both are called without the
map's lock, since giving up an object may end others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpf.abi.linux import E2BIG, EINVAL, ENOENT
from ebpf.vm.maps.base import Map, MapShape


def ignore(_object: Any) -> None:
    """Stand in for `retain` and `release` where nobody counts."""


class SlotArrayMap(Map):
    """Slots that are empty or hold an object with an `id`."""

    program_lookup = False

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self.retain: Callable[[Any], None] = ignore
        self.release: Callable[[Any], None] = ignore
        self._objects: dict[int, Any] = {}

    @classmethod
    def cost(cls, shape: MapShape, *, cpus: int) -> int:
        return 8 * shape.max_entries

    def check_hold(self, key: bytes, flags: int) -> int:
        """Check what does not depend on the object, which comes first in the kernel too."""
        if flags:
            return -EINVAL
        return -E2BIG if int.from_bytes(key[:4], "little") >= self.max_entries else 0

    def hold(self, key: bytes, held: Any, flags: int = 0) -> int:
        """Put an object into a slot."""
        error = self.check_hold(key, flags)
        if error:
            return error
        self.retain(held)
        self._swap(int.from_bytes(key[:4], "little"), held)
        return 0

    def held(self, index: int) -> Any:
        """Return the object in a slot, or None."""
        return self._objects.get(index)

    def read(self, key: bytes, flags: int = 0, value: bytes = b"") -> bytes | int:
        held = self.held(int.from_bytes(key[:4], "little"))
        return -ENOENT if held is None else held.id.to_bytes(4, "little")

    def delete(self, key: bytes) -> int:
        index = int.from_bytes(key[:4], "little")
        if index >= self.max_entries:
            return -E2BIG
        return -ENOENT if self._swap(index, None) is None else 0

    def next_key(self, key: bytes | None) -> bytes | int:
        return self.index_after(key)

    def clear(self) -> None:
        for index in list(self._objects):
            self._swap(index, None)

    def _swap(self, index: int, held: Any) -> Any:
        with self.lock:
            old = self._objects.get(index)
            # Replaced in one step: a tail call at the same time finds the old program or the new one, never none.
            if held is not None:
                self._objects[index] = held
            elif old is not None:
                del self._objects[index]
        if old is not None:
            self.release(old)
        return old
