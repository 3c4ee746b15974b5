"""The native engine: code that was compiled ahead of time and came with an image. It needs no llvmlite."""

from __future__ import annotations

from ebpf.codegen.flat import FlatCode
from ebpf.codegen.native import NativeProgram
from ebpf.vm import interpreter
from ebpf.vm.execution import HelperCall
from ebpf.vm.jit import engine
from ebpf.vm.jit.compiled import CompiledProgram, LaneCode
from ebpf.vm.machine import Run
from ebpf.vm.program import NATIVE, Program


class AttachedCode(CompiledProgram):
    """Code of a program that an image had; `image` is the image's name. Stays mapped while this object lives."""

    def __init__(self, native: NativeProgram, image: str) -> None:
        from ebpf.vm.jit.module import ENTRY

        super().__init__(FlatCode(native.code, {ENTRY: native.entry}))
        self.image = image


def attach(program: Program, native: NativeProgram, *, image: str) -> None:
    """Make an image's code the program's. The caller has compared what both say. Raises codegen's ImageError."""
    program.compiled[NATIVE] = AttachedCode(native, image)


def code_of(program: Program) -> AttachedCode:
    """Return the code that an image had for a program."""
    code: AttachedCode = program.compiled[NATIVE]
    return code


def lane_code(program: Program) -> LaneCode:
    """Return what runs a program that has such code in a lane."""
    return LaneCode(program, code_of(program))


class Machine(engine.Machine):
    """One run in native code that came with images. A tail call may lead to a program that came without."""

    __slots__ = ()

    def code_for(self, program: Program) -> CompiledProgram:
        return code_of(program)

    def loop(self, slot: int) -> int:
        if NATIVE in self.run.program.compiled:
            return super().loop(slot)
        return interpreter.Machine.loop(self, slot)


def execute(run: Run, *arguments: int, helper: HelperCall | None = None) -> int:
    """Run the program of `run`, which has such code, with `arguments` in r1 and up; as `interpreter.execute`."""
    return interpreter.run_in(Machine(run, helper, trusted=False), arguments)
