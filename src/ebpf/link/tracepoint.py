"""Tracepoints: stable events of the kernel, through perf events (kernel/trace/trace_event_perf.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.link.link import Link
from ebpf.runtime.hooks import TracepointHook

if TYPE_CHECKING:
    from ebpf.objects import Program


def tracepoint(program: Program, target: str, *, cookie: int = 0) -> Link:
    """Attach to a tracepoint, `group:name` or `group/name` (Linux 4.7); a link of the kernel since 5.15.

    `cookie` is what bpf_get_attach_cookie() gives the program (5.15). Raises SystemCallError (ENOENT) where there is
    no such tracepoint, MissingPrivilegeError without CAP_PERFMON.
    """
    group, separator, name = target.replace("/", ":", 1).partition(":")
    if not separator or not group or not name:
        raise ValueError(f"a tracepoint is written group:name, as in syscalls:sys_enter_openat; got {target!r}")
    handle = program.runtime.attach(program.facts, TracepointHook(group, name, cookie))
    return Link(program.runtime, handle, program=program, hook=f"tracepoint {group}:{name}")
