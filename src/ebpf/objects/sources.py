"""Which packet sources feed a collection, so that its readers end when the last source is exhausted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpf.lean import Lock, WeakSet


class Sources:
    """Counts the sources of one collection. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running = 0
        self._started = False
        self._listeners: WeakSet[Any] = WeakSet()

    @property
    def exhausted(self) -> bool:
        """True from the end of the last source until another one begins; never before the first."""
        with self._lock:
            return self._started and not self._running

    def begin(self) -> Callable[[], None]:
        """Count a source in; call the result once when it has no more packets."""
        with self._lock:
            self._running += 1
            self._started = True
        ended = False

        def end() -> None:
            nonlocal ended
            with self._lock:
                if ended:
                    return
                ended = True
                self._running -= 1
                listeners = list(self._listeners) if not self._running else []
            for listener in listeners:
                listener.wake()

        return end

    @property
    def backlog(self) -> float:
        """How full the fullest ring is that somebody reads, 0 to 1; 0 without readers."""
        with self._lock:
            listeners = list(self._listeners)
        return max((listener.backlog for listener in listeners), default=0.0)

    def listen(self, listener: Any) -> None:
        """Call `listener.wake()` when the last source ends; the listener is not kept alive."""
        with self._lock:
            self._listeners.add(listener)
