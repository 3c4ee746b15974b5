"""Runs compiled programs: what they ask of the host while they run, and the interpreter for what they leave to it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ebpf.vm import interpreter
from ebpf.vm.alu import M32, M64
from ebpf.vm.execution import HelperCall, python_stack_is_full
from ebpf.vm.fault import Fault
from ebpf.vm.jit.compiled import CompiledProgram, compiled
from ebpf.vm.jit.control import REPLACED
from ebpf.vm.machine import Run
from ebpf.vm.native import (
    ACTION,
    AT,
    CHANGES,
    DEPTH,
    ENTRY,
    FUEL,
    HOST,
    NUMBERS,
    SIZE,
    STATUS,
    Action,
    Stop,
)
from ebpf.vm.program import Program

if TYPE_CHECKING:
    from ctypes import _CFunctionType

_ANSWERED = 0
_EXIT, _COMPILED, _RAISED = int(Stop.EXIT), int(Stop.COMPILED), int(Stop.RAISED)
_ENTER = int(Action.ENTER)

_machines: dict[int, Machine] = {}
"""Address of struct machine → the run that is in it."""


class Machine(interpreter.Machine):
    """One run in native code that was compiled for its program."""

    __slots__ = ("_address", "_pending", "_trusted")

    def __init__(self, run: Run, helper: HelperCall | None, *, trusted: bool) -> None:
        self._trusted = trusted
        self._pending: BaseException | None = None
        super().__init__(run, helper)
        self._address = self.state.words.buffer_info()[0]
        self.state.words[HOST] = _host_address()
        _machines[self._address] = self

    def code_for(self, program: Program) -> CompiledProgram:
        """Return a program's native code."""
        return compiled(program, trusted=self._trusted)

    def loop(self, slot: int) -> int:
        """Enter the function at `slot` and return its r0."""
        words = self.state.words
        code = self.code_for(self.run.program)
        words[AT], words[ACTION] = slot, _ENTER
        stop = (code.run_released if code.is_long else code.run)(self.state.pointer)
        if stop == _EXIT:
            if words[CHANGES] != self._changes and words[DEPTH]:
                self.catch_up()
            return words[0]
        if stop == _RAISED:
            self._raise(code)
        return self.go_on(stop) if stop == _COMPILED else super().loop(slot)

    def _raise(self, code: CompiledProgram) -> None:
        pending, self._pending = self._pending, None
        # An interrupt may come before the host's answer begins to catch exceptions, and is lost there.
        raise KeyboardInterrupt if pending is None else pending

    # What compiled code asks.

    def answer(self, why: int) -> None:
        """Answer a question of compiled code; STATUS stays as it is where an exception has to be raised instead."""
        words = self.state.words
        at = words[AT]
        try:
            words[STATUS] = self._answer(why, at)
        except Fault as fault:
            self._pending = self.report(fault, at)
        except RecursionError:
            self._pending = self.report(python_stack_is_full(), at)
        except BaseException as error:  # noqa: BLE001  # native code is in between: `loop` raises it again
            self._pending = error

    def _answer(self, why: int, at: int) -> int:
        words = self.state.words
        if words[CHANGES] != self._changes:
            self.catch_up()
        if why == Stop.FUEL:
            self._pause(at)
            return _ANSWERED
        if words[FUEL] >> 63:
            self._refuel(at)
        if why == Stop.HELPER:
            arguments = (words[1], words[2], words[3], words[4], words[5])
            words[0] = self.helper(self.run, words[SIZE], arguments) & M64
        elif why == Stop.TAIL:
            return self._replace()
        elif why == Stop.MAP:
            self._find_map(at)
        else:
            self._find_map_value(at)
        return _ANSWERED

    def _pause(self, at: int) -> None:
        """Let signals be handled and other threads run, which native code that holds the GIL does not."""
        code = self.code_for(self.run.program)
        if not code.is_long:
            code.is_long = True
            time.sleep(0)
        self._refuel(at)

    def _replace(self) -> int:
        """Carry out a tail call: run the other program in place of the function that calls it."""
        words, program = self.state.words, self.run.program
        target = self.tail_target(words[1], words[2], words[3] & M32)
        if target is None:
            return _ANSWERED
        depth = words[DEPTH] - 1
        if words[NUMBERS + depth]:
            self.memory.remove(words[NUMBERS + depth] << 32)
        self._stacks = self._stacks[:depth]
        words[DEPTH] = depth
        self._switch(target)
        words[0] = self.loop(0)
        self._switch(program)
        return REPLACED

    def close(self) -> None:
        """Give up the frames that a fault left open, and the state."""
        del _machines[self._address]
        super().close()


def _answer(address: int, why: int) -> int:
    _machines[address].answer(why)
    return 0


_host: _CFunctionType | None = None


def _host_address() -> int:
    """Return the address of what compiled code calls."""
    global _host
    from ctypes import CFUNCTYPE, c_uint64, c_void_p, cast

    if _host is None:
        _host = CFUNCTYPE(c_uint64, c_uint64, c_uint64)(_answer)
    return cast(_host, c_void_p).value or 0


def execute(run: Run, *arguments: int, helper: HelperCall | None = None) -> int:
    """Run the program of `run` with `arguments` in r1 and up, compiled, every access checked; return r0.

    As `interpreter.execute`. Raises CompileError, too.
    """
    return interpreter.run_in(Machine(run, helper, trusted=False), arguments)


def execute_trusted(run: Run, *arguments: int, helper: HelperCall | None = None) -> int:
    """As `execute`, without checks: the program must be known not to leave its regions."""
    return interpreter.run_in(Machine(run, helper, trusted=True), arguments)


