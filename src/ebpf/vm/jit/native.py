"""The native engine: code that was compiled ahead of time and came with an image. It needs no llvmlite."""

from __future__ import annotations

import hashlib
from array import array
from copy import copy
from functools import cache
from typing import TYPE_CHECKING

from ebpf.codegen.flat import FlatCode
from ebpf.codegen.image import ENTRIES, read_support
from ebpf.codegen.native import Interface, NativeMap, NativeProgram, digest_of_calls
from ebpf.errors import NotSupportedError
from ebpf.vm import interpreter, native
from ebpf.vm.jit import state
from ebpf.vm.jit.compiled import CompiledProgram
from ebpf.vm.jit.engine import Machine
from ebpf.vm.jit.host import Callback, host_of
from ebpf.vm.machine import HelperCall, Run
from ebpf.vm.maps import storage
from ebpf.vm.maps.create import native_like
from ebpf.vm.maps.native import native_kind
from ebpf.vm.native import ABI_VERSION, ENTRY, LANE_WORDS, LAYOUT, Action, Stop, load_interpreter, native_code
from ebpf.vm.program import NATIVE, Program
from ebpf.vm.values import Places

if TYPE_CHECKING:
    from ebpf.vm.jit.tiers import Check
    from ebpf.vm.kernel import Kernel
    from ebpf.vm.lane import Lane
    from ebpf.vm.maps import Map


@cache
def interface(target: str) -> Interface:
    """Return what code for a target may count on in this version of the library."""
    return Interface(target, ABI_VERSION, _structures(), len(ENTRIES), digest_of_calls(ENTRIES))


def _structures() -> bytes:
    """Return a hash of the layouts of support/*.h as Python knows them, and of the C that is inlined into programs."""
    found = hashlib.sha256(read_support())
    for module in (native, storage, state):
        numbers = {name: value for name, value in vars(module).items() if name.isupper() and isinstance(value, int)}
        # What is larger is an address of this process.
        found.update(repr(sorted((name, value) for name, value in numbers.items() if value < LANE_WORDS)).encode())
    found.update(repr((LAYOUT, _members(Stop), _members(Action))).encode())
    return found.digest()


def _members(numbers: type[Stop | Action]) -> list[tuple[str, int]]:
    return [(name, value) for name, value in vars(numbers).items() if name.isupper()]


def with_native_maps(program: Program) -> Program:
    """Return the program as it is where its maps are in native storage, which is what code of images is made for.

    The result is compiled and never run. Maps without native storage stay the same ones.
    """
    placed = copy(program)
    placed.maps, placed.compiled = tuple(map(native_like, program.maps)), {}
    return placed


def shapes_of(program: Program) -> tuple[NativeMap, ...]:
    """Return what code for a program may count on of its maps.

    Raises NotSupportedError for one in Python storage that has a place in native storage, which code of images is for.
    """
    for map_ in program.maps:
        if map_.native is None and native_kind(map_.shape, cpus=map_.cpus) is not None:
            raise _misplaced(map_)
    return tuple(_shape(map_) for map_ in program.maps)


def _misplaced(map_: Map) -> NotSupportedError:
    remedy = "make it again" if storage.native_storage() else "unset it"
    return NotSupportedError(
        f"a native image with map {map_.name} in Python storage",
        runtime="embedded",
        alternative=f"it was made while {storage.VARIABLE} was python: {remedy}",
    )


def _shape(map_: Map) -> NativeMap:
    kept = map_.native
    return NativeMap(
        map_.name,
        int(map_.type),
        map_.key_size,
        map_.value_size,
        map_.max_entries,
        int(map_.flags),
        map_.cpus if map_.per_cpu else 0,
        0 if kept is None else kept.stride,
        0 if kept is None else kept.shift,
    )


class AttachedCode(CompiledProgram):
    """Code of a program that an image had; `image` is the image's name. Stays mapped while this object lives."""

    def __init__(self, program: NativeProgram, image: str) -> None:
        super().__init__(FlatCode(program.code, {state.ENTRY: program.entry}))
        self.image = image


def attach(program: Program, code: NativeProgram, *, image: str) -> None:
    """Make an image's code the program's. The caller has compared what both say. Raises codegen's ImageError."""
    program.compiled[NATIVE] = AttachedCode(code, image)


def code_for(program: Program, check: Check) -> AttachedCode | None:
    """Return the code that an image had for a program; None where the interpreter has to run it. Nobody waits."""
    code: AttachedCode | None = program.compiled.get(NATIVE)
    return code


def execute(run: Run, *arguments: int, helper: HelperCall | None = None) -> int:
    """Run the program of `run` with `arguments` in r1 and up; as `interpreter.execute`.

    A tail call may lead to a program that came without code: the interpreter runs it.
    """
    return interpreter.run_in(Machine(run, helper, code_for), arguments)


class LaneCode:
    """What a lane runs: code that does not get better."""

    def __init__(self, program: Program, kernel: Kernel) -> None:
        self._code = native_code(program, load_interpreter())
        self._attached: AttachedCode = program.compiled[NATIVE]

    def take(self, places: Places) -> array[int]:
        """As `NativeCode.take`."""
        code = self._code.take(places)
        code[ENTRY] = self._attached.address
        return code

    def renew(self, code: array[int], instructions: int) -> None:
        """Do nothing, as `NativeCode.renew`."""

    def follow(self, code: array[int]) -> None:
        """Do nothing, as `NativeCode.follow`."""

    def host(self, lane: Lane) -> Callback:
        """As `NativeCode.host`."""
        return host_of(lane)
