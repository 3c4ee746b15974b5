"""Perf event array and its rings (kernel/events/ring_buffer.c, `BPF_MAP_TYPE_PERF_EVENT_ARRAY`).

A ring holds perf records: `struct perf_event_header` (u32 type, u16 misc, u16 size) and the body. A sample is a u32
size and the raw bytes; a lost record is u64 id and u64 count. Records may wrap around the ring's end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ebpf.abi.linux import E2BIG, EBADF, EINVAL, ENOENT, ENOSPC, ENOTSUPP, EOPNOTSUPP
from ebpf.lean import Bell, RLock
from ebpf.vm.maps.base import Map, MapShape, round_up

RECORD_LOST = 2
RECORD_SAMPLE = 9
CURRENT_CPU = 0xFFFFFFFF
_HEADER = struct.Struct("<IHH")
_MAX_SAMPLE = (1 << 16) - 24


def _drop(_ring: object, _seen: int) -> bool:
    return False


class PerfRing:
    """The ring of one CPU. `size` is a power of two in bytes. One consumer; threads may share it."""

    wakeup_is_due = False
    """As that of RingBufferMap."""

    def __init__(self, size: int, *, cpu: int, identity: int) -> None:
        self.size = size
        self.cpu = cpu
        self.identity = identity
        self.data = memoryview(bytearray(size))
        self.on_full: Callable[[PerfRing, int], bool] = _drop
        """As that of RingBufferMap."""
        self.listeners: list[Callable[[], None]] = []
        self.readers = 0
        self.lock = RLock()
        self.space = Bell()
        """As that of RingBufferMap."""
        self._head = 0
        self._tail = 0
        self._lost = 0

    def output(self, data: bytes) -> int:
        """Write a sample; a full ring counts it as lost."""
        if len(data) > _MAX_SAMPLE:
            return -E2BIG
        raw = round_up(len(data) + 4, 8)
        record = _HEADER.pack(RECORD_SAMPLE, 0, _HEADER.size + raw) + struct.pack("<I", raw - 4) + data
        record += bytes(raw - 4 - len(data))
        seen = self._tail
        while not self._write(record):
            if not self.on_full(self, seen):
                with self.lock:
                    self._lost += 1
                return -ENOSPC
            seen = self._tail
        for wake in list(self.listeners):
            wake()
        return 0

    def producer(self) -> int:
        """Position after the last record."""
        return self._head

    def consumer(self) -> int:
        """Position of the next unread record."""
        return self._tail

    def set_consumer(self, position: int) -> None:
        """Free everything before `position`."""
        with self.lock:
            self._tail = position
        self.space.ring()

    def ready(self) -> bool:
        """Whether there is an unread record."""
        return self._head != self._tail

    def _write(self, record: bytes) -> bool:
        with self.lock:
            if self._lost:
                lost = struct.pack("<QQ", self.identity, self._lost)
                record = _HEADER.pack(RECORD_LOST, 0, _HEADER.size + len(lost)) + lost + record
            # One byte stays free, so that head == tail means empty.
            if self._head + len(record) - self._tail > self.size - 1:
                return False
            self._lost = 0
            at = self._head % self.size
            first = min(len(record), self.size - at)
            self.data[at : at + first] = record[:first]
            self.data[: len(record) - first] = record[first:]
            self._head += len(record)
            return True


class PerfEventArrayMap(Map):
    """Slots for one ring per CPU. The system call can't fill them (there are no perf events here): open_ring does."""

    program_lookup = False

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self.rings: dict[int, PerfRing] = {}

    @classmethod
    def cost(cls, shape: MapShape, *, cpus: int) -> int:
        return 8 * shape.max_entries

    def output(self, cpu: int, flags: int, data: bytes) -> int:
        """Write a sample to the ring of a program on `cpu`; the low 32 bits of `flags` are the slot."""
        index = flags & CURRENT_CPU
        if index == CURRENT_CPU:
            index = cpu
        if index >= self.max_entries:
            return -E2BIG
        ring = self.rings.get(index)
        if ring is None:
            return -ENOENT
        return ring.output(data) if ring.cpu == cpu else -EOPNOTSUPP

    def place(self, index: int, ring: PerfRing | None) -> PerfRing | None:
        """Put a ring into a slot (None empties it); return what was there."""
        with self.lock:
            old = self.rings.pop(index, None)
            if ring is not None:
                self.rings[index] = ring
            return old

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        if flags:
            return -EINVAL
        return -E2BIG if int.from_bytes(key[:4], "little") >= self.max_entries else -EBADF

    def delete(self, key: bytes) -> int:
        index = int.from_bytes(key[:4], "little")
        if index >= self.max_entries:
            return -E2BIG
        return -ENOENT if self.place(index, None) is None else 0

    def read(self, key: bytes, flags: int = 0, value: bytes = b"") -> bytes | int:
        return -ENOTSUPP

    def next_key(self, key: bytes | None) -> bytes | int:
        return self.index_after(key)

    def renew_lock(self) -> None:
        super().renew_lock()
        self.rings.clear()  # they are read in the parent

    def clear(self) -> None:
        with self.lock:
            self.rings.clear()
