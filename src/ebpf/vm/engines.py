"""Which engine executes programs, and why."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from ebpf.errors import NotSupportedError
from ebpf.plain import NamedTuple
from ebpf.vm.machine import HelperCall, Run
from ebpf.vm.program import NATIVE

if TYPE_CHECKING:
    from ebpf.codegen.executable import ImageError
    from ebpf.vm.kernel import Kernel
    from ebpf.vm.lane import LaneCode
    from ebpf.vm.program import Program

Execute: TypeAlias = Callable[..., int]
"""As `reference.execute`: takes the run, up to five arguments and `helper`."""

ENGINES = ("auto", "reference", "interpreter", "jit", NATIVE)
VARIABLE = "EBPF_ENGINE"
"""Environment variable that says what "auto" is."""

__all__ = ["ENGINES", "Engine", "Execute", "HelperCall", "Run", "choose_engine"]


class Engine(NamedTuple):
    """An engine: `execute(run, *arguments)` returns r0; `reason` says why it was chosen.

    `code` returns what runs that follow each other need (`ebpf.vm.lane`); None: they are nothing special here. `now`
    names the engine that a program runs on at the moment, and `why` gives the reason, where they change.
    """

    name: str
    reason: str
    execute: Execute
    code: Callable[[Program, Kernel], LaneCode] | None = None
    now: Callable[[Program], str] | None = None
    why: Callable[[Program], str] | None = None


def choose_engine(wanted: str = "auto", *, trusted: bool = False, program: Program | None = None) -> Engine:
    """Return the engine of that name; for "auto" the fastest that this process can run.

    `trusted` programs run without checks where they are compiled. "auto" always checks. "native" is for programs that
    came with an image, and what "auto" is for them.

    Raises:
        NotSupportedError: there is no such engine, or it can't run here. It names the variable if that asked for it.
    """
    with_image = program is not None and NATIVE in program.compiled
    named = os.environ.get(VARIABLE) if wanted == "auto" and not with_image else None
    if not named:
        return _choose(wanted, "asked for", trusted=trusted, program=program)
    try:
        return _choose(named, f"asked for by {VARIABLE}", trusted=trusted, program=program)
    except NotSupportedError as error:
        feature = f"{error.feature} (environment variable {VARIABLE})"
        raise NotSupportedError(feature, runtime=error.runtime, alternative=error.alternative) from None


def _choose(wanted: str, asked: str, *, trusted: bool, program: Program | None) -> Engine:
    if wanted in ("auto", NATIVE) and program is not None and NATIVE in program.compiled:
        return _native(program)
    if wanted == NATIVE:
        raise NotSupportedError(
            "engine 'native' for a program that did not come with a native image",
            runtime="embedded",
            alternative="make one with `ebpf gen native` and load it with Collection.load_native()",
        )
    if wanted not in ENGINES:
        raise NotSupportedError(
            f"engine {wanted!r}", runtime="embedded", alternative=f"use {', '.join(ENGINES[:-1])} or {ENGINES[-1]}"
        )
    if wanted == "reference":
        return _reference(asked)
    obstacle = _obstacle()
    if wanted == "auto":
        return _fastest(obstacle)
    if obstacle is not None:
        raise NotSupportedError(f"engine {wanted!r}", runtime="embedded", alternative=f"{obstacle}; use 'reference'")
    if wanted == "interpreter":
        return _interpreter(asked)
    missing = _missing_compiler()
    if missing is not None:
        raise NotSupportedError("engine 'jit'", runtime="embedded", alternative=f"{missing}, or use 'interpreter'")
    return _jit(asked, trusted=trusted)


def _fastest(obstacle: ImageError | None) -> Engine:
    if obstacle is not None:
        if obstacle.refused:
            _warn_once(obstacle)
        return _reference(str(obstacle))
    missing = _missing_compiler()
    return _interpreter(missing) if missing is not None else _tiered()


def _reference(reason: str) -> Engine:
    from ebpf.vm.reference import execute

    return Engine("reference", reason, execute)


def _interpreter(reason: str) -> Engine:
    from ebpf.vm.interpreter import execute
    from ebpf.vm.native import load_interpreter, native_code

    return Engine("interpreter", reason, execute, lambda program, kernel: native_code(program, load_interpreter()))


def _jit(reason: str, *, trusted: bool) -> Engine:
    from ebpf.vm.jit.engine import Compiled

    engine = Compiled(trusted=trusted, patient=True)
    return Engine("jit", reason, engine.execute, engine.lane_code)


def _tiered() -> Engine:
    from ebpf.vm.jit.engine import Compiled

    engine = Compiled(trusted=False, patient=False)
    reason = "the fastest that there is: interpreted at first, compiled when it has run for some time"

    def why(program: Program) -> str:
        return engine.failure(program) or reason

    return Engine("jit", reason, engine.execute, engine.lane_code, engine.now, why)


@cache
def _missing_compiler() -> str | None:
    from ebpf.codegen.compiler import available

    return available()


def _native(program: Program) -> Engine:
    from ebpf.vm.jit.native import AttachedCode, LaneCode, execute

    code: AttachedCode = program.compiled[NATIVE]
    return Engine(NATIVE, f"code of the image {code.image}", execute, LaneCode)


@cache
def _obstacle() -> ImageError | None:
    """Return why native code can't run in this process, None if it can."""
    from ebpf.codegen.image import ImageError
    from ebpf.vm.native import load_interpreter

    try:
        load_interpreter()
    except ImageError as error:
        return error.with_traceback(None)  # whose frames hold the image
    return None


_warning_is_due = [True]
"""Empty once the warning is given. Of threads that would give it one finds the item; a lock could be left by a fork."""


def _warn_once(obstacle: ImageError) -> None:
    try:
        _warning_is_due.pop()
    except IndexError:
        return
    from ebpf.log import logger

    logger().warning("%s: programs run on the reference engine, which is slow", obstacle)
