"""What maps, programs and links have in common: a handle, an id, a pin; opening one that exists."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Self

from ebpf.runtime import select

if TYPE_CHECKING:
    from types import TracebackType

    from ebpf.objects import pins
    from ebpf.runtime.base import Runtime
    from ebpf.runtime.handle import Handle
    from ebpf.runtime.info import LinkInfo, MapInfo, ProgramInfo


class Held:
    """An object of a kernel that this one holds open by a handle; close it or use it as a context manager.

    Threads may share it. == and hash() are identity. What opens an existing one gives an object of the class for its
    type; called on another class than that, as in `HashMap.open_id()` of an array, it raises TypeError.
    """

    _KIND: ClassVar[pins.Kind]
    _NEXT: ClassVar[int]
    """The command that walks the ids of this kind."""
    _BY_ID: ClassVar[int]
    """The command that opens one by its id."""

    def __init__(self, runtime: Runtime, handle: Handle) -> None:
        """Take over an open handle."""
        self.runtime = runtime
        self._handle = handle

    @classmethod
    def open_pinned(cls, path: str | os.PathLike[str], *, runtime: Runtime | str = "auto") -> Self:
        """Open what is pinned at `path` (Linux 4.4, links 5.7).

        Raises SystemCallError, TypeError where something else is pinned.
        """
        from ebpf.objects import pins

        chosen = select(runtime)
        return cls._adopt(chosen, pins.open_pinned(chosen, path, cls._KIND))

    @classmethod
    def open_id(cls, number: int, *, runtime: Runtime | str = "auto") -> Self:
        """Open one by its id (Linux 4.13, links 5.8; CAP_SYS_ADMIN).

        Raises SystemCallError (ENOENT) where there is none, MissingPrivilegeError.
        """
        from ebpf.objects.open import open_by_id

        chosen = select(runtime)
        return cls._adopt(chosen, open_by_id(chosen, cls._BY_ID, number))

    @classmethod
    def iter_all(cls, *, runtime: Runtime | str = "auto") -> Iterator[Self]:
        """Open every one that the runtime has (Linux 4.13, links 5.8), one at a time; each is the caller's to close.

        Raises MissingPrivilegeError.
        """
        from ebpf.objects.open import iter_handles

        chosen = select(runtime)
        for handle in iter_handles(chosen, cls._NEXT, cls._BY_ID):
            yield cls._adopt(chosen, handle)

    @classmethod
    def _adopt(cls, runtime: Runtime, handle: Handle) -> Self:
        opened = cls._wrap(runtime, handle)
        if isinstance(opened, cls):
            return opened
        opened.close()
        raise TypeError(f"{opened!r} is no {cls.__name__}")

    @staticmethod
    def _wrap(runtime: Runtime, handle: Handle) -> Held:
        """Make an object for an open handle; on an error the handle is closed."""
        raise NotImplementedError

    def info(self) -> MapInfo | ProgramInfo | LinkInfo:
        """Ask the kernel about the object."""
        raise NotImplementedError

    @property
    def id(self) -> int:
        """The kernel's number, unique among objects of this kind while it lives."""
        return self.info().id

    @property
    def handle(self) -> Handle:
        """The handle; it stays this object's."""
        return self._handle

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Give the object a path, so that it outlives this process (Linux 4.4, links 5.7: on a bpf file system).

        Raises SystemCallError (EEXIST where something has that path).
        """
        from ebpf.objects import pins

        pins.pin(self.runtime, self._handle, path)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._handle.closed

    def close(self) -> None:
        """Close the handle; may be called again, from any thread. Whoever else holds the object keeps it alive."""
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
