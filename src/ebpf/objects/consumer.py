"""Take records out of rings, each once, whatever interrupts that."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from ebpf.errors import ClosedError
from ebpf.lean import Lock
from ebpf.objects.channel import Channel
from ebpf.objects.records import RingCursor

_AHEAD = 256
"""How many records of a ring are copied out at once."""

Taken = list[tuple[Channel, Any]]
"""What a call has taken, in order: each a channel and a record, or an array whose rows are records."""


class Consumer:
    """Takes the records of some rings. Threads may share it: each record goes to one of them.

    A record is in its ring, in `pending`, or in the `taken` of one call, which puts it back if it can't return it.
    Where it moves on, no function is called between the two statements that do that: CPython handles signals after
    calls, so that an exception of their handlers (Ctrl-C) finds the record in one place.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.pending: deque[tuple[Channel, bytes]] = deque()
        self._channels = tuple(channels)
        self._lock = Lock()
        self._turn = 0

    def left(self) -> bool:
        """Say whether a look is worth while: for records, also reserved ones, or because a ring was closed."""
        if self.pending:
            return True
        rings = (channel.cursor.ring for channel in self._channels)
        try:
            return any(ring.producer() != ring.consumer() for ring in rings)
        except ClosedError:
            return True

    def take_one(self, taken: Taken) -> None:
        """Take the next record; ValueError, once, if it is shorter than its type."""
        with self._lock:
            if not self.pending:
                self._fill(_AHEAD)
            self._take_pending(taken, 1)

    def take(self, taken: Taken, limit: int) -> None:
        """Take up to `limit` records, but none behind one that is too short: ValueError if that is the first."""
        with self._lock:
            if len(self.pending) < limit:
                self._fill(limit - len(self.pending))
            self._take_pending(taken, limit)

    def take_arrays(self, taken: Taken, limit: int, numpy: Any) -> None:
        """Like `take()` for channels of one type: runs of records of its size are taken as arrays at once."""
        with self._lock:
            left = limit - self._take_pending(taken, limit)
            for channel in self._channels:
                while left > 0 and not self.pending:
                    count = self._take_run(taken, channel, left, numpy)
                    if not count and not self._move(channel, min(left, _AHEAD)):
                        break
                    left -= count or self._take_pending(taken, left)

    def put_back(self, taken: Taken) -> None:
        """Put what could not be returned before what is pending."""
        records = [(channel, record) for channel, part in taken for record in _records(part)]
        with self._lock:
            self.pending.extendleft(reversed(records))

    # Under the lock

    def _fill(self, limit: int) -> None:
        """Copy up to `limit` records out of each ring in turn, beginning with another one each time."""
        self._turn = (self._turn + 1) % len(self._channels)
        for channel in (*self._channels[self._turn :], *self._channels[: self._turn]):
            self._move(channel, limit)

    def _move(self, channel: Channel, limit: int) -> bool:
        """Move up to `limit` records from a ring to `pending`; False if nothing was there, discarded ones included."""
        cursor = channel.cursor
        start = cursor.position
        records, end = cursor.copy(limit)
        found = [(channel, record) for record in records]
        extend = self.pending.extend
        cursor.position = end
        extend(found)
        cursor.free()
        return end != start

    def _take_pending(self, taken: Taken, limit: int) -> int:
        """Take pending records up to one that is too short; return how many. Where that is the first, it is dropped."""
        pending, append = self.pending, taken.append
        count = 0
        while count < limit and pending:
            one = pending[0]
            if len(one[1]) < one[0].size:
                self._refuse(taken)
                break
            del pending[0]
            append(one)
            count += 1
        return count

    def _refuse(self, taken: Taken) -> None:
        """Drop a record that is too short; not yet if there are others to return before."""
        if not taken:
            channel, record = self.pending.popleft()
            raise channel.too_short(record)

    def _take_run(self, taken: Taken, channel: Channel, limit: int, numpy: Any) -> int:
        """Take records of the type's size that follow one another in a ring buffer; return how many."""
        cursor = channel.cursor
        if not isinstance(cursor, RingCursor):
            return 0
        rows, end = cursor.copy_array(numpy, channel.size, limit)
        if len(rows):
            append, run = taken.append, (channel, rows)
            cursor.position = end
            append(run)
            cursor.free()
        return len(rows)


def _records(part: Any) -> Iterable[bytes]:
    return [part] if isinstance(part, bytes) else map(bytes, part)
