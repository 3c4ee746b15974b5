"""Control groups: programs that see what a group of processes does (kernel/bpf/cgroup.c)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ebpf.abi.types import AttachType, Cmd
from ebpf.link.link import Link
from ebpf.runtime import attrs

if TYPE_CHECKING:
    from ebpf.objects import Program


def cgroup(program: Program, target: str | os.PathLike[str], attach_type: AttachType | None = None) -> Link:
    """Attach to a cgroup (version 2) by its directory (Linux 5.7); programs of its parents run too.

    `attach_type` defaults to what the program was loaded for; a CGROUP_SKB program may have none and needs it here.
    The embedded kernel has a cgroup of its own, "/"; directories name others, and no process is in any of them.
    Raises SystemCallError (EBADF: not a directory of cgroup2), MissingPrivilegeError, OSError where it can't be opened.
    """
    chosen = attach_type if attach_type is not None else program.attach_type
    if chosen is None:
        raise ValueError(f"program {program.name} does not say where it attaches: give an attach_type")
    attr = attrs.LinkCreate(attach_type=chosen)
    directory = _open(program, target)
    try:
        attr.target_fd = directory
        with program.handle.borrow() as attr.prog_fd:
            fd = program.runtime.bpf(Cmd.LINK_CREATE, attr)
    finally:
        if directory > 0:
            os.close(directory)
    return Link(program.runtime, program.runtime.own(fd), program=program, hook=f"cgroup {os.fspath(target)}")


def _open(program: Program, target: str | os.PathLike[str]) -> int:
    if program.runtime.name == "embedded" and os.fspath(target) == "/":
        return 0
    return os.open(target, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
