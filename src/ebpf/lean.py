"""Locks and weak references, from the modules in C that `threading` and `weakref` take theirs from.

The two take a millisecond of a cold start, for classes of which a program's first run needs none.
"""

from __future__ import annotations

import atexit
from _thread import RLock, get_ident
from _thread import _local as local
from _thread import allocate_lock as Lock  # noqa: N812 - its name in `threading`
from _weakref import ref
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

__all__ = ["Lock", "RLock", "WeakSet", "WhenDropped", "get_ident", "local", "ref"]

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
