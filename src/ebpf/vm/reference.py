"""The reference engine: the readable definition of what a program does (RFC 9669).

All registers are zero at the start but r1 (the context, and further arguments) and r10 (the end of a 512-byte stack
frame, zeroed). The kernel's verifier refuses to read what was never written; here it reads as zero. A call leaves
r1 to r5 as the callee did.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from operator import length_hint

from ebpf.plain import NamedTuple
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
from ebpf.vm.program import Program
from ebpf.vm.steps import Step, compile_steps

SLICE = 1 << 16
"""Instructions between two looks at whether the kernel is still there: some ten milliseconds."""


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


class Machine(Execution):
    """The state of one run: registers and frames. Steps work on it."""

    __slots__ = ("budget", "code", "frames", "patience", "regions", "registers")

    def __init__(self, run: Run, helper: HelperCall | None = None) -> None:
        super().__init__(run, helper)
        self.regions = run.memory.regions
        self.registers = [0] * 11
        self.frames: list[Frame] = []
        self.patience = MAX_LOOPS
        self.budget = iter(range(run.budget))
        """One iterator that all frames and callbacks draw from."""
        self.code = _code_of(run.program)

    def loop(self, slot: int) -> int:
        """Run from `slot` until the function that was entered last returns; return its r0."""
        registers, budget = self.registers, self.budget
        while True:
            code = self.code
            try:
                for _ in islice(budget, SLICE):
                    slot = code[slot](registers, self)
                if not length_hint(budget):
                    raise out_of_budget()
                self.check_open()
            except _Switch as switch:
                slot = switch.slot
            except _Halt:
                return registers[0]
            except Fault as fault:
                raise self.report(fault, slot) from None
            except RecursionError:
                raise self.report(python_stack_is_full(), slot) from None

    def enter(self, slot: int | None) -> None:
        """Open a frame that returns to `slot`."""
        registers = self.registers
        depth = len(self.frames)
        if depth == MAX_FRAMES:
            raise too_many_frames()
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
        self.check_open()
        slot = self.function(slot)
        registers = self.registers
        saved = registers[:6]
        self.enter(None)
        registers[1:6] = [*args, 0, 0, 0, 0, 0][:5]
        result = self.loop(slot)
        registers[:6] = saved
        return result

    def tail_call(self, context: int, prog_array: int, index: int, after: int) -> int:
        """Replace the current function by another program, or go on at `after` where there is none."""
        target = self.tail_target(context, prog_array, index)
        if target is None:
            return after
        self.run.program = target
        self.code = _code_of(target)
        self.memory.remove(self.registers[10])
        name = f"stack of frame {len(self.frames) - 1}"
        self.registers[10] = self.memory.add(bytearray(STACK_SIZE), name) + STACK_SIZE
        raise _Switch(0)

    def close(self) -> None:
        """Give up the frames that a fault left open."""
        for stack in (self.registers[10], *(frame.saved[-1] for frame in self.frames)):
            self.memory.discard(stack)
        self.epoch.leave()


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
