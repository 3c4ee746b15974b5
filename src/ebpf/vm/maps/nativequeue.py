"""Queue and stack in native storage (support/map_queue.c)."""

from __future__ import annotations

import ctypes

from ebpf.vm.maps.base import MapShape, round_up
from ebpf.vm.maps.queue import QueueMap, StackMap
from ebpf.vm.maps.storage import COUNT, HEAD, NativeStorage, functions, patiently, zeroed


class _NativeQueue(QueueMap):
    """The element calls of both kinds."""

    native: NativeStorage

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self._functions = functions()
        self._value = ctypes.c_char * shape.value_size
        stride = round_up(shape.value_size, 8)
        # No value has an address: programs get copies.
        self.native = NativeStorage(self, zeroed(stride * shape.max_entries), stride=stride, numbers=0)

    @classmethod
    def fits(cls, shape: MapShape, *, cpus: int) -> bool:
        """Whether there can be such a map: always."""
        return True

    def __len__(self) -> int:
        return self.native.words[COUNT]

    def push(self, value: bytes, flags: int = 0) -> int:
        if len(value) != self.value_size:
            raise ValueError(f"a value of {self!r} has {self.value_size} bytes, not {len(value)}")
        return patiently(self._functions.queue_push, self.native.pointer, bytes(value), flags)

    def pop(self) -> bytes | int:
        return self._next(take=True)

    def peek(self, value: bytes = b"") -> bytes | int:
        return self._next(take=False)

    def clear(self) -> None:
        self.native.words[COUNT] = self.native.words[HEAD] = 0

    def _next(self, *, take: bool) -> bytes | int:
        copied = self._value()
        return patiently(self._functions.queue_next, self.native.pointer, copied, take) or copied.raw


class NativeQueueMap(_NativeQueue):
    """A queue that native code reads and writes."""


class NativeStackMap(_NativeQueue, StackMap):
    """A stack that native code reads and writes."""
