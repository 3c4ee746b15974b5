"""Read records from rings, whatever ring they come from."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from ebpf.btf import Array, Codec, Struct, size_of, strip
from ebpf.errors import BtfError, ClosedError, DeadlineExceeded
from ebpf.lean import Lock, WhenDropped
from ebpf.objects import batch
from ebpf.objects.records import Cursor, RingCursor
from ebpf.runtime.handle import origin, warn_unclosed

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from ebpf.btf import Type
    from ebpf.objects.collection import Sources
    from ebpf.objects.map import Map
    from ebpf.runtime.base import Waiter
    from ebpf.runtime.handle import Origin

_AHEAD = 256
"""How many records a loop copies out at once."""
_SPIN = 0.0002
"""Seconds between looks at a record that a program has reserved but not yet submitted."""


class Channel:
    """One ring, the map it belongs to, and how its records are decoded."""

    def __init__(self, cursor: Cursor, map_: Map, type_: Type | None) -> None:
        self.cursor = cursor
        self.map = map_
        self.type = type_
        self.size = 0 if type_ is None else size_of(type_)
        self.codec = None if type_ is None else Codec(type_, byte_order=sys.byteorder)
        self._flexible = type_ is not None and _ends_flexible(type_)

    @property
    def sources(self) -> Sources:
        return self.map.sources

    def decode(self, record: bytes) -> Any:
        """Decode a record; ValueError if it is shorter than its type."""
        if self.codec is None:
            return record
        return self.codec.decode(self.trim(record))

    def trim(self, record: bytes) -> bytes:
        """Cut off what a perf ring adds for alignment, except behind a flexible array, whose end only it knows."""
        if len(record) < self.size:
            raise ValueError(
                f"record of map {self.map.name} has {len(record)} bytes, its type {self.size}; read it with raw=True"
            )
        return record if self._flexible else record[: self.size]

    def close(self) -> None:
        self.cursor.ring.close()

    @property
    def backlog(self) -> float:
        """How full the ring is, 0 to 1."""
        ring = self.cursor.ring
        return (ring.producer() - ring.consumer()) / ring.size


def _ends_flexible(type_: Type) -> bool:
    """Say whether a struct ends in an array without a length."""
    whole = strip(type_)
    if not isinstance(whole, Struct) or not whole.members:
        return False
    last = strip(whole.members[-1].type)
    return isinstance(last, Array) and last.nelems == 0


class _Resources:
    """What a reader must give back, apart from the reader so that a finaliser can do it."""

    def __init__(self, channels: Sequence[Channel], waiter: Waiter) -> None:
        self.channels = channels
        self.waiter = waiter
        self.exhausted = False

    def release(self) -> None:
        self.waiter.close()
        for channel in self.channels:
            channel.close()

    def drop(self, names: str, made: Origin) -> None:
        """Release what nobody closed. After its end, as of `for record in map.reader()`, that is no mistake."""
        try:
            if not self.exhausted:
                warn_unclosed(f"reader of {names}", made)
        finally:
            self.release()


def _finish(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _waiter_for(channels: Sequence[Channel]) -> Waiter:
    """Make the waiter of channels that belong to one runtime; they are closed if there is none."""
    first = channels[0].map
    try:
        return first.runtime.waiter([channel.cursor.ring for channel in channels], first.facts)
    except BaseException:
        for channel in channels:
            channel.close()
        raise


class Reader:
    """An endless stream of records; a context manager, an iterator and an asynchronous iterator.

    Records are decoded through BTF where their type is known, else they are bytes; both are copies. Threads may
    share a reader: each record goes to one of them, and close() from any thread wakes and ends the others. An
    iteration ends when the reader or its map is closed, or when the last packet source of the collection is
    exhausted and everything is read. One that is dropped before its end without close() gives a ResourceWarning.
    After fork() the child's calls raise ClosedError.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        """Read from channels that this reader owns from now on; `RingBuffer.reader()` makes them."""
        self._channels = tuple(channels)
        self._waiter = _waiter_for(channels)
        self._pending: deque[Any] = deque()
        self._lock = Lock()
        self._state = Lock()
        self._users = 0
        self._closed = False
        self._turn = 0
        self._process = os.getpid()
        self._resources = _Resources(self._channels, self._waiter)
        drop, names, made = self._resources.drop, self._names, origin()
        self._drop = WhenDropped(self, lambda: drop(names, made))
        for channel in channels:
            channel.sources.listen(self)

    # Records

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self.read()
        except ClosedError:
            raise StopIteration from None

    def read(self, timeout: float | None = None) -> Any:
        """Return the next record, waiting up to `timeout` seconds (None: for ever).

        Raises DeadlineExceeded, and ClosedError once the reader is closed or its sources are exhausted.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        found = self._until(deadline, self._next)
        if found is None:
            raise ClosedError("no more records: every packet source of the collection is exhausted")
        return found[0]

    def read_batch(self, max: int | None = None, *, timeout: float | None = None) -> Any:
        """Return the records that are there, at most `max`, waiting up to `timeout` seconds for the first.

        A NumPy structured array where the record type is known, has a dtype and NumPy is installed; else a Batch.
        Empty when the sources are exhausted. Raises DeadlineExceeded, ClosedError.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        limit = sys.maxsize if max is None else max
        layout = self._layout()
        if layout is None:
            found = self._until(deadline, lambda: self._take_bytes(limit))
            return batch.join(found or [])
        numpy, dtype = layout
        blocks = self._until(deadline, lambda: self._take_arrays(numpy, limit))
        joined = numpy.concatenate(blocks) if blocks else numpy.empty((0, dtype.itemsize), numpy.uint8)
        return joined.reshape(-1).view(dtype)

    def flush(self) -> None:
        """Look for records now: wakes readers for those whose program asked not to wake anyone (NO_WAKEUP)."""
        self.wake()

    @property
    def lost(self) -> int:
        """Records that a perf ring had no room for, as far as read; ring buffers don't count theirs (0)."""
        return sum(channel.cursor.lost for channel in self._channels)

    @property
    def backlog(self) -> float:
        """How full the fullest ring is, 0 to 1; 0 once the reader is closed."""
        try:
            with self._using():
                return max(channel.backlog for channel in self._channels)
        except ClosedError:
            return 0.0

    # Asynchronous records

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while True:
            try:
                with self._using():
                    exhausted = self._exhausted()
                    found = self._next()
            except ClosedError:
                raise StopAsyncIteration from None
            if found:
                return found[0]
            if exhausted:
                self.wake()
                raise StopAsyncIteration
            await self._ready()

    async def _ready(self) -> None:
        """Let the event loop run until the waiter may have something."""
        import asyncio

        loop = asyncio.get_running_loop()
        with contextlib.suppress(ClosedError), self._using():  # closing must not take the descriptor from the loop
            number = self._waiter.fileno()
            if number is None:
                await self._ready_in_thread()
                return
            ready: asyncio.Future[None] = loop.create_future()
            try:
                loop.add_reader(number, _finish, ready)
            except NotImplementedError:  # the proactor loop of Windows watches no descriptors
                await self._ready_in_thread()
                return
            try:
                await ready
            finally:
                loop.remove_reader(number)
            self._wait(0)

    async def _ready_in_thread(self) -> None:
        import asyncio

        try:
            await asyncio.get_running_loop().run_in_executor(None, self._wait, None)
        except asyncio.CancelledError:
            self.wake()  # the thread must not outlive the task
            raise

    # Joining and closing

    @classmethod
    def merge(cls, *readers: Reader) -> Reader:
        """Make one reader of several of the same runtime; they are used up by it.

        Records of one ring stay in order. Each keeps its own decoding; read_batch() gives a Batch unless all types
        are the same.
        """
        if not readers:
            raise ValueError("merge needs at least one reader")
        channels = [channel for reader in readers for channel in reader._channels]
        if any(reader.closed for reader in readers):
            raise ClosedError("a reader to merge is closed")
        if any(channel.map.runtime is not channels[0].map.runtime for channel in channels):
            raise ValueError("merge takes readers of one runtime")
        pending = [record for reader in readers for record in reader._give_up()]
        merged = cls(channels)
        merged._pending.extend(pending)
        for map_ in {channel.map for channel in channels}:
            map_._readers.add(merged)
        return merged

    def _give_up(self) -> list[Any]:
        """Close without closing the channels; return what was copied out and not yet handed over."""
        with self._state:
            if self._closed or self._users:
                raise ClosedError("a reader to merge is closed or being read")
            self._closed = True
            self._drop.cancel()
        self._waiter.close()
        return list(self._pending)

    def _release(self) -> None:
        """Give everything back, once."""
        if self._drop.cancel():
            self._resources.release()

    def wake(self) -> None:
        """Make waiting calls look again; from any thread."""
        if self._inherited:
            return
        with self._state:
            if self._closed:
                return
            self._waiter.wake()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    def close(self) -> None:
        """End every iteration and unmap the rings; may be called again, from any thread.

        Doesn't wait: the last call in flight gives the rings back.
        """
        if self._inherited:
            self._closed = True
            self._release()
            return
        with self._state:
            last = not self._users and not self._closed
            self._closed = True
            if self._users:
                self._waiter.wake()  # again, where Ctrl-C came before that
        if last:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Reader of {self._names}{' closed' if self._closed else ''}>"

    @property
    def _names(self) -> str:
        return ", ".join(sorted({channel.map.name for channel in self._channels}))

    # Waiting

    @property
    def _inherited(self) -> bool:
        """Whether this is a forked child's copy: two consumers would free each other's records."""
        return self._process != os.getpid()

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        """Keep the rings mapped during a call; the last user of a closed reader gives them back."""
        if self._inherited:  # asked before any lock: in the child another thread's lock stays held
            raise ClosedError("the reader belongs to the parent process; open one of its own in the child")
        with self._state:
            if self._closed:
                raise ClosedError("the reader was closed")
            self._users += 1
        try:
            yield
        finally:
            with self._state:
                self._users -= 1
                last = self._closed and not self._users
                if self._closed and self._users:
                    self._waiter.wake()  # the wake() of close() may have reached this thread only
            if last:
                self._release()

    def _until(self, deadline: float | None, take: Callable[[], list[Any]]) -> list[Any] | None:
        """Call `take` until it gives something; None when the sources are exhausted."""
        with self._using():
            while True:
                exhausted = self._exhausted()  # asked first: what the last source wrote is then visible
                found = take()
                if found:
                    return found
                if exhausted:
                    self.wake()  # one wake() may reach one waiting thread only: pass it on
                    return None
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise DeadlineExceeded("no record came before the deadline")
                if self._reserved():
                    time.sleep(_SPIN)
                else:
                    self._waiter.wait(left)
                if self._closed:
                    raise ClosedError("the reader was closed")

    def _wait(self, timeout: float | None) -> None:
        try:
            with self._using():
                self._waiter.wait(timeout)
        except ClosedError:
            pass  # the caller looks again and sees it

    def _exhausted(self) -> bool:
        self._resources.exhausted = all(channel.sources.exhausted for channel in self._channels)
        return self._resources.exhausted

    def _reserved(self) -> bool:
        """Say whether a ring's next record is not yet submitted: waiting for such a ring returns at once."""
        rings = (channel.cursor.ring for channel in self._channels)
        return any(ring.producer() != ring.consumer() for ring in rings)

    # Taking; under the lock

    def _next(self) -> list[Any]:
        with self._lock:
            if not self._pending:
                self._fill()
            if not self._pending:
                return []
            channel, record = self._pending.popleft()
        return [channel.decode(record)]

    def _fill(self) -> None:
        """Copy records out of each ring in turn, beginning with another one each time."""
        self._turn = (self._turn + 1) % len(self._channels)
        for channel in (*self._channels[self._turn :], *self._channels[: self._turn]):
            self._pending.extend((channel, record) for record in channel.cursor.take(_AHEAD))

    def _take_bytes(self, limit: int) -> list[bytes]:
        with self._lock:
            records = self._take_pending(limit)
            for channel in self._channels:
                records.extend((channel, record) for record in channel.cursor.take(limit - len(records)))
        return [channel.trim(record) if channel.codec else record for channel, record in records]

    def _take_pending(self, limit: int) -> list[tuple[Channel, bytes]]:
        return [self._pending.popleft() for _ in range(min(limit, len(self._pending)))]

    def _take_arrays(self, numpy: Any, limit: int) -> list[Any]:
        with self._lock:
            size = self._channels[0].size
            blocks = [self._rows(numpy, self._take_pending(limit))]
            left = limit - len(blocks[0])
            for channel in self._channels:
                for rows in self._ring_rows(numpy, channel, size, left):
                    blocks.append(rows)
                    left -= len(rows)
        return [rows for rows in blocks if len(rows)]

    def _ring_rows(self, numpy: Any, channel: Channel, size: int, limit: int) -> Iterator[Any]:
        """Take runs of equal records at once, and what stands between them one by one."""
        while limit > 0:
            cursor = channel.cursor
            rows = cursor.take_array(numpy, size, limit) if isinstance(cursor, RingCursor) else ()
            if not len(rows):
                before = cursor.ring.consumer()
                rows = self._rows(numpy, [(channel, record) for record in cursor.take(min(limit, _AHEAD))])
                if cursor.ring.consumer() == before:
                    return
            limit -= len(rows)
            yield rows

    def _rows(self, numpy: Any, records: list[tuple[Channel, bytes]]) -> Any:
        size = self._channels[0].size
        rows = numpy.empty((len(records), size), numpy.uint8)
        for row, (channel, record) in zip(rows, records, strict=True):
            row[:] = numpy.frombuffer(channel.trim(record), numpy.uint8)
        return rows

    def _layout(self) -> tuple[Any, Any] | None:
        """Return (numpy, dtype) where batches can be arrays."""
        first = self._channels[0]
        if first.codec is None or any(channel.type != first.type for channel in self._channels):
            return None
        try:
            import numpy
        except ImportError:
            return None
        try:
            return numpy, first.codec.dtype
        except BtfError:  # bit-fields, flexible arrays: NumPy has no such layout
            return None
