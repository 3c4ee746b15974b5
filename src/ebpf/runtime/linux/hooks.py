"""Attach points that LINK_CREATE alone does not reach: tracepoints through perf events, sockets."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress

from ebpf.abi.linux import EACCES, EINVAL, EPERM
from ebpf.abi.types import AttachType, Cmd
from ebpf.errors import ClosedError, NotSupportedError, SystemCallError
from ebpf.runtime.attrs import LinkCreate
from ebpf.runtime.base import Runtime
from ebpf.runtime.errors import system_call_error
from ebpf.runtime.facts import ProgramFacts
from ebpf.runtime.handle import Handle
from ebpf.runtime.hooks import SocketFilterHook, TracepointHook
from ebpf.runtime.linux import perf
from ebpf.runtime.linux.privileges import explain
from ebpf.runtime.linux.system import tracefs

# include/uapi/asm-generic/socket.h
_SO_DETACH_BPF = 27
_SO_ATTACH_BPF = 50


def attach_tracepoint(runtime: Runtime, program: ProgramFacts, hook: TracepointHook) -> Handle:
    """Attach to a tracepoint on all CPUs: by a link (Linux 5.15), else by ioctl of a perf event.

    The handle is the link's number, or the event's where there are no such links.
    """
    with ExitStack() as undo:
        event = perf.open_event(perf.TYPE_TRACEPOINT, _tracepoint_id(hook), cpu=0)
        undo.callback(os.close, event)
        link = _link_event(runtime, program, event, hook.cookie)
        if link is not None:
            undo.callback(os.close, link)
        perf.control(event, perf.IOC_ENABLE)
        undo.pop_all()
    if link is None:
        return Handle(os.close, event, what="tracepoint")

    fds = [link, event]

    def close(_: int) -> None:
        while fds:
            fd = fds[0]
            del fds[0]  # nothing can come between this and the call
            os.close(fd)

    return Handle(close, link, what="tracepoint link")


def _link_event(runtime: Runtime, program: ProgramFacts, event: int, cookie: int) -> int | None:
    with program.handle.borrow() as fd:
        attr = LinkCreate(prog_fd=fd, target_fd=event, attach_type=AttachType.PERF_EVENT, perf_event_bpf_cookie=cookie)
        try:
            return runtime.bpf(Cmd.LINK_CREATE, attr)
        except SystemCallError as error:
            if error.errno != EINVAL:
                raise
            if cookie:
                raise NotSupportedError("a cookie of a tracepoint", runtime="linux", since="Linux 5.15") from error
        perf.control(event, perf.IOC_SET_BPF, fd)
    return None


def _tracepoint_id(hook: TracepointHook) -> int:
    path = os.path.join(tracefs(), "events", hook.group, hook.name, "id")
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except FileNotFoundError as error:
        reason = f"there is no tracepoint {hook.group}:{hook.name}; names are directories under events/ in tracefs"
        raise system_call_error("open", error.errno or 0, message=reason) from error
    except PermissionError as error:
        reason = f"read {path}"
        privilege = explain("perf_event_open")
        raise system_call_error("open", error.errno or EACCES, message=reason, privilege=privilege) from error


def attach_socket_filter(program: ProgramFacts, hook: SocketFilterHook) -> Handle:
    """Attach to a socket in place of the filter it has; closing the handle takes the socket's filter away."""
    import socket

    fd = os.dup(hook.fd)
    sock = socket.socket(fileno=fd)
    try:
        with program.handle.borrow() as program_fd:
            sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_BPF, program_fd)
    except OSError as error:
        sock.close()
        privilege = explain("setsockopt") if error.errno == EPERM else None
        raise system_call_error("setsockopt", error.errno or 0, privilege=privilege) from error
    except ClosedError:
        sock.close()
        raise

    process = os.getpid()

    def close(_: int) -> None:
        # A forked child shares the socket with its parent, who keeps the filter.
        if process == os.getpid() and sock.fileno() >= 0:
            with suppress(FileNotFoundError):  # somebody else took it away, or a call that Ctrl-C has ended
                sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_BPF, 0)
        sock.close()

    return Handle(close, fd, what="socket filter")
