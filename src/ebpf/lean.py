"""Locks and weak references, from the modules in C that `threading` and `weakref` take theirs from.

The two take a millisecond of a cold start, for classes of which a program's first run needs none.
"""

from __future__ import annotations

import atexit
import os
from _thread import RLock, get_ident
from _thread import _local as local
from _thread import allocate_lock as Lock  # noqa: N812 - its name in `threading`
from _weakref import ref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from _thread import LockType

__all__ = ["Bell", "Lock", "RLock", "WeakSet", "WhenDropped", "get_ident", "in_forked_children", "local", "ref"]

_T = TypeVar("_T")


class WeakSet(Generic[_T]):
    """Objects that it does not keep alive. Threads may share it."""

    def __init__(self) -> None:
        self._refs: set[ref[_T]] = set()

    def add(self, obj: _T) -> None:
        """Take an object in."""
        self._refs.add(ref(obj, self._refs.discard))

    def clear(self) -> None:
        """Forget all of them."""
        self._refs.clear()

    def __iter__(self) -> Iterator[_T]:
        """Go over those that are alive now."""
        found = (one() for one in list(self._refs))
        return iter([obj for obj in found if obj is not None])


def in_forked_children(call: Callable[[_T], None]) -> WeakSet[_T]:
    """Return a set with whose members `call` is called in the child of each fork from now on."""
    members: WeakSet[_T] = WeakSet()

    def call_all() -> None:
        for member in members:
            call(member)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call_all)
    return members


class Bell:
    """Ends the waits of threads, like a condition, but holds no lock. Threads and signal handlers may share it.

    A condition frees the lock that its caller has entered while it waits. Ctrl-C in the middle of that leaves it free,
    and the caller, who frees it once more, gets RuntimeError in place of KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self._locks: list[LockType] = []
        """One for each thread that listens: taken, and free from a ring until the thread has heard it."""

    @contextmanager
    def listening(self) -> Iterator[Callable[[float], bool]]:
        """Give what waits up to so many seconds (-1: for ever) for a ring, and says whether there was one.

        No ring since the block began is missed: look in it, not before, whether there is something to wait for.
        """
        lock = Lock()
        try:
            lock.acquire()
            self._locks.append(lock)
            yield lambda seconds: lock.acquire(timeout=seconds)
        finally:
            if lock in self._locks:
                self._locks.remove(lock)

    def ring(self) -> None:
        """End all waits, and the next one of each thread that listens but does not wait now."""
        for lock in list(self._locks):
            with suppress(RuntimeError):  # rung already
                lock.release()


class WhenDropped(ref[Any]):
    """Calls a function once an object has been dropped, unless it is cancelled before, or the interpreter exits.

    The function must not refer to the object.
    """

    __slots__ = ("_call",)
    _call: Callable[[], None]

    def __new__(cls, obj: object, call: Callable[[], None]) -> WhenDropped:
        made = super().__new__(cls, obj, _dropped)
        made._call = call
        _expected[id(made)] = made
        return made

    def cancel(self) -> bool:
        """Never call the function; return whether that was still to come."""
        return _expected.pop(id(self), None) is not None


_expected: dict[int, WhenDropped] = {}
_over: list[bool] = []
atexit.register(_over.append, True)


def _dropped(one: WhenDropped, expected: dict[int, WhenDropped] = _expected, over: list[bool] = _over) -> None:
    # Its own names for them: when the interpreter exits, globals go first.
    if expected.pop(id(one), None) is not None and not over:
        one._call()
