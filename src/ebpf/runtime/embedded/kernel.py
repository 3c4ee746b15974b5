"""The embedded runtime: a user-space kernel that answers bpf() in this process.

What Linux commands it has, and what the others answer:

- TASK_FD_QUERY, ITER_CREATE, TOKEN_CREATE, PROG_STREAM_READ_BY_FD, PROG_ASSOC_STRUCT_OPS and numbers that are no
  command: EINVAL, what a kernel says that does not know the command.
- Map and program types that need sockets, cgroups, tasks or tracing: EINVAL at MAP_CREATE and PROG_LOAD.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ebpf.abi.linux import BPF_PROG_LOAD, EINVAL
from ebpf.errors import NotSupportedError, SystemCallError
from ebpf.lean import WeakSet
from ebpf.runtime import attrs
from ebpf.runtime.attrs import Attr
from ebpf.runtime.embedded.objects import KernelObject, kernel_closed
from ebpf.runtime.embedded.programs import ProgramCommands
from ebpf.runtime.embedded.runs import EmbeddedRunner
from ebpf.runtime.embedded.state import State, open_rings, open_waiters
from ebpf.runtime.facts import Limits
from ebpf.runtime.handle import Handle
from ebpf.vm.engines import VARIABLE
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from ebpf.btf import Btf
    from ebpf.codegen.native import NativeImage
    from ebpf.runtime.base import MapIO, MappedMemory, NativeCode, Pins, RingMemory, Runner, Waiter
    from ebpf.runtime.embedded.commands import Commands
    from ebpf.runtime.facts import MapFacts, ProgramFacts, RunResult
    from ebpf.runtime.hooks import Hook

_DEBUG = 10
"""logging.DEBUG."""

_kernels: WeakSet[EmbeddedRuntime] = WeakSet()


class EmbeddedRuntime:
    """A kernel of its own; several stand side by side in one process. Threads may share it; the creator closes it.

    `personality` is "linux". `cpus` is the number of virtual CPUs: a run owns one from entry to exit, and per-CPU
    values have that many copies; 1 makes results repeatable. `seed` makes bpf_get_prandom_u32 and hash seeds
    repeatable, `clock` is a function that gives the nanoseconds of every clock. `limits` says what is given out
    before ENOMEM, EMFILE, E2BIG or a budget fault. `pin_dir` is a directory of the host for pins; without one they
    live in memory. `extensions` and `store` must stay empty. After fork() the child has an independent copy: no
    reader and no source of packets goes on there.
    """

    def __init__(
        self,
        *,
        personality: str = "linux",
        cpus: int = 1,
        seed: int | None = None,
        clock: Callable[[], int] | None = None,
        limits: Limits | None = None,
        extensions: Sequence[object] = (),
        store: object = None,
        pin_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        if personality not in ("linux", "windows"):
            raise ValueError(f"personality is linux or windows, got {personality!r}")
        for what, asked in {
            "the windows personality": personality == "windows",
            "an extension": bool(extensions),
            "a store": store is not None,
        }.items():
            if asked:
                raise NotSupportedError(what, runtime="embedded", alternative="leave that option out")
        if not 1 <= cpus <= 256:
            raise ValueError(f"cpus is 1 to 256, got {cpus}")
        self.reason = "asked for"
        self.state = State(cpus=cpus, seed=seed, clock=clock, limits=limits or Limits())
        self._pin_dir = pin_dir
        self._commands: Commands | None = None
        self._load = ProgramCommands(self.state).load
        if pin_dir is not None:
            self._others.pins()  # a directory that can't be used is refused here
        _kernels.add(self)

    @property
    def name(self) -> str:
        return "embedded"

    @property
    def personality(self) -> str:
        return "linux"

    @property
    def cpus(self) -> int:
        return self.state.cpu_count

    @property
    def limits(self) -> Limits | None:
        return self.state.limits

    @property
    def named_engine(self) -> str | None:
        """What the environment variable EBPF_ENGINE names."""
        return os.environ.get(VARIABLE) or None

    @property
    def pins(self) -> Pins:
        return self._others.pins()

    @property
    def _others(self) -> Commands:
        """What answers the commands that a program can do without: imported when one of them is called."""
        if self._commands is None:
            from ebpf.runtime.embedded.commands import Commands

            with self.state.registry.lock:
                if self._commands is None:
                    self._commands = Commands(self.state, self._pin_dir)
        return self._commands

    def bpf(self, cmd: int, attr: Attr) -> int:
        """Answer the call; return >= 0 or raise SystemCallError with Linux's errno.

        ProgramFault comes out of PROG_TEST_RUN when the program does something forbidden.
        """
        started = time.perf_counter_ns() if _calls_are_logged() else 0
        calls = self.state.handles.calls
        outer = getattr(calls, "held", None)
        held: list[KernelObject] = []
        try:
            calls.held = held
            result = self._answer(cmd, attr)
        except Rejected as error:
            if started:
                _log_call(cmd, attr, _errno_name(error.errno), started)
            raise _system_call_error(cmd, error.errno, message=error.message) from None
        finally:
            calls.held = outer  # before anything that Ctrl-C can interrupt
            self.state.handles.release(held)
        if started:
            _log_call(cmd, attr, str(result), started)
        return result

    def _answer(self, cmd: int, attr: Attr) -> int:
        if self.state.closed:
            raise kernel_closed()
        command: Callable[[Any], int] | None = self._load if cmd == BPF_PROG_LOAD else self._others.table.get(cmd)
        if command is None:
            raise Rejected(EINVAL, f"the embedded kernel has no command {_name(cmd)}")
        if not isinstance(attr, Attr) or cmd not in attr.COMMANDS:
            from ebpf.abi.types import Cmd

            raise TypeError(f"{_name(cmd)} takes a {attrs.RECORDS[Cmd(cmd)].__name__}, got {type(attr).__name__}")
        attr.check_numbers()
        attr.check_lengths(cmd)
        return command(attr)

    def own(self, fd: int) -> Handle:
        """Take ownership of a number that bpf() returned."""
        return Handle(self.state.handles.close, fd, what="embedded handle")

    def map_io(self, map_: MapFacts) -> MapIO:
        from ebpf.runtime.embedded.mapio import EmbeddedMapIO

        return EmbeddedMapIO(self, map_)

    def runner(self, program: ProgramFacts, *, engine: str = "auto", trusted: bool = False) -> Runner:
        """Return a runner; `engine` is "auto", "jit", "interpreter", "reference", or "native" with an image's code.

        All of them check every access; of `trusted` programs "jit" does not. NotSupportedError where an engine can't
        run.
        """
        return EmbeddedRunner(self, program, engine, trusted=trusted)

    def load_native(self, image: NativeImage) -> NativeCode:
        """Compare an image with this process; nothing of it is mapped yet."""
        from ebpf.runtime.embedded.native import EmbeddedNative

        return EmbeddedNative(self.state, image)

    def make_native(
        self, data: bytes, programs: Iterable[ProgramFacts], *, target: str, tier: str, name: str
    ) -> NativeImage:
        """Compile programs that were loaded here from the object file `data` into an unsigned image.

        `target` is one of `codegen.compiler.GENERIC_TARGETS`, `tier` "light" or "full", `name` stands for the image in
        errors. Raises NotSupportedError without llvmlite, ImageError for what LLVM refuses.
        """
        from ebpf.runtime.embedded.native import make_image

        return make_image(self.state, data, programs, target=target, tier=tier, name=name)

    def map_memory(self, map_: MapFacts, *, size: int, writable: bool = True) -> MappedMemory:
        from ebpf.runtime.embedded.mapped import MappedArray

        with map_.handle.borrow() as fd:
            try:
                file, obj = self.state.handles.map_file(fd)
                return MappedArray(self.state.registry, file, obj, size, writable=writable)
            except Rejected as error:
                raise _system_call_error("mmap", error.errno, message=error.message) from None

    def open_ring(self, map_: MapFacts, *, cpu: int | None = None, size: int | None = None) -> RingMemory:
        """Open a ring buffer, or make the perf ring of `cpu` with at least `size` bytes of data."""
        from ebpf.runtime.embedded.rings import open_ring

        with map_.handle.borrow() as fd:
            try:
                return open_ring(self.state, self.state.handles.map_file(fd)[1], cpu=cpu, size=size)
            except Rejected as error:
                raise _system_call_error("open_ring", error.errno, message=error.message) from None

    def waiter(self, rings: Sequence[RingMemory], map_: MapFacts) -> Waiter:
        from ebpf.runtime.embedded.rings import EmbeddedWaiter

        return EmbeddedWaiter(rings)

    def attach(self, program: ProgramFacts, hook: Hook) -> Handle:
        """Attach to a source of packets; other hooks need a kernel with events (NotSupportedError)."""
        from ebpf.runtime.hooks import PacketsHook, TracepointHook
        from ebpf.runtime.packets import feed

        if not isinstance(hook, PacketsHook):
            what = "a tracepoint" if isinstance(hook, TracepointHook) else "a filter on a socket"
            raise NotSupportedError(what, runtime="embedded", alternative="feed packets, or use the linux runtime")
        runner = hook.runner or EmbeddedRunner(self, program)
        return feed(hook, self._lossless(runner) if hook.lossless else runner.run)

    def _lossless(self, runner: Runner) -> Callable[[bytes], RunResult]:
        """Make runs wait for ring space; the thread of the source is marked, others are not affected."""

        def run(packet: bytes) -> RunResult:
            self.state.lossless.waits = True
            return runner.run(packet)

        return run

    def kernel_btf(self, module: str | None = None) -> Btf:
        raise NotSupportedError(
            "BTF of the kernel itself", runtime="embedded", alternative="it has no types of its own"
        )

    def trace(self) -> Sequence[str]:
        """Return what programs printed with trace_printk since the last call, a line each."""
        return self.state.take_trace()

    def close(self) -> None:
        """End the kernel: handles and pins go, producers that wait drop their records, waits for records end.

        If Ctrl-C ends it, another call does the rest; further calls do nothing.
        """
        self.state.closed = True
        if self._commands is not None:
            self._commands.release_pins()
        self.state.handles.close_all()
        for ring in open_rings:
            ring.wake_all()

    def __repr__(self) -> str:
        return f"<runtime embedded: {self.reason}>"


def _system_call_error(call: int | str, errno: int, *, message: str) -> SystemCallError:
    from ebpf.runtime.errors import system_call_error

    return system_call_error(call, errno, message=message)


def _name(cmd: int) -> str:
    from ebpf.abi.types.commands import command_name

    return command_name(cmd)


def _errno_name(errno: int) -> str:
    from ebpf.abi.linux.errtexts import NAMES

    return NAMES.get(errno, str(errno))


def _calls_are_logged() -> bool:
    if "logging" not in sys.modules:  # who wants a log has imported it
        return False
    from ebpf.log import logger

    return logger().isEnabledFor(_DEBUG)


def _log_call(cmd: int, attr: Attr, outcome: str, started: int) -> None:
    from ebpf.log import logger

    logger().debug("bpf(%s, %r) = %s, %d ns", _name(cmd), attr, outcome, time.perf_counter_ns() - started)


def _after_fork_in_child() -> None:
    # The threads that held locks, ran programs or read rings are the parent's.
    for kernel in _kernels:
        kernel.state.renew_locks()
    for ring in open_rings:
        ring.abandon()
    for waiter in open_waiters:
        waiter.abandon()
    open_rings.clear()
    open_waiters.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
