"""The reference engine: the readable definition of what a program does (RFC 9669).

All registers are zero at the start but r1 (the context, and further arguments) and r10 (the end of a 512-byte stack
frame, zeroed). The kernel's verifier refuses to read what was never written; here it reads as zero. A call leaves
r1 to r5 as the callee did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from ebpf.errors import ProgramFault
from ebpf.vm.fault import Fault, Unwind
from ebpf.vm.machine import Run
from ebpf.vm.memory import OFFSET_BITS
from ebpf.vm.program import Program
from ebpf.vm.steps import Step, compile_steps

STACK_SIZE = 512
MAX_FRAMES = 8
MAX_TAIL_CALLS = 33
MAX_LOOPS = 8 << 20
"""How often may_goto stays in its loop (BPF_MAX_LOOPS)."""

HelperCall: TypeAlias = Callable[[Run, int, tuple[int, int, int, int, int]], int]


class Frame(NamedTuple):
    """What a function comes back to. `slot` is None where the caller is not the program (its start, a callback)."""

    slot: int | None
    program: Program
    saved: list[int]


class _Halt(Exception):
    """The outermost function of this loop has returned."""


class _Switch(Exception):
    """Another program's code goes on at `slot`."""

    def __init__(self, slot: int) -> None:
        super().__init__(slot)
        self.slot = slot


class Machine:
    """The state of one run: registers and frames. Steps work on it."""

    __slots__ = ("code", "frames", "helper", "memory", "patience", "regions", "registers", "run", "start")

    def __init__(self, run: Run, helper: HelperCall) -> None:
        self.run = run
        self.helper = helper
        self.memory = run.memory
        self.regions = run.memory.regions
        self.registers = [0] * 11
        self.frames: list[Frame] = []
        self.patience = MAX_LOOPS
        self.start = 0
        self.code = _code_of(run.program)

    def loop(self, slot: int) -> int:
        """Run from `slot` until the function that was entered last returns; return its r0."""
        registers, budget = self.registers, self.run.budget
        while True:
            code = self.code
            try:
                for _ in budget:
                    slot = code[slot](registers, self)
                raise Fault("budget", "the instruction budget of the run is used up; raise it or bound the loop")
            except _Switch as switch:
                slot = switch.slot
            except _Halt:
                return registers[0]
            except Fault as fault:
                raise self.report(fault, slot) from None
            except RecursionError:
                deep = Fault("stack", "the Python stack is too deep for one more frame; run from a shallower caller")
                raise self.report(deep, slot) from None

    def enter(self, slot: int | None) -> None:
        """Open a frame that returns to `slot`."""
        registers = self.registers
        depth = len(self.frames)
        if depth == MAX_FRAMES:
            raise Fault("stack", f"more than {MAX_FRAMES} frames")
        self.frames.append(Frame(slot, self.run.program, registers[6:]))
        registers[10] = self.memory.add(bytearray(STACK_SIZE), f"stack of frame {depth}") + STACK_SIZE

    def leave(self) -> int:
        """Close the newest frame and return the slot it comes back to."""
        registers = self.registers
        self.memory.remove(registers[10])
        frame = self.frames.pop()
        registers[6:] = frame.saved
        if frame.program is not self.run.program:
            self.run.program = frame.program
            self.code = _code_of(frame.program)
            if frame.slot is not None:
                raise _Switch(frame.slot)
        if frame.slot is None:
            raise _Halt
        return frame.slot

    def call(self, slot: int, args: Sequence[int]) -> int:
        """Run a function of the program as a callback (Run.call)."""
        if slot not in self.run.program.callbacks:
            raise Fault("call", f"{slot:#x} is not a function of the program", address=slot)
        registers = self.registers
        saved = registers[:6]
        self.enter(None)
        registers[1:6] = [*args, 0, 0, 0, 0, 0][:5]
        result = self.loop(slot)
        registers[:6] = saved
        return result

    def tail_call(self, context: int, prog_array: int, index: int, after: int) -> int:
        """Replace the current function by another program, or go on at `after` where there is none."""
        run = self.run
        if context != self.start:
            raise Fault("helper", "tail_call: the first argument is not the context", address=context)
        if run.locks:
            raise Fault("helper", "tail_call was called while a spin lock is held")
        if run.tail_calls >= MAX_TAIL_CALLS:
            return after
        target = run.kernel.program_of(self.memory.object_at(prog_array), index)
        if target is None:
            return after
        run.tail_calls += 1
        run.program = target
        self.code = _code_of(target)
        self.memory.remove(self.registers[10])
        name = f"stack of frame {len(self.frames) - 1}"
        self.registers[10] = self.memory.add(bytearray(STACK_SIZE), name) + STACK_SIZE
        raise _Switch(0)

    def close(self) -> None:
        """Give up the frames that a fault left open."""
        for stack in (self.registers[10], *(frame.saved[-1] for frame in self.frames)):
            self.regions.pop(stack >> OFFSET_BITS, None)

    def map_address(self, index: int) -> int:
        """Return the address that stands for a map of the program."""
        map_ = self.run.program.maps[index]
        return self.memory.object(map_, f"map {map_.name}")

    def map_value_address(self, index: int) -> int:
        """Return the address of the only element of an array map."""
        map_ = self.run.program.maps[index]
        view = map_.lookup(bytes(map_.key_size), self.run.cpu)
        if view is None:
            raise Fault("memory", f"map {map_.name} has no first element")
        return self.memory.value(view, map_)

    def report(self, fault: Fault, slot: int) -> ProgramFault:
        """Say where and among which regions a fault happened."""
        program = self.run.program
        source = program.source(slot)
        place = f"{program.name or 'program'}: insn {slot}" + (f" ({source})" if source else "")
        return ProgramFault(
            f"{place}: {fault.message}",
            kind=fault.kind,
            insn=slot,
            source=source,
            address=fault.address,
            regions=tuple(self.memory.describe()),
        )


def _code_of(program: Program) -> list[Step]:
    # Two threads may compile the same program at the same time; both results are equal and either may stay.
    code: list[Step] | None = program.compiled.get("reference")
    if code is None:
        code = program.compiled["reference"] = compile_steps(program)
    return code


def execute(run: Run, *arguments: int, helper: HelperCall | None = None) -> int:
    """Run the program of `run` with `arguments` in r1 and up; return r0, unsigned 64 bits.

    `helper` replaces the kernel's helpers (numbers as the program names them).

    Raises:
        ProgramFault: the program did something forbidden, or its budget is used up.
    """
    if helper is None:
        from ebpf.vm.helpers import call_helper

        helper = call_helper
    machine = Machine(run, helper)
    machine.registers[1 : 1 + len(arguments)] = arguments
    machine.start = machine.registers[1]
    machine.enter(None)
    before, run.call = run.call, machine.call
    try:
        return machine.loop(0)
    except Unwind as unwind:
        return unwind.value
    finally:
        run.call = before
        machine.close()
