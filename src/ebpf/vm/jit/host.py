"""How compiled code calls Python, and how what Python raises meanwhile gets past native code.

ctypes can only print an exception that a callback raises. A signal that came while native code ran is handled as soon
as Python code begins, so a function would raise KeyboardInterrupt before its first statement. A generator that waits
inside of `try` does not: it is resumed there. Each one answers one call at a time, so each entry into compiled code
has its own; they are made once and used again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol
from weakref import proxy

from ebpf.vm.jit.state import RAISED
from ebpf.vm.native import HOST, STATUS

if TYPE_CHECKING:
    from ebpf.vm.jit.engine import Machine
    from ebpf.vm.lane import Lane
    from ebpf.vm.native import NativeState

_idle: deque[Callback] = deque()


class Asked(Protocol):
    """Whom compiled code asks: `state` is whose it is, and has its question."""

    @property
    def state(self) -> NativeState: ...

    def answer(self) -> None:
        """Answer the question."""


class _Desk:
    """Who answers, and what was raised meanwhile."""

    def __init__(self) -> None:
        self.asked: Asked | None = None
        self.pending: BaseException | None = None
        self.closed = False
        """Something was raised: nobody answers here any more."""

    def take_pending(self) -> BaseException | None:
        """Return what was raised, and forget it: its traceback leads here, and would keep itself alive."""
        pending, self.pending = self.pending, None
        return pending


class Callback:
    """A function that native code may call at `address`. Whoever sets `desk.asked` keeps them."""

    def __init__(self) -> None:
        from ctypes import CFUNCTYPE, addressof, c_uint64, c_void_p

        self.desk = _Desk()
        generator = _answers(self.desk)
        next(generator)
        # The question, a second argument, is in struct machine, too: send() takes one.
        self._function: Any = CFUNCTYPE(c_uint64, c_uint64)(generator.send)
        # cast() would make the function keep itself, and with it the memory that its code is in.
        self.address = c_void_p.from_address(addressof(self._function)).value or 0


def _answers(desk: _Desk) -> Generator[int, int, None]:
    try:
        # The jump back is inside of `try`: a signal may be handled there.
        while True:
            yield 0
            desk.asked.answer()  # type: ignore[union-attr]  # nobody calls where nobody is asked
    except GeneratorExit:
        return
    except BaseException as error:  # noqa: BLE001  # native code is in between: who has entered it raises it again
        desk.pending, desk.closed = error, True
        # It may have come after the answer: compiled code must not go on.
        desk.asked.state.words[STATUS] = RAISED  # type: ignore[union-attr]  # as above
    yield 0  # behind the handler, which would keep the error, whose traceback leads to whom keeps this


def host_of(lane: Lane) -> Callback:
    """Return whom compiled code asks in a lane. It is the lane's own, and does not keep it alive."""
    callback = Callback()
    callback.desk.asked = proxy(lane)
    return callback


class Host:
    """For the time of a context, whom a machine's compiled code asks."""

    __slots__ = ("_before", "_callback", "_machine")

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._before = 0
        self._callback: Callback | None = None

    def __enter__(self) -> Host:
        _leave_room()
        callback = _idle.pop() if _idle else Callback()
        callback.desk.asked, self._callback = self._machine, callback
        words = self._machine.state.words
        self._before, words[HOST] = words[HOST], callback.address
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        callback = self._callback
        assert callback is not None  # __enter__ has set it
        self._machine.state.words[HOST] = self._before
        callback.desk.asked = None
        if not callback.desk.closed:
            _idle.append(callback)

    def take_pending(self) -> BaseException | None:
        """Return what was raised meanwhile, once."""
        return None if self._callback is None else self._callback.desk.take_pending()


def _leave_room() -> None:
    """Raise RecursionError here, where it can be caught, rather than where the generator is to be resumed."""
    _one_more()


def _one_more() -> None:
    pass
