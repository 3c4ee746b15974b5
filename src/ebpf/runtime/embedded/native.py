"""Code of native images in the embedded kernel: made from loaded programs, compared with them, and attached to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING

from ebpf.codegen.image import ENTRIES
from ebpf.codegen.native import Interface, NativeImage, NativeMap, NativeProgram, digest_of_calls
from ebpf.errors import ImageError, NotSupportedError
from ebpf.vm.program import Program, digest_of

if TYPE_CHECKING:
    from ebpf.runtime.embedded.state import State
    from ebpf.runtime.facts import ProgramFacts


_SHAPE = tuple(field.name for field in fields(NativeMap) if field.name != "name")
"""What code counts on; how a map is called is no part of it."""


class EmbeddedNative:
    """An image whose code fits this process. Threads may share it."""

    def __init__(self, state: State, image: NativeImage) -> None:
        """Compare the image with this process. Raises ImageError, NotSupportedError where no native code can run."""
        from ebpf.codegen.executable import ImageError as NoCode
        from ebpf.vm.native import load_interpreter

        try:
            self._check(image, load_interpreter().target)
        except NoCode as error:
            raise _no_native_code(str(error)) from None
        self._state = state
        self._image = image
        self._programs = {program.name: program for program in image.programs}

    def _check(self, image: NativeImage, target: str) -> None:
        from ebpf.vm.jit.native import interface

        obstacle = _difference(image.interface, interface(target))
        if obstacle is not None:
            raise ImageError(
                f"{image.name}: {obstacle}; it was made by version {image.version}, make it again for here"
            )

    def attach(self, program: ProgramFacts) -> None:
        """Make the image's code that of a loaded program. Raises ImageError where it was made for another one."""
        from ebpf.codegen.executable import ImageError as NoCode
        from ebpf.vm.jit.native import attach

        native = self._programs.get(program.name)
        if native is None:
            raise ImageError(f"{self._image.name}: it has no code for program {program.name}")
        with program.handle.borrow() as fd:
            loaded = self._state.handles.program(fd).program
        self._compare(native, loaded)
        try:
            attach(loaded, native, image=self._image.name)
        except NoCode as error:
            raise _no_native_code(str(error)) from None

    def _compare(self, native: NativeProgram, program: Program) -> None:
        from ebpf.vm.jit.native import shapes_of

        where = f"{self._image.name}: program {native.name}"
        if native.digest != digest_of(program):
            raise ImageError(
                f"{where}: its code was made from other instructions than this version loads from the image's object; "
                f"it was made by version {self._image.version}, make it again with this one"
            )
        shapes = shapes_of(program)
        if len(shapes) != len(native.maps):
            raise ImageError(f"{where}: its code is for {len(native.maps)} maps, the program uses {len(shapes)}")
        for theirs, ours in zip(native.maps, shapes, strict=True):
            differing = [
                f"{member} {getattr(theirs, member)}, the map has {getattr(ours, member)}"
                for member in _SHAPE
                if getattr(theirs, member) != getattr(ours, member)
            ]
            if differing:
                remedy = f"; make it with --cpus {ours.cpus}" if theirs.cpus != ours.cpus else ""
                raise ImageError(f"{where}: its code is for a map {theirs.name} with {'; '.join(differing)}{remedy}")


def _difference(theirs: Interface, ours: Interface) -> str | None:
    """Return what keeps an image from running here, None if nothing does."""
    if theirs.target != ours.target:
        return f"its code is for {theirs.target}, this process needs {ours.target}"
    if theirs.abi != ours.abi:
        return f"its code is for version {theirs.abi} of the support library's interface, this one has {ours.abi}"
    if theirs.structures != ours.structures:
        return "its code is for structures of the support library that this version lays out in another way"
    if theirs.calls > ours.calls or digest_of_calls(ENTRIES[: theirs.calls]) != theirs.calls_digest:
        return "its code calls functions of the support library that this version does not have in their place"
    return None


def _no_native_code(reason: str) -> NotSupportedError:
    return NotSupportedError("engine 'native'", runtime="embedded", alternative=f"{reason}; load the object itself")


def make_image(
    state: State, data: bytes, programs: Iterable[ProgramFacts], *, target: str, tier: str, name: str
) -> NativeImage:
    """Compile loaded programs of the object `data`; see `EmbeddedRuntime.make_native()`."""
    from ebpf import __version__
    from ebpf.codegen.compiler import available
    from ebpf.vm.jit.native import interface

    missing = available()
    if missing is not None:
        raise NotSupportedError("making a native image", alternative=missing)
    code = tuple(_compile(state, program, target=target, tier=tier) for program in programs)
    return NativeImage(interface(target), __version__, data, code, name=name)


def _compile(state: State, program: ProgramFacts, *, target: str, tier: str) -> NativeProgram:
    from ebpf.codegen.compiler import GENERIC_TARGETS, CompileError, Tier
    from ebpf.vm.jit.compiled import compile_program
    from ebpf.vm.jit.native import shapes_of, with_native_maps
    from ebpf.vm.jit.state import ENTRY

    with program.handle.borrow() as fd:
        loaded = with_native_maps(state.handles.program(fd).program)
    try:
        flat = compile_program(loaded, tier=Tier(tier), target=GENERIC_TARGETS[target])
    except CompileError as error:
        raise ImageError(f"compile program {program.name}: {error}") from None
    return NativeProgram(program.name, digest_of(loaded), flat.symbols[ENTRY], flat.code, shapes_of(loaded))
