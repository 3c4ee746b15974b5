"""Runs compiled programs: what they ask of the host while they run, and the interpreter for what they leave to it."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from ebpf.vm import M32, M64, interpreter
from ebpf.vm.fault import Fault
from ebpf.vm.jit.compiled import CompiledProgram
from ebpf.vm.jit.host import Callback, Host, host_of
from ebpf.vm.jit.state import REPLACED
from ebpf.vm.jit.tiers import Check, Tiers, tiers_of
from ebpf.vm.machine import HelperCall, Run, check_open_between_runs, python_stack_is_full
from ebpf.vm.native import (
    ACTION,
    ASK,
    AT,
    CHANGES,
    DEPTH,
    ENTRY,
    FUEL,
    NUMBERS,
    SIZE,
    STATUS,
    Action,
    Stop,
    load_interpreter,
    native_code,
)
from ebpf.vm.program import Program
from ebpf.vm.values import Places

if TYPE_CHECKING:
    from ebpf.vm.kernel import Kernel
    from ebpf.vm.lane import Lane

CodeFor: TypeAlias = Callable[[Program, Check], "CompiledProgram | None"]
"""Gives the native code of a program, None where the interpreter runs it. It may wait for the compiler meanwhile, and
then calls the check now and then."""

_ANSWERED = 0
_EXIT, _COMPILED, _RAISED = Stop.EXIT, Stop.COMPILED, Stop.RAISED
_ENTER = Action.ENTER


class Machine(interpreter.Machine):
    """One run in native code that was compiled for its program."""

    __slots__ = ("_code_for",)

    def __init__(self, run: Run, helper: HelperCall | None, code_for: CodeFor) -> None:
        self._code_for = code_for
        super().__init__(run, helper)

    def loop(self, slot: int) -> int:
        """Enter the function at `slot` and return its r0."""
        words = self.state.words
        code = self._code_for(self.run.program, self.check_open)
        if code is None:
            return super().loop(slot)
        with Host(self) as host:
            # A callback begins while its caller waits for an answer: that one's status is none of its own.
            words[AT], words[ACTION], words[STATUS] = slot, _ENTER, _ANSWERED
            stop = (code.run_released if code.is_long else code.run)(self.state.pointer)
        if stop == _EXIT:
            if words[CHANGES] != self._changes and words[DEPTH]:
                self.catch_up()
            return words[0]
        if stop == _RAISED:
            raise self._raised(host.take_pending())
        return self.go_on(stop) if stop == _COMPILED else super().loop(slot)

    def _raised(self, pending: BaseException | None) -> BaseException:
        """Return what was raised while compiled code was asking; nothing could be where the stack was full."""
        at = self.state.words[AT]
        if pending is None or isinstance(pending, RecursionError):
            return self.report(python_stack_is_full(), at)
        return self.report(pending, at) if isinstance(pending, Fault) else pending

    def answer(self) -> None:
        """Answer what compiled code asks. STATUS says how; it stays as it is where an exception is raised."""
        words = self.state.words
        status, at = words[STATUS], words[AT]
        try:
            words[STATUS] = self._answer(words[ACTION], at)
        except BaseException:
            # Code that was called back meanwhile has left its own status and place there.
            words[STATUS], words[AT] = status, at
            raise

    def _answer(self, why: int, at: int) -> int:
        words = self.state.words
        if words[CHANGES] != self._changes:
            self.catch_up()
        if why == Stop.FUEL:
            self._pause(at)
            return _ANSWERED
        if words[FUEL] >> 63 and why in (Stop.HELPER, Stop.TAIL):
            self._refuel(at)
        if why == Stop.HELPER:
            arguments = (words[1], words[2], words[3], words[4], words[5])
            words[0] = self.helper(self.run, words[SIZE], arguments) & M64
            words[ASK] = self._foreign or bool(self.run.locks)
        elif why == Stop.TAIL:
            return self._replace()
        elif why == Stop.MAP:
            self._find_map(at)
        else:
            self._find_map_value(at)
        return _ANSWERED

    def _pause(self, at: int) -> None:
        """Let signals be handled and other threads run, which native code that holds the GIL does not."""
        code = self._code_for(self.run.program, self.check_open)
        if code is not None and not code.is_long:
            code.is_long = True
            time.sleep(0)
        self._refuel(at)

    def _replace(self) -> int:
        """Carry out a tail call: run the other program in place of the function that calls it."""
        words, program = self.state.words, self.run.program
        target = self.tail_target(words[1], words[2], words[3] & M32)
        if target is None:
            words[SIZE] = 0
            return _ANSWERED
        self._code_for(target, self.check_open)
        depth = words[DEPTH] - 1
        if words[NUMBERS + depth]:
            self.memory.remove(words[NUMBERS + depth] << 32)
        self._stacks = self._stacks[:depth]
        words[DEPTH] = depth
        self._switch(target)
        words[0] = self.loop(0)
        self._switch(program)
        words[SIZE] = REPLACED
        return REPLACED


class Compiled:
    """Programs in native code, checked or `trusted`; `patient` ones wait for the compiler before the first run."""

    def __init__(self, *, trusted: bool, patient: bool) -> None:
        self._trusted = trusted
        self._patient = patient

    def code_for(self, program: Program, check: Check) -> CompiledProgram | None:
        """Return a program's native code; None where the interpreter has to run it so far.

        Raises NotSupportedError where a program of a patient engine can't be compiled.
        """
        tiers = tiers_of(program, trusted=self._trusted)
        return tiers.now(check) if self._patient else tiers.code

    def now(self, program: Program) -> str:
        """Return the name of the engine that runs a program at the moment."""
        return "interpreter" if tiers_of(program, trusted=self._trusted).code is None else "jit"

    def failure(self, program: Program) -> str:
        """Return why a program gets no better code; nothing where it does, or has the best."""
        return tiers_of(program, trusted=self._trusted).reason

    def execute(self, run: Run, *arguments: int, helper: HelperCall | None = None) -> int:
        """Run the program of `run` with `arguments` in r1 and up; return r0. As `interpreter.execute`.

        Raises NotSupportedError, too, as `code_for`.
        """
        tiers = tiers_of(run.program, trusted=self._trusted)
        if self._patient and tiers.code is None:
            tiers.now(partial(check_open_between_runs, run.program, run.kernel))
        machine = Machine(run, helper, self.code_for)
        try:
            return interpreter.run_in(machine, arguments)
        finally:
            tiers.count(machine.executed)

    def lane_code(self, program: Program, kernel: Kernel) -> LaneCode:
        """Return what a lane runs. Raises as `execute` where it waits for the compiler."""
        self.code_for(program, partial(check_open_between_runs, program, kernel))
        return LaneCode(program, tiers_of(program, trusted=self._trusted))


class LaneCode:
    """What a lane runs: native code, which it keeps mapped, or the interpreter."""

    def __init__(self, program: Program, tiers: Tiers) -> None:
        self._tiers = tiers
        self._code = native_code(program, load_interpreter())
        self._compiled: list[CompiledProgram] = []
        """All that was entered: better code may come in the middle of a run, when it asks for fuel."""

    def take(self, places: Places) -> array[int]:
        """As `NativeCode.take`."""
        code = self._code.take(places)
        self.renew(code, 0)
        return code

    def renew(self, code: array[int], instructions: int) -> None:
        """Let a lane that has run so many instructions go on in the best code that there is now."""
        self._tiers.count(instructions)
        self.enter(code)

    def follow(self, code: array[int]) -> None:
        """As `NativeCode.follow`: whoever asks for a function wants it to be fast."""
        self._tiers.follow(self, code)

    def host(self, lane: Lane) -> Callback:
        """As `NativeCode.host`."""
        return host_of(lane)

    def enter(self, code: array[int]) -> None:
        """As `Follower.enter`."""
        compiled = self._tiers.code
        if compiled is not None:
            if compiled not in self._compiled:
                self._compiled.append(compiled)
            code[ENTRY] = compiled.address
