"""Mapped rings: BPF_MAP_TYPE_RINGBUF (kernel/bpf/ringbuf.c) and the perf rings of BPF_MAP_TYPE_PERF_EVENT_ARRAY."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from typing import TYPE_CHECKING

from ebpf.errors import ClosedError, SystemCallError
from ebpf.runtime.linux import perf
from ebpf.runtime.linux.mapped import map_shared, unmap

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

    from ebpf.runtime.facts import MapFacts

PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

DEFAULT_PERF_SIZE = 64 * 1024
"""Bytes of one CPU's ring."""

# struct perf_event_mmap_page: data_head and data_tail.
_HEAD, _TAIL = 1024, 1032

_barrier = threading.Lock()
# One lock for the closing of all rings and for their slots, which a forked child can replace. A finalizer may close
# another ring in the middle of it: the lock has to let its own thread in.
_lock = threading.RLock()
_in_slots: dict[tuple[int, int], int] = {}
"""The event that this process put into a slot last, by the map's descriptor and the CPU."""


def _fence() -> None:
    # A lock's atomic operations order the loads and stores around them, on every architecture.
    with _barrier:
        return


class _Ring:
    """Positions and data of one ring. Threads may share it; records are one reader's business."""

    def __init__(self, size: int, data: memoryview, fd: int) -> None:
        self.size = size
        self.data = data
        self.fd = fd
        self._views: list[memoryview] = [data]
        self._maps: list[mmap.mmap] = []
        self._head = self._tail = memoryview(b"")
        self._closing = False
        self._closed = False
        self._process = os.getpid()

    def producer(self) -> int:
        """Return how many bytes were ever written."""
        position = self._read(self._head)
        _fence()
        return position

    def consumer(self) -> int:
        """Return how many bytes were ever given back."""
        return self._read(self._tail)

    def set_consumer(self, position: int) -> None:
        """Give everything before `position` back to the producer."""
        _fence()
        try:
            self._tail[0] = position
        except ValueError:
            raise _closed() from None

    def _read(self, view: memoryview) -> int:
        try:
            position: int = view[0]
        except ValueError:
            raise _closed() from None
        return position

    def close(self) -> None:
        """Unmap the ring, once the last slice of `data` is gone, and close its descriptor.

        If Ctrl-C ends it, another call does the rest.
        """
        with _lock:
            if self._closed or self._closing:  # closing: a signal handler closes in the middle of this, which goes on
                return
            try:
                self._closing = True
                self._give_back()
            finally:
                self._closing = False

    def _give_back(self) -> None:
        """Do the steps of closing; each but the last may be done again."""
        # A forked child shares the event with its parent, who still reads.
        if self._process == os.getpid():
            self._detach()
        for view in self._views:
            view.release()
        for memory in self._maps:
            unmap(memory)
        # A slice of `data` that lives keeps its mapping; this object must not.
        self._maps.clear()
        self._closed = True  # nothing can come between this and the call
        os.close(self.fd)

    def _detach(self) -> None:
        """Tell the kernel that nobody reads any more."""


def _closed() -> ClosedError:
    return ClosedError("the ring was closed; open it again")


class RingBufferMemory(_Ring):
    """A ring buffer: consumer page (writable), producer page and the data twice in a row (read-only)."""

    def __init__(self, map_fd: int, size: int) -> None:
        fd = os.dup(map_fd)
        try:
            consumer = map_shared(fd, PAGE, writable=True)
            producer = map_shared(fd, PAGE + 2 * size, offset=PAGE, writable=False)
        except SystemCallError:
            os.close(fd)
            raise
        whole = memoryview(producer)
        super().__init__(size, whole[PAGE:], fd)
        self._head = whole[:8].cast("Q")
        self._tail = memoryview(consumer)[:8].cast("Q")
        self._views += [self._head, self._tail, whole]
        self._maps += [consumer, producer]


class PerfRingMemory(_Ring):
    """One CPU's perf ring; while it is open, bpf_perf_event_output on that CPU writes here."""

    def __init__(self, map_: MapFacts, cpu: int, size: int, put: Callable[[int, int | None], None]) -> None:
        pages = max(1, -(-size // PAGE))
        size = PAGE << (pages - 1).bit_length()
        fd = perf.open_event(
            perf.TYPE_SOFTWARE, perf.COUNT_SW_BPF_OUTPUT, cpu=cpu, sample_type=perf.SAMPLE_RAW, wakeup=1
        )
        try:
            memory = map_shared(fd, PAGE + size, writable=True)
        except SystemCallError:
            os.close(fd)
            raise
        whole = memoryview(memory)
        super().__init__(size, whole[PAGE:].toreadonly(), fd)
        self._head = whole[_HEAD : _HEAD + 8].cast("Q")
        self._tail = whole[_TAIL : _TAIL + 8].cast("Q")
        self._views += [self._head, self._tail, whole]
        self._maps.append(memory)
        self._map, self._cpu, self._put = map_, cpu, put
        self._start()

    def _start(self) -> None:
        try:
            with _lock, self._map.handle.borrow() as map_fd:
                _in_slots[map_fd, self._cpu] = self.fd  # first, so that such a finalizer leaves the slot alone
                self._put(self._cpu, self.fd)
            perf.control(self.fd, perf.IOC_ENABLE)
        except (SystemCallError, ClosedError):
            self.close()
            raise

    def _detach(self) -> None:
        try:
            perf.control(self.fd, perf.IOC_DISABLE)
            self._leave_slot()
        except (SystemCallError, ClosedError):
            # The map is gone: nothing is left to detach.
            return

    def _leave_slot(self) -> None:
        """Empty the slot, unless a newer ring is there that was opened by the same descriptor of the map.

        The kernel doesn't tell what is in a slot, so a ring of another process or descriptor is taken out.
        """
        with _lock, self._map.handle.borrow() as map_fd:
            if _in_slots.get((map_fd, self._cpu)) != self.fd:
                return
            with contextlib.suppress(SystemCallError):  # somebody else has emptied it, or a call that Ctrl-C has ended
                self._put(self._cpu, None)
            del _in_slots[map_fd, self._cpu]


def _after_fork_in_child() -> None:
    # Another thread of the parent may have held it.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def slot(value: int) -> bytes:
    """Encode an index or a descriptor as an element of the map."""
    return struct.pack("=I", value)
