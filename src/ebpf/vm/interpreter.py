"""The interpreter: runs programs in native code that checks every access (support/interp.c), without compiling them.

Native code returns whenever it needs something that Python has: helpers, tail calls, addresses of maps, the rare
instructions; and after a slice of instructions, so that signals are handled. Nothing of Python is entered from
native code. Results, addresses and faults are those of the reference engine.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from ebpf.vm import M32, M64
from ebpf.vm.fault import Fault, Unwind
from ebpf.vm.machine import (
    MAX_FRAMES,
    MAX_LOOPS,
    STACK_SIZE,
    Execution,
    HelperCall,
    Run,
    out_of_budget,
    python_stack_is_full,
    too_many_frames,
)
from ebpf.vm.memory import OFFSET_BITS, Region
from ebpf.vm.native import (
    ACTION,
    ADDRESS,
    ASK,
    AT,
    CHANGES,
    CODE,
    CODE_WORDS,
    DEPTH,
    DUE,
    FORM,
    FRAME_POINTER,
    FUEL,
    LIVE,
    LOCKED,
    NEXT,
    NUMBERS,
    PATIENCE,
    REDIRECTED,
    REFERENCE_FIRST,
    REFERENCE_WORDS,
    SIZE,
    WAITS,
    Action,
    NativeState,
    Stop,
    load_interpreter,
    native_code,
    waits_for_readers,
)
from ebpf.vm.program import Program

if TYPE_CHECKING:
    from ebpf.vm import reference

SLICE = 1 << 22
"""Instructions between two looks at signals: a few milliseconds."""
FIRST_SLICE = 1 << 15
"""Instructions before the GIL is released. A program that calls a helper every few microseconds keeps it: getting it
back can take as long as another thread is let run, 5 ms."""
_EMPTY_STACK = bytes(STACK_SIZE)
_MOST_SPARE = 16

_EXIT, _FUEL, _HELPER = Stop.EXIT, Stop.FUEL, Stop.HELPER
_RESUME, _LEAVE = Action.RESUME, Action.LEAVE

_spare: list[NativeState] = []
"""States that no run uses."""


class _Left(Exception):
    """The host's instruction ends the function."""


class Machine(Execution):
    """One run: native state, kept equal to the run's address space and program."""

    __slots__ = ("_changes", "_codes", "_foreign", "_image", "_left", "_programs", "_stacks", "executed", "state")

    def __init__(self, run: Run, helper: HelperCall | None) -> None:
        super().__init__(run, helper)
        self._image = load_interpreter()
        self.state = _spare.pop() if _spare else NativeState()
        self._left = run.budget
        self.executed = 0
        """Instructions of the run, once it is over."""
        self._changes = 0
        self._stacks: list[int] = []  # numbers of the regions of open frames, the outermost first
        self._codes: dict[Program, array[int]] = {}
        self._programs: dict[int, Program] = {}
        self._switch(run.program)
        words = self.state.words
        words[PATIENCE] = MAX_LOOPS
        self.memory.mirror = self.state
        if self.memory.places * 8 > len(self.state.table):
            self.state.grow(self.memory.places, {})
        for number, region in self.memory.regions.items():
            self.state.enter(number, region, self.memory.next_number)
        self.state.point(self.memory.context, self.memory.packet)
        self.state.reach(self.memory.native)
        self.state.meet(run.kernel, run.cpu)
        words[FORM] = run.context.form if run.context is not None else 0
        words[WAITS] = waits_for_readers(run.kernel)
        self._foreign = words[ASK] = self.foreign
        words[NEXT], words[LIVE] = self.memory.next_number, len(self.memory.regions)
        words[FUEL] = self._take_fuel(FIRST_SLICE)

    def _switch(self, program: Program) -> None:
        """Make a program the one that runs."""
        code = self._codes.get(program)
        if code is None:
            code = self._codes[program] = native_code(program, self._image).take(self.memory.native)
            self._programs[code.buffer_info()[0]] = program
        self.run.program = program
        self.state.words[CODE] = code.buffer_info()[0]

    def _take_fuel(self, most: int) -> int:
        fuel = min(self._left, most)
        self._left -= fuel
        return fuel

    def loop(self, slot: int) -> int:
        """Enter the function at `slot` and return its r0."""
        return self._loop(slot, Action.ENTER, None)

    def go_on(self, stop: int) -> int:
        """Return the r0 of the function that native code has entered, and come back from because of `stop`."""
        return self._loop(self.state.words[AT], _RESUME, stop)

    def _loop(self, at: int, action: int, stop: int | None) -> int:
        words, pointer, image = self.state.words, self.state.pointer, self._image
        native = image.run
        while True:
            try:
                if stop is None:
                    words[AT], words[ACTION] = at, action
                    stop = native(pointer)
                if words[CHANGES] != self._changes and words[DEPTH]:
                    self.catch_up()
                if stop == _EXIT:
                    return words[0]
                at, action, why, stop = words[AT], _RESUME, stop, None
                native = image.run_released if why == _FUEL else image.run
                if why == _HELPER:
                    arguments = (words[1], words[2], words[3], words[4], words[5])
                    words[0] = self.helper(self.run, words[SIZE], arguments) & M64
                    words[ASK] = self._foreign or bool(self.run.locks)
                    at += 1
                else:
                    at = _ANSWERS[why](self, at)
            except _Left:
                action = _LEAVE
            except Fault as fault:
                raise self.report(fault, at) from None
            except RecursionError:
                raise self.report(python_stack_is_full(), at) from None

    def catch_up(self) -> None:
        """Take note of what native code has done meanwhile, and of the program that it came back to."""
        words, memory = self.state.words, self.memory
        self._catch_up_with_frames()
        if memory.native.rings:
            self._catch_up_with_records()
        if words[LOCKED]:
            self.run.locks[words[LOCKED]] = memory.view(words[LOCKED], 4, write=True)
            words[LOCKED] = 0
        if words[REDIRECTED]:
            self.state.take_redirect(self.run.context, memory.native)
        self._changes = words[CHANGES]
        memory.next_number = words[NEXT]
        self.run.program = self._programs[words[CODE]]

    def _catch_up_with_frames(self) -> None:
        """Take note of the frames that native code has opened and closed."""
        words, memory = self.state.words, self.memory
        stacks = words[NUMBERS : NUMBERS + words[DEPTH]].tolist()
        for number in self._stacks:
            if number not in stacks and number in memory.regions:
                memory.disown(number)
        for number, region in zip(stacks, self.state.stack_regions, strict=False):
            if number and number not in memory.regions:
                memory.adopt(number, region)
        self._stacks = stacks

    def _catch_up_with_records(self) -> None:
        """Take note of the ring buffer records that native code has reserved, and handed over or discarded."""
        memory, reservations = self.memory, self.run.reservations
        open_now = self.state.records()
        for address, reservation in list(reservations.items()):
            number = address >> OFFSET_BITS
            if reservation.by_native_code and number not in open_now and number in memory.regions:
                del reservations[address]  # first: an interrupt in between must not find it there
                memory.disown(number)
        for number, (ring_address, position, size) in open_now.items():
            if number not in memory.regions:
                ring = next(ring for ring in memory.native.rings if ring.native.address == ring_address)
                reservation = ring.reserved(position, size)
                region = Region(f"record of {ring.name}", reservation.view, 0, size, readable=True, writable=True)
                reservations[number << OFFSET_BITS] = reservation  # first: as above, but it has to be there
                memory.adopt(number, region)

    def call(self, slot: int, args: Sequence[int]) -> int:
        """Run a function of the program as a callback (Run.call)."""
        self.check_open()
        slot = self.function(slot)
        words = self.state.words
        if words[DEPTH] == MAX_FRAMES:
            raise too_many_frames()
        self.memory.make_room()
        saved = words[:FRAME_POINTER]
        words[1:6] = array("Q", [*args, 0, 0, 0, 0, 0][:5])
        result = self.loop(slot)
        words[:FRAME_POINTER] = saved
        return result

    def leave(self) -> int:
        """End the function (called by the steps of instructions that native code leaves to the host)."""
        raise _Left

    # Answers to why native code came back. Each returns the slot to go on at.

    def _refuel(self, at: int) -> int:
        words = self.state.words
        # Compiled code looks at its fuel now and then only, and may have used more than it had.
        debt = -words[FUEL] & M64
        if self._left < max(debt, 1):
            raise out_of_budget()
        self._wake_readers()
        self.check_open()
        words[FUEL] = self._take_fuel(SLICE + debt) - debt
        return at

    def _tail_call(self, at: int) -> int:
        words = self.state.words
        target = self.tail_target(words[1], words[2], words[3] & M32)
        if target is None:
            return at + 1
        self._switch(target)
        depth = len(self._stacks) - 1
        self.memory.discard(words[FRAME_POINTER])
        region = self.state.stack_regions[depth]
        region.data[:] = _EMPTY_STACK
        first = self.memory.add(region.data, region.name)
        words[FRAME_POINTER] = first + STACK_SIZE
        words[NUMBERS + depth] = self._stacks[depth] = first >> OFFSET_BITS
        return 0

    def _step(self, at: int) -> int:
        from ebpf.vm.steps import compile_step  # what native code leaves to Python: few programs have any

        words = self.state.words
        registers = words[:11].tolist()
        try:
            # Of the reference engine's machine, the instructions that come here use what this one has, too.
            return compile_step(self.run.program, at)(registers, cast("reference.Machine", self))
        finally:
            words[:11] = array("Q", registers)

    def _refuse_read(self, at: int) -> int:
        words = self.state.words
        raise self.memory.denied(words[ADDRESS], words[SIZE], write=False)

    def _refuse_write(self, at: int) -> int:
        words = self.state.words
        raise self.memory.denied(words[ADDRESS], words[SIZE], write=True)

    def _refuse_frame(self, at: int) -> int:
        raise too_many_frames()

    def _take_over(self, at: int) -> int:
        """Go on where compiled code gave up."""
        return self._refuel(at) if self.state.words[FUEL] >> 63 else at

    def _grow(self, at: int) -> int:
        self.memory.make_room()
        return at

    def _find_map(self, at: int) -> int:
        index = self.state.words[SIZE]
        self._codes[self.run.program][CODE_WORDS + REFERENCE_WORDS * index] = self.map_address(index)
        return at

    def _find_map_value(self, at: int) -> int:
        index = self.state.words[SIZE]
        self._codes[self.run.program][CODE_WORDS + REFERENCE_WORDS * index + REFERENCE_FIRST] = self.map_value_address(
            index
        )
        return at

    def _wake_readers(self) -> None:
        """Wake the readers of rings that native code has written to."""
        if self.state.words[DUE]:
            for ring in self.memory.native.rings:
                ring.wake_due()
            self.state.words[DUE] = 0

    def close(self) -> None:
        """Give up the frames that a fault left open, and the state."""
        debt = -self.state.words[FUEL] & M64 if self.state.words[FUEL] >> 63 else -self.state.words[FUEL]
        self.executed = self.run.budget - self._left + debt
        self.epoch.leave()
        self._wake_readers()
        self.catch_up()
        self.memory.mirror = None
        for number in self.memory.regions.keys() & self._stacks:
            self.memory.disown(number)
        for program, code in self._codes.items():
            native_code(program, self._image).give_back(code)
        self._give_state_back()

    def _give_state_back(self) -> None:
        if self.state.pristine and len(_spare) < _MOST_SPARE:
            self.state.clear()
            _spare.append(self.state)


_ANSWERS: dict[int, Callable[[Machine, int], int]] = {
    Stop.FUEL: Machine._refuel,
    Stop.TAIL: Machine._tail_call,
    Stop.STEP: Machine._step,
    Stop.READ: Machine._refuse_read,
    Stop.WRITE: Machine._refuse_write,
    Stop.ATOMIC: Machine._step,
    Stop.FRAMES: Machine._refuse_frame,
    Stop.GROW: Machine._grow,
    Stop.MAP: Machine._find_map,
    Stop.MAP_VALUE: Machine._find_map_value,
    Stop.COMPILED: Machine._take_over,
}


def execute(run: Run, *arguments: int, helper: HelperCall | None = None) -> int:
    """Run the program of `run` with `arguments` in r1 and up; return r0, unsigned 64 bits.

    Long stretches of the program run without the GIL.

    `helper` replaces the kernel's helpers (numbers as the program names them).

    Raises:
        ProgramFault: the program did something forbidden, or its budget is used up.
        ImageError: this process can't run native code.
    """
    return run_in(Machine(run, helper), arguments)


def run_in(machine: Machine, arguments: Sequence[int]) -> int:
    """Run the program of a new machine; as `execute`."""
    run, words = machine.run, machine.state.words
    words[1 : 1 + len(arguments)] = array("Q", arguments)
    machine.start = words[1]
    before, run.call = run.call, machine.call
    try:
        return machine.loop(0)
    except Unwind as unwind:
        return unwind.value
    finally:
        run.call = before
        machine.close()
