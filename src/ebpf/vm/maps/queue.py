"""Queue and stack (kernel/bpf/queue_stack_maps.c, `BPF_MAP_TYPE_QUEUE`, `BPF_MAP_TYPE_STACK`)."""

from __future__ import annotations

from collections import deque

from ebpf.abi.linux import E2BIG, EINVAL, ENOENT
from ebpf.vm.maps.base import EXIST, NOEXIST, Map, MapShape, round_up


class QueueMap(Map):
    """Values without keys, first in first out. A push with BPF_EXIST to a full map drops the oldest value."""

    _newest_first = False

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self._values: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._values)

    @classmethod
    def cost(cls, shape: MapShape, *, cpus: int) -> int:
        return round_up(shape.value_size, 8) * (shape.max_entries + 1)

    def push(self, value: bytes, flags: int = 0) -> int:
        if flags & NOEXIST or flags > EXIST:
            return -EINVAL
        with self.lock:
            if len(self._values) >= self.max_entries:
                if flags != EXIST:
                    return -E2BIG
                self._values.popleft()
            self._values.append(bytes(value))
        return 0

    def pop(self) -> bytes | int:
        with self.lock:
            if not self._values:
                return -ENOENT
            return self._values.pop() if self._newest_first else self._values.popleft()

    def peek(self, value: bytes = b"") -> bytes | int:
        with self.lock:
            if not self._values:
                return -ENOENT
            return self._values[-1 if self._newest_first else 0]

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        return -EINVAL

    def delete(self, key: bytes) -> int:
        return -EINVAL

    def read(self, key: bytes, flags: int = 0, value: bytes = b"") -> bytes | int:
        return self.peek()

    def write(self, key: bytes, value: bytes, flags: int = 0) -> int:
        return self.push(value, flags)

    def take(self, key: bytes, flags: int = 0) -> bytes | int:
        return self.pop()

    def next_key(self, key: bytes | None) -> bytes | int:
        return -EINVAL

    def clear(self) -> None:
        with self.lock:
            self._values.clear()


class StackMap(QueueMap):
    """Values without keys, last in first out."""

    _newest_first = True
