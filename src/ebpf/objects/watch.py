"""Wait for a reader's rings in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from ebpf.errors import ClosedError

if TYPE_CHECKING:
    from ebpf.runtime.base import Waiter

_PATIENCE = 1.0
"""Seconds until the thread asks whether a task still waits: another one may have got the wake() that was to end it."""


class Watch:
    """Wakes the tasks of one event loop that wait for a reader, all at once.

    The loop watches the waiter's descriptor while a task waits. Without one a thread waits, which ends when it has
    woken the tasks or none is left: not one of the loop's executor, which others need. All but `_follow()` runs in the
    loop's own thread.
    """

    def __init__(self, waiter: Waiter) -> None:
        self._waiter = waiter
        self._tasks: set[asyncio.Future[None]] = set()
        self._watched: int | None = None
        self._followed = False

    async def wait(self) -> None:
        """Return when the waiter may have something; the caller has to look, and keeps the waiter open meanwhile."""
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        try:
            self._tasks.add(ready)
            self._begin(loop)
            await ready
        finally:
            self._tasks.discard(ready)
            if not self._tasks:
                self._end(loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._watched is not None or self._followed:
            return
        number = self._waiter.fileno()
        with contextlib.suppress(NotImplementedError):  # the proactor loop of Windows watches no descriptors
            if number is not None:
                loop.add_reader(number, self._readable, loop)
                self._watched = number
                return
        threading.Thread(target=self._follow, args=[loop], name="waiting for records", daemon=True).start()
        self._followed = True

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._watched is not None:
            loop.remove_reader(self._watched)
            self._watched = None
        elif self._followed:
            self._waiter.wake()

    def _readable(self, loop: asyncio.AbstractEventLoop) -> None:
        self._end(loop)
        self._waiter.wait(0)  # takes a wake() back, which would keep the descriptor readable
        self._wake_tasks()

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(ClosedError):
            while self._tasks and not self._waiter.wait(_PATIENCE):
                pass
        if not self._tasks:
            self._waiter.wake()  # what has ended the wait may have been meant for somebody else
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(self._followed_to_its_end)

    def _followed_to_its_end(self) -> None:
        self._followed = False
        self._wake_tasks()

    def _wake_tasks(self) -> None:
        for ready in self._tasks:
            if not ready.done():
                ready.set_result(None)
