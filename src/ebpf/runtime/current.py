"""Which runtime is used, and why: the only place that decides."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from ebpf.abi.linux.errno import EACCES, EPERM
from ebpf.abi.tagged import Platform
from ebpf.errors import MissingPrivilegeError, NotSupportedError, SystemCallError
from ebpf.plain import NamedTuple

if TYPE_CHECKING:
    from ebpf.runtime.base import Runtime
    from ebpf.runtime.facts import Limits
    from ebpf.spec import CollectionSpec, ProgramSpec

_NAMES = ("linux", "embedded")


class Choice(NamedTuple):
    """A runtime and the reason why it was chosen; immutable, so that threads may share it."""

    runtime: Runtime
    reason: str


def linux() -> Runtime:
    """Return the Linux kernel as a runtime; always the same object. Nothing is called until it is used.

    On another system every call of it raises NotSupportedError.
    """
    return _linux("asked for")


def embedded(
    *,
    personality: str = "linux",
    cpus: int = 1,
    seed: int | None = None,
    clock: Callable[[], int] | None = None,
    limits: Limits | None = None,
    extensions: Sequence[object] = (),
    store: object = None,
    pin_dir: str | os.PathLike[str] | None = None,
) -> Runtime:
    """Return a new user-space kernel of its own; the caller closes it.

    It needs no privileges and runs on every system. EmbeddedRuntime says what the options mean; NotSupportedError
    for a `personality` other than "linux", and for `extensions` and a `store`, which this version has not.
    """
    from ebpf.runtime.embedded.kernel import EmbeddedRuntime

    return EmbeddedRuntime(
        personality=personality,
        cpus=cpus,
        seed=seed,
        clock=clock,
        limits=limits,
        extensions=extensions,
        store=store,
        pin_dir=pin_dir,
    )


def current() -> Runtime:
    """Return the runtime that "auto" means at this moment; `.reason` says why."""
    return choose().runtime


def select(runtime: Runtime | str, spec: CollectionSpec | None = None) -> Runtime:
    """Turn "auto", "linux", "embedded" or a runtime into a runtime; `spec` is what is about to be loaded.

    "embedded" is the one embedded kernel that this process shares: what one part of a program creates there,
    another can list. Use `embedded()` for one that nobody else sees.
    """
    if not isinstance(runtime, str):
        return runtime
    return choose(spec).runtime if runtime == "auto" else _named(runtime, "asked for")


def choose(spec: CollectionSpec | None = None) -> Choice:
    """Decide what "auto" means for `spec` (None: for anything) and log it.

    In this order: what the environment variable EBPF_RUNTIME names; the Linux kernel, where this user may load each
    program; the embedded kernel, only if it knows each program's type and attach type. Loading a two-instruction
    program of each type is how it finds out. Raises MissingPrivilegeError that names the program, the privilege and
    what the embedded kernel lacks; NotSupportedError where no kernel is at hand that a privilege would open.
    """
    from ebpf.log import logger

    choice = _from_environment() or _from_kernels(spec)
    logger().info("runtime %s: %s", choice.runtime.name, choice.reason)
    return choice


@cache
def _linux(reason: str) -> Runtime:
    from ebpf.runtime.linux.kernel import LinuxRuntime

    return LinuxRuntime(reason=reason)


@cache
def _default_embedded() -> Runtime:
    return embedded()


def _named(name: str, reason: str) -> Runtime:
    if name == "linux":
        return _linux(reason)
    if name == "embedded":
        return _shared_embedded(reason)
    raise ValueError(f"runtime {name!r} is unknown; expected auto, {' or '.join(_NAMES)}")


def _shared_embedded(reason: str) -> Runtime:
    runtime = _default_embedded()
    runtime.reason = reason  # type: ignore[misc]  # read-only for users; this module is what decides it
    return runtime


def _from_environment() -> Choice | None:
    name = os.environ.get("EBPF_RUNTIME", "auto") or "auto"
    if name == "auto":
        return None
    if name not in _NAMES:
        raise ValueError(f"environment variable EBPF_RUNTIME is {name!r}; expected auto, {' or '.join(_NAMES)}")
    reason = f"the environment variable EBPF_RUNTIME is {name}"
    return Choice(_named(name, reason), reason)


def _from_kernels(spec: CollectionSpec | None) -> Choice:
    programs = _one_per_type(spec)
    refusal = _kernel_refusal(programs)
    if refusal is None:
        what = "load every program" if programs else "call bpf()"
        reason = f"this user may {what} in the Linux kernel"
        return Choice(_linux(reason), reason)
    lacking = [program for program in programs if _probe(_default_embedded(), program) is not None]
    if lacking:
        raise _nowhere(lacking[0], refusal)
    reason = f"{refusal}; the embedded kernel knows every program's type"
    return Choice(_shared_embedded(reason), reason)


def _one_per_type(spec: CollectionSpec | None) -> list[ProgramSpec]:
    programs = [program for program in spec.programs.values() if program.autoload] if spec is not None else []
    return list({(program.type, program.attach_type): program for program in programs}.values())


def _kernel_refusal(programs: list[ProgramSpec]) -> SystemCallError | NotSupportedError | None:
    """Return why the kernel of this machine is not for these programs, or None."""
    if sys.platform != "linux":
        return NotSupportedError("bpf()", runtime=sys.platform, alternative="it is a call of Linux")
    kernel = _linux("probed")
    foreign = [program for program in programs if program.type.platform is not Platform.LINUX]
    if foreign:
        return NotSupportedError(f"program type {foreign[0].type.name}", runtime="linux")
    # Whatever keeps it from making a map (no bpf() at all, a seccomp filter) speaks against the kernel; of a program
    # only a missing privilege does: the load will say what else is wrong with it.
    refusals = [_probe_map(kernel)]
    if refusals == [None]:
        refusals = [_probe(kernel, program) for program in programs]
        refusals = [refusal for refusal in refusals if refusal is not None and refusal.errno in (EPERM, EACCES)]
    return refusals[0] if refusals else None


def _probe_map(kernel: Runtime) -> SystemCallError | None:
    from ebpf.abi.types import Cmd, MapType
    from ebpf.runtime.attrs import MapCreate

    try:
        fd = kernel.bpf(Cmd.MAP_CREATE, MapCreate(map_type=MapType.ARRAY, key_size=4, value_size=4, max_entries=1))
    except SystemCallError as refusal:
        return refusal
    kernel.own(fd).close()
    return None


def _probe(runtime: Runtime, program: ProgramSpec) -> SystemCallError | None:
    """Load `r0 = 0; exit` as this type of program; return the refusal or None."""
    from ebpf.abi.types import Cmd
    from ebpf.runtime.attrs import ProgLoad

    attr = ProgLoad(
        prog_type=program.type,
        expected_attach_type=program.attach_type or 0,
        insn_cnt=2,
        insns=bytes.fromhex("b7000000000000009500000000000000"),
        license=b"GPL",
    )
    try:
        fd = runtime.bpf(Cmd.PROG_LOAD, attr)
    except SystemCallError as refusal:
        return refusal
    runtime.own(fd).close()
    return None


def _nowhere(program: ProgramSpec, refusal: SystemCallError | NotSupportedError) -> SystemCallError | NotSupportedError:
    lacks = f"the embedded kernel has no programs of type {program.type.label}"
    message = f"load program {program.name} nowhere: {refusal}; {lacks}"
    if isinstance(refusal, MissingPrivilegeError):
        error = MissingPrivilegeError(
            message, cmd=refusal.cmd, errno=EPERM, errno_name=refusal.errno_name, platform=refusal.platform
        )
        error.capability, error.sysctl, error.lockdown = refusal.capability, refusal.sysctl, refusal.lockdown
        return error
    return NotSupportedError(
        f"program type {program.type.label} of {program.name}", alternative=f"{refusal}, and {lacks}"
    )
