"""Raw tracepoints: a tracepoint's arguments as they are (kernel/bpf/syscall.c `bpf_raw_tracepoint_open`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.linux import ENOENT
from ebpf.abi.types import Cmd
from ebpf.errors import SystemCallError
from ebpf.link.link import Link
from ebpf.runtime import attrs

if TYPE_CHECKING:
    from ebpf.objects import Program


def raw_tracepoint(program: Program, target: str, *, cookie: int = 0) -> Link:
    """Attach to a tracepoint by its bare name, `sys_enter` (Linux 4.17; pinnable since 5.7).

    `cookie` is what bpf_get_attach_cookie() gives the program (6.10). Raises SystemCallError (ENOENT) where there is
    no such tracepoint.
    """
    attr = attrs.RawTracepointOpen(name=target.encode(), cookie=cookie)
    with program.handle.borrow() as attr.prog_fd:
        try:
            fd = program.runtime.bpf(Cmd.RAW_TRACEPOINT_OPEN, attr)
        except SystemCallError as error:
            if error.linux_errno == ENOENT:
                error.message += f": no tracepoint is named {target!r}"
            raise
    return Link(program.runtime, program.runtime.own(fd), program=program, hook=f"raw tracepoint {target}")
