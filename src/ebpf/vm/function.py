"""A program as a builtin function of this Python: native code runs it over a buffer in place (support/python.c)."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

from ebpf.codegen.builtin import Owner, make_builtin
from ebpf.vm import M32
from ebpf.vm.batch import PacketLane
from ebpf.vm.interpreter import FIRST_SLICE
from ebpf.vm.native import FUNCTION, FUNCTION_WORDS, SLICE, load_interpreter

if TYPE_CHECKING:
    from typing_extensions import Buffer

_LANE, _GATE, _CLOSED, _BUSY, _ELSEWHERE, _GO_ON, _WAKE, _PROGRAM = range(FUNCTION_WORDS)
_DOCUMENTATION = """Run the program over a writable buffer, in place, and return what it returns."""


_TAKEN, _IDLE = 2, 0
"""enum busy."""


class NativeProgram(Owner):
    """The builtin's `__self__`, which its repr names."""


class ProgramFunction:
    """The structure that a builtin works on.

    `elsewhere(packet)` runs the program in another way, or raises what is wrong; `adopt(body)` calls `body` with the
    virtual CPU that the run has claimed. `gate` is the address of a Gate, which learns that the claim is for `program`;
    `closed` has to be 0 for a run to begin.
    """

    def __init__(
        self,
        lane: PacketLane,
        *,
        program: object,
        gate: int,
        closed: array[int],
        elsewhere: Callable[[Buffer], int],
        adopt: Callable[[Callable[[int], int]], int],
    ) -> None:
        self._words = words = array("Q", bytes(8 * FUNCTION_WORDS))
        go_on = Rest(words, lane, adopt).take_over  # of another object: a method of this one would keep it alive
        self._kept = lane, program, closed, elsewhere, go_on, lane.wake_readers
        words[_LANE], words[_GATE] = lane.words.buffer_info()[0], gate
        words[_CLOSED] = closed.buffer_info()[0]
        lane.words[SLICE] = FIRST_SLICE  # the GIL is kept
        lane.function = lane.words[FUNCTION] = words.buffer_info()[0]
        words[_ELSEWHERE], words[_GO_ON] = id(elsewhere), id(go_on)
        words[_WAKE], words[_PROGRAM] = id(self._kept[-1]), id(program)

    def builtin(self, name: str) -> Callable[[Buffer], int]:
        """Return the builtin, which keeps this alive."""
        code = load_interpreter().addresses["ebpf_function"]
        return make_builtin(
            name, code, self._words.buffer_info()[0], doc=_DOCUMENTATION, owner=NativeProgram, keep=self
        )


class Rest:
    """What happens when native code has to come back."""

    def __init__(self, words: array[int], lane: PacketLane, adopt: Callable[[Callable[[int], int]], int]) -> None:
        self._words = words
        self._lane = lane
        self._adopt = adopt
        self._began = lane.epoch.cell

    def take_over(self, stop: int, address: int, length: int) -> int:
        """Finish the run that native code has come back from."""
        self._words[_BUSY] = _TAKEN
        lane, left = self._lane, b""

        def body(cpu: int) -> int:
            nonlocal left
            # The buffer is the caller's: nothing may keep a view of it.
            with memoryview((ctypes.c_ubyte * length).from_address(address)).cast("B") as packet:
                result, left = lane.go_on(stop, packet)
            return result

        lane.ready = False
        try:
            result = self._adopt(body)
        finally:
            self._began[0] = 0  # first, and without a call: Ctrl-C may come as one begins, and the lane is kept
            lane.state.take_back(lane.places)
            # After Ctrl-C in the middle of it the lane is not usable; then every run goes elsewhere.
            if lane.ready:
                self._words[_BUSY] = _IDLE
        if len(left) != length:
            raise length_changed(len(left), length)
        return result & M32


def length_changed(left: int, given: int) -> ValueError:
    """Return the error of a program that can't run in place."""
    return ValueError(f"the program left {left} bytes of {given}; use run() for such programs")


def in_place(packet: Buffer) -> memoryview:
    """Return the bytes of a buffer that a program may change.

    Raises TypeError where it is no buffer, BufferError where it is read-only or not contiguous.
    """
    try:
        view = memoryview(packet)
    except TypeError:
        raise TypeError(f"expected a writable buffer, such as a bytearray, got {type(packet).__name__}") from None
    if view.readonly:
        raise BufferError(f"the {type(packet).__name__} is read-only: pass a bytearray or another writable buffer")
    if not view.c_contiguous:
        raise BufferError("the bytes of the buffer are not contiguous: pass a copy")
    return view.cast("B") if view.nbytes else memoryview(bytearray())
