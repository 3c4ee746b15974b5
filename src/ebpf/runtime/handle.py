"""Ownership of the numbers that bpf() returns."""

from __future__ import annotations

import os
import sys
import warnings
from array import array
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FrameType

from ebpf.errors import ClosedError
from ebpf.lean import WhenDropped

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

_generation = 0
"""How many forks lie between the first process and this one: what a parent's threads borrowed comes back there."""

Origin = tuple[str, int, str]
"""Where something was made: file, line, stack."""


def _after_fork_in_child() -> None:
    global _generation
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class Borrowed:
    """A number and how many use it. Threads, finalizers and signal handlers may share it.

    It needs no lock: a borrower counts itself before it looks at `closing`, who closes sets that before looking at the
    count, and nothing can come in the middle of a line that makes no call.
    """

    __slots__ = (
        "_can_repeat", "close_number", "closed_word", "closing", "generation", "number", "number_is_open", "users",
    )  # fmt: skip

    def __init__(self, close_number: Callable[[int], None], number: int) -> None:
        self.close_number = close_number
        # One in C has begun once it was called; Ctrl-C may come before and in the middle of one in Python.
        self._can_repeat = not isinstance(close_number, BuiltinFunctionType)
        self.number = number
        self.number_is_open = True
        self.users = 0
        self.closing = False
        self.closed_word = array("Q", [0])
        self.generation = _generation

    def lend(self) -> Iterator[int]:
        """Give the number, once, and count a user until the iterator has ended or is dropped.

        Ctrl-C can come before the first line of any function, so also of one that is to give the number back. Python
        ends a generator that is dropped.
        """
        generation = _generation
        if self.generation != generation:
            self.generation, self.users = generation, 0
        self.users += 1
        try:
            if self.closing:
                raise ClosedError(f"number {self.number} was closed; open the object again")
            yield self.number
        finally:
            self.users -= self.generation == generation
            if self.closing:
                self.close_unused()

    def close(self) -> None:
        """Lend no more, and close the number, or leave that to the last user."""
        self.closing = True
        self.closed_word[0] = 1
        self.close_unused()

    def close_unused(self) -> None:
        """Close the number unless it is in use, or was closed, or another call is at it."""
        if not self.number_is_open or (self.users and self.generation == _generation):
            return
        try:
            self.number_is_open = False
            self.close_number(self.number)
        except BaseException:
            self.number_is_open = self._can_repeat
            raise


class Loan:
    """Lends a number from entry to exit, or until it is dropped. One with statement owns it."""

    __slots__ = ("_lent",)

    def __init__(self, lent: Iterator[int]) -> None:
        self._lent = lent

    def __enter__(self) -> int:
        return next(self._lent)

    def __exit__(self, *_exception: object) -> None:
        for _ in self._lent:  # there is no other: this ends it
            pass


class Handle:
    """The right to use a number of a kernel, and the duty to close it once. Threads may share it.

    `close` is called with the number: once, if it is a function in C. One in Python is called again by another close()
    if Ctrl-C has ended it, and does the rest then.

    While somebody borrows the number, close() only marks it: the last borrower closes, so that the number is not
    given to another object under a call in flight. Where Ctrl-C comes as a borrower gives it back, it is given back
    once the exception is dropped, whose traceback holds the borrower. A handle that is dropped without close() closes
    and gives a ResourceWarning that says where it was made (with the whole stack under `python -X dev`); when the
    interpreter exits it is silent, the system frees the number. A forked child owns its copies and may close them.
    """

    __slots__ = ("__weakref__", "_borrowed", "_drop")

    def __init__(self, close: Callable[[int], None], fd: int, *, what: str = "handle") -> None:
        self._borrowed = Borrowed(close, fd)
        name = f"{what} (number {fd})" if fd >= 0 else what
        made, borrowed = origin(), self._borrowed
        self._drop = WhenDropped(self, lambda: _dropped(borrowed, name, made))

    def borrow(self) -> Loan:
        """Return a context manager that gives the number; raises ClosedError on entry once close() was called."""
        return Loan(self._borrowed.lend())

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._borrowed.closing

    def closed_word(self) -> array[int]:
        """Return one number that is 1 from when close() was called, for native code to look at; it never moves."""
        return self._borrowed.closed_word

    def close(self) -> None:
        """Close the number, or leave it to the last borrower; further calls do nothing.

        If Ctrl-C ends it, another call does the rest, or the end of this object.
        """
        self._borrowed.close()
        self._drop.cancel()

    def __repr__(self) -> str:
        return f"<Handle {self._borrowed.number}{' closed' if self.closed else ''}>"


def origin() -> Origin:
    """Return file and line of the innermost frame outside of this package, and under -X dev the stack as text."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    stack = _stack(sys._getframe(2)) if sys.flags.dev_mode else ""
    return (frame.f_code.co_filename, frame.f_lineno, stack) if frame is not None else ("<unknown>", 0, stack)


def _stack(frame: FrameType) -> str:
    import traceback

    return "".join(traceback.format_stack(frame))


def warn_unclosed(what: str, made: Origin) -> None:
    """Give the ResourceWarning of something that was dropped without close(); `made` is what `origin()` gave."""
    file, line, stack = made
    message = f"unclosed {what} made at {file}:{line}; close it or use it in a with statement"
    if stack:
        message += f"\nmade by:\n{stack}"
    warnings.warn_explicit(message, ResourceWarning, file, line)


def _dropped(borrowed: Borrowed, what: str, made: Origin) -> None:
    try:
        if not borrowed.closing:
            warn_unclosed(what, made)
    finally:
        borrowed.close()
