"""Which engine executes programs, and why."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from ebpf.errors import NotSupportedError
from ebpf.vm.execution import HelperCall
from ebpf.vm.machine import Run
from ebpf.vm.program import NATIVE

if TYPE_CHECKING:
    from ebpf.vm.native import NativeCode
    from ebpf.vm.program import Program

log = logging.getLogger("ebpf")

Execute: TypeAlias = Callable[..., int]
"""As `reference.execute`: takes the run, up to five arguments and `helper`."""

ENGINES = ("auto", "reference", "interpreter", "jit", NATIVE)
VARIABLE = "EBPF_ENGINE"
"""Environment variable that says what "auto" is."""

__all__ = ["ENGINES", "Engine", "Execute", "HelperCall", "Run", "choose_engine"]


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine: `execute(run, *arguments)` returns r0; `reason` says why it was chosen.

    `code` returns a program's native code, for runs that follow each other in it (`ebpf.vm.lane`); None: there is none.
    """

    name: str
    reason: str
    execute: Execute
    code: Callable[[Program], NativeCode] | None = None


def choose_engine(wanted: str = "auto", *, trusted: bool = False, program: Program | None = None) -> Engine:
    """Return the engine of that name; for "auto" the fastest that this process can run.

    "native" is for programs that came with an image, and what "auto" is for them.

    Raises:
        NotSupportedError: there is no such engine, or it can't run here.
    """
    asked = "asked for"
    if wanted == "auto":
        wanted = os.environ.get(VARIABLE) or "auto"
        asked = f"asked for by {VARIABLE}"
    if wanted in ("auto", NATIVE) and program is not None and NATIVE in program.compiled:
        return _native(program)
    if wanted == "reference":
        return _reference(asked)
    if wanted == NATIVE:
        raise NotSupportedError(
            "engine 'native' for a program that did not come with a native image",
            runtime="embedded",
            alternative="make one with `ebpf gen native` and load it with Collection.load_native()",
        )
    if wanted not in ENGINES:
        raise NotSupportedError(f"engine {wanted!r}", runtime="embedded", alternative=f"use {' or '.join(ENGINES)}")
    obstacle = _obstacle()
    if obstacle is None and wanted == "jit":
        return _jit(asked, trusted=trusted)
    if obstacle is None:
        return _interpreter("the fastest that there is" if wanted == "auto" else asked)
    if wanted == "auto":
        return _reference(obstacle)
    raise NotSupportedError(f"engine {wanted!r}", runtime="embedded", alternative=f"{obstacle}; use 'reference'")


def _reference(reason: str) -> Engine:
    from ebpf.vm.reference import execute

    return Engine("reference", reason, execute)


def _interpreter(reason: str) -> Engine:
    from ebpf.vm.interpreter import execute
    from ebpf.vm.native import load_interpreter, native_code

    return Engine("interpreter", reason, execute, lambda program: native_code(program, load_interpreter()))


def _jit(reason: str, *, trusted: bool) -> Engine:
    from ebpf.vm.jit import engine
    from ebpf.vm.jit.compiled import LaneCode, compiled

    execute = engine.execute_trusted if trusted else engine.execute
    return Engine("jit", reason, execute, lambda program: LaneCode(program, compiled(program, trusted=trusted)))


def _native(program: Program) -> Engine:
    from ebpf.vm.jit.native import code_of, execute, lane_code

    return Engine(NATIVE, f"code of the image {code_of(program).image}", execute, lane_code)


@cache
def _obstacle() -> str | None:
    """Return why native code can't run in this process, None if it can. Warns once where the system refuses it."""
    from ebpf.codegen.image import ImageError
    from ebpf.vm.native import load_interpreter

    try:
        load_interpreter()
    except ImageError as error:
        if error.refused:
            log.warning("%s: programs run on the reference engine, which is slow", error)
        return str(error)
    return None
