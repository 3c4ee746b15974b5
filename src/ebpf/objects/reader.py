"""Read records from rings, whatever ring they come from."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from ebpf.errors import BtfError, ClosedError, DeadlineExceeded
from ebpf.lean import RLock, WhenDropped
from ebpf.objects import batch
from ebpf.objects.consumer import Consumer
from ebpf.runtime.handle import origin, warn_unclosed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import MutableMapping
    from types import TracebackType

    from ebpf.objects.channel import Channel
    from ebpf.objects.consumer import Taken
    from ebpf.objects.watch import Watch
    from ebpf.runtime.base import Waiter
    from ebpf.runtime.handle import Origin

_SPIN = 0.0002
"""Seconds between looks at a record that a program has reserved but not yet submitted."""


class _Resources:
    """What a reader must give back, apart from the reader so that a finaliser can do it."""

    def __init__(self, channels: Sequence[Channel], waiter: Waiter) -> None:
        self.channels = channels
        self.waiter = waiter
        self.ended = False
        self.released = False
        self._busy = False

    def release(self) -> None:
        """Close everything, once; a call that Ctrl-C has ended is completed by the next."""
        if self.released or self._busy:  # busy: a signal handler closes in the middle of this, which then goes on
            return
        self._busy = True
        try:
            self.waiter.close()
            for channel in self.channels:
                channel.close()
            self.released = True
        finally:
            self._busy = False

    def drop(self, names: str, made: Origin) -> None:
        """Release what nobody closed. After its end, as of `for record in map.reader()`, that is no mistake."""
        try:
            if not self.ended:
                warn_unclosed(f"reader of {names}", made)
        finally:
            self.release()


@contextlib.contextmanager
def _listed(calls: set[object]) -> Iterator[None]:
    """List a call while it goes on, however it ends."""
    call = object()
    try:
        calls.add(call)
        yield
    finally:
        calls.discard(call)


class Reader:
    """An endless stream of records; a context manager, an iterator and an asynchronous iterator.

    Records are decoded through BTF where their type is known, else they are bytes; both are copies. Threads may
    share a reader: each record goes to one of them, and close() from any thread wakes and ends the others. An
    iteration ends when the reader or its map is closed, or when the last packet source of the collection is
    exhausted and everything is read. One that is dropped before its end without close() gives a ResourceWarning.
    After fork() the child's calls raise ClosedError.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        """Read from channels of one runtime, which this reader owns from now on; `RingBuffer.reader()` makes them."""
        first = channels[0].map
        self._channels = tuple(channels)
        self._consumer = Consumer(channels)
        self._waiter = first.runtime.waiter([channel.cursor.ring for channel in channels], first.facts)
        self._watches: MutableMapping[asyncio.AbstractEventLoop, Watch] | None = None
        self._state = RLock()  # lets its own thread in: a signal handler may close the reader in the middle of a call
        self._users: set[object] = set()
        self._waiting: set[object] = set()
        self._closed = False
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
        return self._until(timeout, self._consumer.take_one, _decoded)

    def read_batch(self, max: int | None = None, *, timeout: float | None = None) -> Any:
        """Return the records that are there, at most `max`, waiting up to `timeout` seconds for the first.

        A NumPy structured array where the record type is known, has a dtype and NumPy is installed; else a Batch.
        Empty when the sources are exhausted. Raises DeadlineExceeded, ClosedError. A record that is shorter than its
        type ends the batch before it, and is a ValueError of the next call.
        """
        limit = sys.maxsize if max is None else max
        layout = self._layout()
        if layout is None:
            return self._until(timeout, lambda taken: self._consumer.take(taken, limit), _joined)
        numpy, dtype = layout
        return self._until(
            timeout,
            lambda taken: self._consumer.take_arrays(taken, limit, numpy),
            lambda taken: numpy.frombuffer(bytearray().join(_parts(taken)), dtype),
        )

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
        taken: Taken = []
        try:
            with contextlib.suppress(ClosedError), self._using():
                try:
                    while self._look(self._consumer.take_one, taken):
                        await self._wait_in_loop()
                finally:
                    self._pass_on()
            if not taken:
                raise StopAsyncIteration
            return _decoded(taken)
        except BaseException:
            self._put_back(taken)
            raise

    async def _wait_in_loop(self) -> None:
        """Let the event loop run until a look may find something."""
        import asyncio

        with _listed(self._waiting):
            if self._due():
                await asyncio.sleep(_SPIN)
            else:
                await self._watch(asyncio.get_running_loop()).wait()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> Watch:
        """Return what all tasks of a loop wait for."""
        from weakref import WeakKeyDictionary

        from ebpf.objects.watch import Watch

        with self._state:
            if self._watches is None:
                self._watches = WeakKeyDictionary()
            return self._watches.setdefault(loop, Watch(self._waiter))

    # Joining and closing

    @classmethod
    def merge(cls, *readers: Reader) -> Reader:
        """Make one reader of several of the same runtime; they are used up by it, or all stay as they were on an error.

        Records of one ring stay in order. Each keeps its own decoding; read_batch() gives a Batch unless all types
        are the same. Raises ValueError, and ClosedError for a reader that is closed or being read.
        """
        if not readers or len(set(readers)) < len(readers):
            raise ValueError("merge needs at least one reader, and each once")
        if any(reader._inherited for reader in readers):
            raise ClosedError("a reader to merge belongs to the parent process")
        with contextlib.ExitStack() as held:
            for reader in sorted(readers, key=id):  # one order, so that no two calls wait for each other
                held.enter_context(reader._state)
            merged = cls(cls._free_channels(readers))
            merged._consumer.pending.extend([record for reader in readers for record in reader._consumer.pending])
            for map_ in {channel.map for channel in merged._channels}:
                map_._readers.add(merged)
            for reader in readers:
                reader._give_up()
        return merged

    @staticmethod
    def _free_channels(readers: Sequence[Reader]) -> list[Channel]:
        """Return the channels of readers that can be merged."""
        channels = [channel for reader in readers for channel in reader._channels]
        if any(reader._closed or reader._users for reader in readers):
            raise ClosedError("a reader to merge is closed or being read")
        if any(channel.map.runtime is not channels[0].map.runtime for channel in channels):
            raise ValueError("merge takes readers of one runtime")
        return channels

    def _give_up(self) -> None:
        """Close without closing the channels."""
        self._resources.channels = ()
        self.close()

    def wake(self) -> None:
        """Make waiting calls look again; from any thread, and from a signal handler."""
        if not self._inherited and not self._closed:
            self._waiter.wake()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    def close(self) -> None:
        """End every iteration and unmap the rings; may be called again, from any thread and from a signal handler.

        Doesn't wait: the last call in flight gives the rings back. If Ctrl-C ends it, another call, or dropping the
        reader, does the rest.
        """
        self._closed = self._resources.ended = True
        if self._inherited:
            self._release()
        else:
            self._finish()

    def _finish(self) -> None:
        """Give everything back if no call is in flight, else wake one."""
        with self._state:
            if self._users:
                self._waiter.wake()  # a wake() reaches one thread only: who leaves passes it on
            else:
                self._release()

    def _release(self) -> None:
        self._resources.release()
        if self._resources.released:
            self._drop.cancel()

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
        call = object()
        try:
            with self._state:
                self._users.add(call)
                if self._closed:
                    raise ClosedError("the reader was closed")
            yield
        finally:
            self._users.discard(call)
            if self._closed:
                self._finish()

    def _until(self, timeout: float | None, take: Callable[[Taken], None], result: Callable[[Taken], Any]) -> Any:
        """Call `take` until it takes something or the sources are exhausted; return the result of that."""
        deadline = None if timeout is None else time.monotonic() + timeout
        taken: Taken = []
        try:
            with self._using():
                try:
                    while self._look(take, taken):
                        self._wait(deadline)
                finally:
                    self._pass_on()
            return result(taken)
        except BaseException:
            self._put_back(taken)
            raise

    def _look(self, take: Callable[[Taken], None], taken: Taken) -> bool:
        """Take what is there; return whether to wait for more."""
        if self._closed:
            raise ClosedError("the reader was closed")
        exhausted = self._exhausted()  # asked first: what the last source wrote is then visible
        take(taken)
        return not taken and not exhausted

    def _wait(self, deadline: float | None) -> None:
        """Wait until a look may find something."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise DeadlineExceeded("no record came before the deadline")
        with _listed(self._waiting):  # before the look: whoever leaves something from now on wakes this call
            if self._due():
                time.sleep(_SPIN)
            else:
                self._waiter.wait(left)

    def _pass_on(self) -> None:
        """Wake another call for what this one leaves: a program, or wake(), may have woken this one only."""
        if self._waiting and self._due():
            self._waiter.wake()

    def _put_back(self, taken: Taken) -> None:
        """Keep for others what an exception, as that of a signal handler, does not let this call return."""
        if taken:
            self._consumer.put_back(taken)
            self._pass_on()

    def _due(self) -> bool:
        """Say whether a look may find something, or that nothing more will come."""
        return self._consumer.left() or self._exhausted()

    def _exhausted(self) -> bool:
        exhausted = all(channel.sources.exhausted for channel in self._channels)
        self._resources.ended = exhausted or self._closed
        return exhausted

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


def _decoded(taken: Taken) -> Any:
    """Decode the one record that was taken; it is used up, even if it can't be decoded."""
    if not taken:
        raise ClosedError("no more records: every packet source of the collection is exhausted")
    [(channel, record)] = taken
    try:
        return channel.decode(record)
    except BtfError:
        taken.clear()
        raise


def _joined(taken: Taken) -> batch.Batch:
    return batch.join([channel.trim(record) for channel, record in taken])


def _parts(taken: Taken) -> list[Any]:
    """Return the arrays that were taken, and what was taken as bytes, cut to its type."""
    return [channel.trim(part) if isinstance(part, bytes) else part for channel, part in taken]
