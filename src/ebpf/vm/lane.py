"""A lane: where runs of one program follow each other in native code (support/batch.c), each as if it were alone.

Native code prepares a run, runs it and notes its result. Where it needs something that only Python has, it comes back
in the middle; that run is finished here, by the interpreter, and the lane is made ready for the next one.
"""

from __future__ import annotations

from array import array
from functools import cache
from typing import TYPE_CHECKING, Protocol

from ebpf.abi.types import MapType
from ebpf.vm import M64
from ebpf.vm.epochs import CLOCK, Epoch
from ebpf.vm.fault import Unwind
from ebpf.vm.interpreter import FIRST_SLICE, Machine
from ebpf.vm.interpreter import SLICE as LONG_SLICE
from ebpf.vm.machine import MAX_LOOPS, Execution, Run, check_open_between_runs, checked
from ebpf.vm.memory import OFFSET_BITS, AddressSpace, Region, object_region, value_region
from ebpf.vm.native import (
    ANSWERED,
    ARGUMENT,
    BUDGET,
    CODE_WORDS,
    DUE,
    EPOCH,
    FIRST_VALUE_WORDS,
    FIRSTS,
    FORM,
    FUEL,
    FUNCTION,
    GIVEN,
    HOST,
    KEPT,
    LANE_CODE,
    LANE_PATIENCE,
    LANE_WORDS,
    LEAVES,
    MAPS,
    NOW,
    REFERENCE_WORDS,
    REFUEL,
    REGIONS,
    SLICE,
    STATUS,
    TIMES,
    WAITS,
    NativeState,
    Stop,
    load_interpreter,
    waits_for_readers,
)
from ebpf.vm.values import Places, places_of

if TYPE_CHECKING:
    from ebpf.codegen.image import Call
    from ebpf.vm.context import Context
    from ebpf.vm.jit.host import Callback
    from ebpf.vm.kernel import Kernel
    from ebpf.vm.maps import Map
    from ebpf.vm.program import Program

EXIT = Stop.EXIT
BETWEEN_RUNS, REFUSED, LEFT = 32, 33, 34
"""enum lane_stop: the slice of instructions is used up; the packet is none that is run in native code; the run has
ended, and left what it had reserved or locked."""


def _first_value(map_: Map) -> memoryview | None:
    """Return the element that code may name: that of an array of one."""
    return map_.lookup(bytes(map_.key_size)) if map_.type == MapType.ARRAY and map_.max_entries == 1 else None


@cache
def lane_calls(name: str) -> tuple[Call, Call]:
    """Return an entry of the image that takes a lane: one that keeps the GIL, one that releases it."""
    return load_interpreter().calls(name)


class LaneCode(Protocol):
    """What a lane runs."""

    def take(self, places: Places) -> array[int]:
        """Return a struct code for one lane."""

    def renew(self, code: array[int], instructions: int) -> None:
        """Take note of instructions that the lane has run, between two runs; better code may go on from here."""

    def follow(self, code: array[int]) -> None:
        """Keep a lane, whose runs hold the GIL, in the best code that there is from now on."""

    def host(self, lane: Lane) -> Callback | None:
        """Return whom code that does not come back for it asks for more fuel, which calls `lane.answer`."""


class Lane:
    """Runs of one program on one virtual CPU, which the caller owns meanwhile. Never shared by threads."""

    def __init__(self, program: Program, kernel: Kernel, *, cpu: int, budget: int, code: LaneCode) -> None:
        from ebpf.codegen.image import address_of

        self.program = program
        self.kernel = kernel
        self.cpu = cpu
        self.budget = budget
        self.executed = 0
        """Instructions of the last run that was finished here."""
        self._owner = code
        self.places = places_of(program)
        self.code = code.take(self.places)
        self._refs = self.code[CODE_WORDS:]
        self.epoch = Epoch()
        self._began = self.epoch.cell
        self.state = NativeState(LANE_WORDS)
        self.words = self.state.words
        self.firsts = [_first_value(map_) for map_ in program.maps]
        self._firsts = array("Q", bytes(8 * FIRST_VALUE_WORDS * (len(program.maps) or 1)))
        for index, (map_, view) in enumerate(zip(program.maps, self.firsts, strict=True)):
            if view is not None:
                region = value_region(view, map_)
                sizes = len(view) if region.readable else 0, len(view) if region.writable else 0
                self._firsts[FIRST_VALUE_WORDS * index : FIRST_VALUE_WORDS * (index + 1)] = array(
                    "Q", (address_of(view), *sizes)
                )
        self._host = code.host(self)
        self.function = 0
        """Address of the struct function whose lane it is."""
        self.clear()

    def clear(self) -> None:
        """Make the lane ready for its next run, whatever is left of the last one."""
        words, code = self.words, self.code
        self.places = places_of(self.program)  # maps in maps of maps may be others now
        self.state.clear()
        code[CODE_WORDS:] = self._refs
        self.state.reach(self.places)
        self.epoch.pause()
        words[LANE_CODE] = code.buffer_info()[0]
        words[FIRSTS], words[MAPS] = self._firsts.buffer_info()[0], len(self.program.maps)
        words[BUDGET], words[LANE_PATIENCE] = self.budget, MAX_LOOPS
        words[ANSWERED] = words[KEPT] = 0
        words[LEAVES] = any(map_.type is MapType.RINGBUF or map_.lock_offset is not None for map_ in self.places.maps)
        self.state.meet(self.kernel, self.cpu)
        words[WAITS] = True  # until `allow` knows the thread
        words[EPOCH], words[NOW] = self.epoch.address, CLOCK
        words[HOST] = load_interpreter().addresses["ebpf_answer"]
        if self._host is not None and self._host.desk.closed:
            self._host = self._owner.host(self)
        words[REFUEL] = 0 if self._host is None else self._host.address
        words[FUNCTION] = self.function

    def answer(self) -> None:
        """Give compiled code another slice of instructions; else it goes to the interpreter, which says what is wrong.

        It can't come back as the interpreter does: what it was doing would be gone.
        """
        words = self.words
        self.epoch.run_here()
        # It looks at its fuel now and then only, and may have used more than it had.
        debt, left = -words[FUEL] & M64, self.budget - words[GIVEN]
        self.wake_readers()
        if left < max(debt, 1) or (self.kernel is not None and self.kernel.closed):
            return
        fuel = min(left, LONG_SLICE + debt)
        words[GIVEN] += fuel
        words[FUEL] = fuel - debt
        words[STATUS] = 0

    def allow(self, instructions: int) -> None:
        """Let native code go on for a slice of so many instructions, on this thread."""
        self.words[SLICE], self.words[WAITS] = instructions, waits_for_readers(self.kernel)

    def pause(self) -> None:
        """Take note of a slice of instructions between two runs. Raises ProgramFault when the kernel was closed."""
        self.wake_readers()
        self._owner.renew(self.code, self.words[SLICE])
        self.check_open()

    def check_open(self) -> None:
        """Raise ProgramFault when the kernel was closed: Python asks before each run that it begins."""
        check_open_between_runs(self.program, self.kernel)

    def wake_readers(self) -> None:
        """Wake the readers of rings that native code has written to."""
        if self.words[DUE]:
            for ring in self.places.rings:
                ring.wake_due()
            self.words[DUE] = 0

    def repeat(self, context: Context, times: int) -> int:
        """Run `times` times over a context, which keeps what the program leaves in it; return the last r0.

        Raises:
            ProgramFault: as `testrun.execute_checked` does.
        """
        try:
            return self._repeat(context, times)
        finally:
            self._began[0] = 0  # first, and without a call: whoever keeps the error keeps the lane
            self.state.take_back(self.places)

    def _repeat(self, context: Context, times: int) -> int:
        held, released = lane_calls("ebpf_repeat")
        words = self.words
        words[TIMES], call = times, held
        memory = self._attach(context)
        while True:
            self.allow(FIRST_SLICE if call is held else LONG_SLICE)
            stop = call(self.state.pointer)
            if stop == EXIT:
                self.epoch.pause()
                self.wake_readers()
                self.state.take_redirect(context, self.places)
                return words[0]
            if stop == BETWEEN_RUNS:
                self.pause()
                call = released
                if places_of(self.program) is not self.places:
                    memory = self._attach(context)
                continue
            call = held
            result = self.finish(memory, context, stop)
            words[TIMES] -= 1
            if not words[TIMES]:
                return result
            memory = self._attach(context)

    def _attach(self, context: Context) -> AddressSpace:
        """Put a context into native code's table of regions. Raises ProgramFault when the kernel was closed."""
        self.check_open()
        self.clear()
        memory = AddressSpace()
        memory.mirror = self.state
        memory.reach(self.places)
        self.words[ARGUMENT], self.words[FORM] = context.attach(memory), context.form
        self.words[REGIONS] = len(memory.regions)
        return memory

    def finish(self, memory: AddressSpace, context: Context, stop: int) -> int:
        """Finish the run that native code has come back from; return its r0. `memory` has what is in its table.

        Raises:
            ProgramFault: as `testrun.execute_checked` does.
        """
        if stop == Stop.RAISED:
            raise self._raised()
        run = Run(self.program, self.kernel, cpu=self.cpu, budget=self.budget, context=context, memory=memory)
        continuation = _Continuation(run, self)
        try:
            return checked(run, lambda: continuation.finish(stop))
        finally:
            self.executed = continuation.executed

    def _raised(self) -> BaseException:
        """Return what was raised while compiled code was asking; `clear` has somebody else asked from then on."""
        assert self._host is not None
        pending = self._host.desk.take_pending()
        assert pending is not None
        return pending

    def known_maps(self) -> dict[int, Region]:
        """Return the regions that native code has made for maps, by number."""
        found = {}
        for index, (map_, view) in enumerate(zip(self.program.maps, self.firsts, strict=True)):
            at = CODE_WORDS + REFERENCE_WORDS * index
            obj, value = self.code[at : at + 2]
            if map_.native is not None:
                continue
            if obj:
                found[obj >> OFFSET_BITS] = object_region(map_, f"map {map_.name}")
            if value and view is not None:
                found[value >> OFFSET_BITS] = value_region(view, map_)
        return found


class _Continuation(Machine):
    """A run that native code has begun in a lane, and Python finishes."""

    __slots__ = ("_lane",)

    def __init__(self, run: Run, lane: Lane) -> None:
        Execution.__init__(self, run, None)
        words = lane.words
        self._lane = lane
        self._image = load_interpreter()
        self._foreign = False
        self.executed = 0
        self.state = lane.state
        self.start = words[ARGUMENT]
        self._left = lane.budget - words[GIVEN]
        self._stacks: list[int] = []
        self._codes = {lane.program: lane.code}
        self._programs = {lane.code.buffer_info()[0]: lane.program}
        for number, region in lane.known_maps().items():
            self.memory.adopt(number, region)
        self.catch_up()

    def finish(self, stop: int) -> int:
        """Return r0."""
        before, self.run.call = self.run.call, self.call
        try:
            return self.go_on(EXIT if stop == LEFT else stop)
        except Unwind as unwind:
            return unwind.value
        finally:
            self.run.call = before
            self.close()

    def close(self) -> None:
        """Give up the frames that a fault left open. The lane keeps its state and its code."""
        self._codes.pop(self._lane.program, None)
        super().close()

    def _give_state_back(self) -> None:
        pass
