"""Which runtime "auto" is, and why: the only place that decides."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ebpf.abi.linux import EACCES, EPERM
from ebpf.abi.platform import Platform
from ebpf.abi.types import Cmd, MapType
from ebpf.errors import MissingPrivilegeError, NotSupportedError, SystemCallError
from ebpf.log import logger
from ebpf.plain import NamedTuple
from ebpf.runtime import NAMES, linux_kernel, named, shared_embedded, shared_kernel
from ebpf.runtime.attrs import MapCreate, ProgLoad

if TYPE_CHECKING:
    from ebpf.runtime.base import Runtime
    from ebpf.spec import CollectionSpec, ProgramSpec


class Choice(NamedTuple):
    """A runtime and the reason why it was chosen; immutable, so that threads may share it."""

    runtime: Runtime
    reason: str


def choose(spec: CollectionSpec | None) -> Choice:
    """Do what `ebpf.runtime.choose` says."""
    choice = _from_environment() or _from_kernels(spec)
    logger().info("runtime %s: %s", choice.runtime.name, choice.reason)
    return choice


def _from_environment() -> Choice | None:
    name = os.environ.get("EBPF_RUNTIME", "auto") or "auto"
    if name == "auto":
        return None
    if name not in NAMES:
        raise ValueError(f"environment variable EBPF_RUNTIME is {name!r}; expected auto, {' or '.join(NAMES)}")
    reason = f"the environment variable EBPF_RUNTIME is {name}"
    return Choice(named(name, reason), reason)


def _from_kernels(spec: CollectionSpec | None) -> Choice:
    programs = _one_per_type(spec)
    refusal = _kernel_refusal(programs)
    if refusal is None:
        what = "load every program" if programs else "call bpf()"
        reason = f"this user may {what} in the Linux kernel"
        return Choice(linux_kernel(reason), reason)
    lacking = [program for program in programs if _probe(shared_kernel(), program) is not None]
    if lacking:
        raise _nowhere(lacking[0], refusal)
    reason = f"{refusal}; the embedded kernel knows every program's type"
    return Choice(shared_embedded(reason), reason)


def _one_per_type(spec: CollectionSpec | None) -> list[ProgramSpec]:
    programs = [program for program in spec.programs.values() if program.autoload] if spec is not None else []
    return list({(program.type, program.attach_type): program for program in programs}.values())


def _kernel_refusal(programs: list[ProgramSpec]) -> SystemCallError | NotSupportedError | None:
    """Return why the kernel of this machine is not for these programs, or None."""
    if sys.platform != "linux":
        return NotSupportedError("bpf()", runtime=sys.platform, alternative="it is a call of Linux")
    kernel = linux_kernel("probed")
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
    try:
        fd = kernel.bpf(Cmd.MAP_CREATE, MapCreate(map_type=MapType.ARRAY, key_size=4, value_size=4, max_entries=1))
    except SystemCallError as refusal:
        return refusal
    kernel.own(fd).close()
    return None


def _probe(runtime: Runtime, program: ProgramSpec) -> SystemCallError | None:
    """Load `r0 = 0; exit` as this type of program; return the refusal or None."""
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
