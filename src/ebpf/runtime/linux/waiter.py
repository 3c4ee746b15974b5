"""Waiting for rings with epoll (man 7 epoll) and an eventfd that wakes the waiter."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ebpf.errors import ClosedError, NotSupportedError
from ebpf.runtime.handle import Handle

if TYPE_CHECKING:
    from ebpf.runtime.linux.rings import _Ring


class EpollWaiter:
    """Waits until one of its rings has data. Threads may share it; close() ends every wait."""

    _epoll: Any  # select.epoll, which exists on Linux only
    _event: int
    _event_is_open = True
    _closing: bool
    _handle: Handle
    _process: int

    def __init__(self, rings: Sequence[_Ring]) -> None:
        if sys.platform != "linux":
            raise NotSupportedError("waiting for rings", runtime=sys.platform)
        import select

        self._process = os.getpid()
        self._closing = False
        self._epoll = select.epoll()
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._handle = Handle(self._close, self._epoll.fileno(), what="waiter")
        self._epoll.register(self._event, select.EPOLLIN)
        for ring in rings:
            self._epoll.register(ring.fd, select.EPOLLIN)

    def wait(self, timeout: float | None) -> bool:
        """Block up to `timeout` seconds (None: for ever); False when the time is over, True on data or wake()."""
        with self._handle.borrow():
            if self._closing:
                raise ClosedError("the waiter was closed")
            ready = self._epoll.poll(timeout)
            if any(fd == self._event for fd, _ in ready):
                self._drain()
            return bool(ready)

    def wake(self) -> None:
        """End the wait of a thread, or the next one; does nothing after close()."""
        try:
            with self._handle.borrow():
                self._write()
        except ClosedError:
            return

    def fileno(self) -> int:
        """Return a descriptor that select and asyncio find readable when wait() would return True."""
        return int(self._epoll.fileno())

    def close(self) -> None:
        """End all waits; each returns True. Further waits raise ClosedError.

        If Ctrl-C ends it, another call does the rest.
        """
        # Marked first: a waiter that is woken leaves the event alone then, so that the others wake too.
        self._closing = True
        # A forked child shares the event with its parent, whose waits go on.
        if self._process == os.getpid():
            self.wake()
        self._handle.close()

    def _write(self) -> None:
        if sys.platform == "linux":
            os.eventfd_write(self._event, 1)

    def _drain(self) -> None:
        if sys.platform != "linux" or self._closing:
            return
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return  # another thread was faster
        if self._closing:  # since the look
            self._write()

    def _close(self, _: int) -> None:
        self._epoll.close()
        if self._event_is_open:
            self._event_is_open = False  # nothing can come between this and the call
            os.close(self._event)
