"""The Linux kernel as a runtime (man 2 bpf)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ebpf.abi.linux import EACCES, EPERM
from ebpf.abi.types import Cmd, MapType
from ebpf.abi.types.commands import command_name
from ebpf.errors import NotSupportedError, SystemCallError
from ebpf.runtime.attrs import Attr, MapElem, ObjPin, text_of
from ebpf.runtime.errors import Privilege, is_privilege_errno, system_call_error
from ebpf.runtime.handle import Handle
from ebpf.runtime.hooks import Hook, PacketsHook, SocketFilterHook, TracepointHook
from ebpf.runtime.linux import call, hooks, pins, privileges, recovery, system
from ebpf.runtime.linux.mapio import LinuxMapIO
from ebpf.runtime.linux.mapped import MapMemory
from ebpf.runtime.linux.rings import DEFAULT_PERF_SIZE, PerfRingMemory, RingBufferMemory, _Ring, slot
from ebpf.runtime.linux.runner import LinuxRunner
from ebpf.runtime.linux.waiter import EpollWaiter
from ebpf.runtime.packets import feed

if TYPE_CHECKING:
    from ebpf.btf import Btf
    from ebpf.codegen.native import NativeImage
    from ebpf.runtime.base import MapIO, MappedMemory, NativeCode, Pins, RingMemory, Runner, Waiter
    from ebpf.runtime.facts import Limits, MapFacts, ProgramFacts

_RECOVERABLE = frozenset({Cmd.MAP_CREATE, Cmd.PROG_LOAD})


class LinuxRuntime:
    """The kernel of this machine. It keeps nothing of its own: close() does nothing. Threads may share it."""

    def __init__(self, *, reason: str = "asked for") -> None:
        self._reason = reason

    @property
    def name(self) -> str:
        return "linux"

    @property
    def reason(self) -> str:
        return self._reason

    @property
    def personality(self) -> str:
        return "linux"

    @property
    def limits(self) -> Limits | None:
        return None

    @property
    def named_engine(self) -> str | None:
        return None

    @cached_property
    def cpus(self) -> int:
        """How many CPUs may ever come online: per-CPU values have one value for each."""
        return len(system.possible_cpus())

    @cached_property
    def pins(self) -> Pins:
        return pins.BpfFilesystem()

    def bpf(self, cmd: int, attr: Attr) -> int:
        """Make the call; return >= 0 or raise SystemCallError.

        Interrupted calls are made again. Numbers returned are descriptors with close-on-exec: give them to own().
        """
        result = call.bpf(cmd, attr)
        if result < 0 and cmd in _RECOVERABLE:
            result = recovery.recover(cmd, attr, -result)
        if result < 0:
            raise _refusal(cmd, attr, -result)
        return result

    def own(self, fd: int) -> Handle:
        """Take ownership of a descriptor; 0 is moved out of the way, because bpf() reads 0 as "none"."""
        return Handle(os.close, _away_from_zero(fd), what="bpf descriptor")

    def map_io(self, map_: MapFacts) -> MapIO:
        return LinuxMapIO(self, map_)

    def runner(self, program: ProgramFacts, *, engine: str = "auto", trusted: bool = False) -> Runner:
        """Return the runner over PROG_TEST_RUN; the kernel has one engine, so that `engine` must be "auto"."""
        if engine != "auto":
            raise NotSupportedError(
                f"engine {engine!r}",
                runtime="linux",
                alternative="the kernel chooses its own: take the embedded runtime for this one",
            )
        return LinuxRunner(self, program)

    def load_native(self, image: NativeImage) -> NativeCode:
        raise NotSupportedError(
            f"the native image {image.name}",
            runtime="linux",
            alternative="the kernel compiles programs itself: load the object",
        )

    def map_memory(self, map_: MapFacts, *, size: int, writable: bool = True) -> MappedMemory:
        with map_.handle.borrow() as fd:
            return MapMemory(fd, size, writable=writable)

    def open_ring(self, map_: MapFacts, *, cpu: int | None = None, size: int | None = None) -> RingMemory:
        """Map a ring buffer, or open and map the perf ring of `cpu` with at least `size` bytes of data."""
        if map_.type == MapType.RINGBUF:
            with map_.handle.borrow() as fd:
                return RingBufferMemory(fd, map_.max_entries)
        if map_.type == MapType.PERF_EVENT_ARRAY and cpu is not None:
            return PerfRingMemory(
                map_, cpu, size or DEFAULT_PERF_SIZE, lambda index, event: self._set_slot(map_, index, event)
            )
        needs = "a CPU" if map_.type == MapType.PERF_EVENT_ARRAY else "a ring buffer or perf event array"
        raise ValueError(f"a ring needs {needs}, got a map of type {map_.type.name}")

    def _set_slot(self, map_: MapFacts, index: int, event: int | None) -> None:
        with map_.handle.borrow() as fd:
            attr = MapElem(map_fd=fd, key=slot(index), value=None if event is None else slot(event))
            self.bpf(Cmd.MAP_DELETE_ELEM if event is None else Cmd.MAP_UPDATE_ELEM, attr)

    def waiter(self, rings: Sequence[RingMemory], map_: MapFacts) -> Waiter:
        return EpollWaiter([ring for ring in rings if isinstance(ring, _Ring)])

    def attach(self, program: ProgramFacts, hook: Hook) -> Handle:
        """Attach to what LINK_CREATE can't describe.

        A source of packets goes through PROG_TEST_RUN: redirects and device state are not real there.
        """
        if isinstance(hook, TracepointHook):
            return hooks.attach_tracepoint(self, program, hook)
        if isinstance(hook, SocketFilterHook):
            return hooks.attach_socket_filter(program, hook)
        assert isinstance(hook, PacketsHook)
        return feed(hook, (hook.runner or self.runner(program)).run)

    def kernel_btf(self, module: str | None = None) -> Btf:
        return system.kernel_btf(module)

    def trace(self) -> Sequence[str]:
        raise NotSupportedError(
            "reading the trace of this program alone",
            runtime="linux",
            alternative="read trace_pipe in tracefs, which all programs of the machine share",
        )

    def close(self) -> None:
        """Do nothing: the kernel stays."""

    def __repr__(self) -> str:
        return f"<runtime linux: {self._reason}>"


def _away_from_zero(fd: int) -> int:
    if fd != 0 or sys.platform != "linux":
        return fd
    import fcntl

    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return moved


def _refusal(cmd: int, attr: Attr, errno: int) -> SystemCallError:
    if cmd in (Cmd.OBJ_PIN, Cmd.OBJ_GET) and isinstance(attr, ObjPin):
        return _pin_refusal(cmd, attr, errno)
    if not is_privilege_errno(cmd, errno):
        return system_call_error(cmd, errno)
    privilege = privileges.explain(cmd, attr)
    if recovery.memlock_is_to_blame() and privilege.capability is None:
        privilege = Privilege("raise the limit of locked memory (ulimit -l unlimited), which this kernel charges")
    return system_call_error(cmd, errno, privilege=privilege)


def _pin_refusal(cmd: int, attr: ObjPin, errno: int) -> SystemCallError:
    path = text_of(attr.pathname)
    # The kernel answers EPERM or EACCES to a path of another filesystem, which no privilege would change.
    if errno in (EPERM, EACCES) and path.startswith("/") and not attr.path_fd:
        try:
            pins.check(path, command_name(cmd))
        except SystemCallError as error:
            return error
    reason = f"{os.strerror(errno).lower()}: {path}"
    return system_call_error(cmd, errno, message=reason)
