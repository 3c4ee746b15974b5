"""Take records out of a mapped ring: BPF ring buffers (kernel/bpf/ringbuf.c) and perf rings (linux/perf_event.h).

A cursor is not synchronised: its Consumer holds a lock around every call.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ebpf.runtime.base import RingMemory

_BUSY = 1 << 31
_DISCARD = 1 << 30
_LENGTH = _DISCARD - 1
_HEADER = struct.Struct("=I")
_PERF_HEADER = struct.Struct("=IHH")
_PERF_LOST = struct.Struct("=QQ")
PERF_RECORD_LOST = 2
PERF_RECORD_SAMPLE = 9


class Cursor(Protocol):
    """The consumer's place in one ring."""

    ring: RingMemory
    lost: int
    position: int
    """What is before it was copied out; whoever has kept a copy moves it on, and frees the space then."""

    def copy(self, limit: int) -> tuple[list[bytes], int]:
        """Copy up to `limit` finished records, and say where they end."""
        ...

    def free(self) -> None:
        """Give the space before `position` back to the producer."""
        ...


class _Cursor:
    """What both kinds of ring share."""

    def __init__(self, ring: RingMemory) -> None:
        self.ring = ring
        self.lost = 0
        self.position = 0

    def free(self) -> None:
        if self.ring.consumer() < self.position:
            self.ring.set_consumer(self.position)

    def _start(self) -> int:
        # Behind `position` where a signal handler's exception came before the space was freed.
        return max(self.position, self.ring.consumer())


class RingCursor(_Cursor):
    """Consumer of a BPF ring buffer: a record is 8 bytes of header (length, busy and discard bits, page) and data."""

    def copy(self, limit: int) -> tuple[list[bytes], int]:
        ring, data, mask = self.ring, self.ring.data, self.ring.size - 1
        position, end = self._start(), ring.producer()
        records: list[bytes] = []
        while position < end and len(records) < limit:
            at = position & mask
            (header,) = _HEADER.unpack_from(data, at)
            if header & _BUSY:
                break  # reserved, not submitted: later records wait behind it
            length = header & _LENGTH
            if not header & _DISCARD:
                records.append(bytes(data[at + 8 : at + 8 + length]))
            position += (length + 15) & ~7
        return records, position

    def copy_array(self, numpy: Any, size: int, limit: int) -> tuple[Any, int]:
        """Copy records of exactly `size` bytes in a row into one (n, size) array, n may be 0; say where they end."""
        ring, stride = self.ring, (size + 15) & ~7
        position = self._start()
        count = min((ring.producer() - position) // stride, limit)
        if not count:
            return numpy.empty((0, size), numpy.uint8), position
        block = numpy.frombuffer(ring.data, numpy.uint8, count * stride, position & (ring.size - 1))
        rows = block.reshape(count, stride)
        fits = rows[:, :4].copy().view(numpy.uint32)[:, 0] == size
        count = count if fits.all() else int(fits.argmin())
        return rows[:count, 8 : 8 + size].copy(), position + count * stride


class PerfCursor(_Cursor):
    """Consumer of one CPU's perf ring: PERF_RECORD_SAMPLE with PERF_SAMPLE_RAW, and PERF_RECORD_LOST."""

    _counted = 0  # the losses before it are in `lost`, even if the records are copied once more

    def copy(self, limit: int) -> tuple[list[bytes], int]:
        position, end = self._start(), self.ring.producer()
        records: list[bytes] = []
        lost = 0
        while position < end and len(records) < limit:
            kind, _, size = _PERF_HEADER.unpack(self._copy(position, 8))
            if kind == PERF_RECORD_SAMPLE:
                (length,) = _HEADER.unpack(self._copy(position + 8, 4))
                records.append(self._copy(position + 12, length))
            elif kind == PERF_RECORD_LOST and position >= self._counted:
                lost += _PERF_LOST.unpack(self._copy(position + 8, 16))[1]
            position += max(size, 8)  # a size of 0 would never end
        self.lost, self._counted = self.lost + lost, position
        return records, position

    def _copy(self, position: int, length: int) -> bytes:
        """Copy bytes that may run over the end of the ring and on from its beginning."""
        size, data = self.ring.size, self.ring.data
        at = position & (size - 1)
        if at + length <= size:
            return bytes(data[at : at + length])
        return bytes(data[at:size]) + bytes(data[: at + length - size])
