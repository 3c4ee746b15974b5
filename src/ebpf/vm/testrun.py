"""BPF_PROG_TEST_RUN: one program, one packet or context, n times (net/bpf/test_run.c of Linux 6.18).

The kernel's limits are kept, down to its errno: they come from the layout of its buffers (one page, head- and
tailroom), which programs see as how far a packet can grow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ebpf.abi.linux import E2BIG, EINVAL, ENOTSUPP, ENXIO, EOPNOTSUPP
from ebpf.abi.types import ProgramType
from ebpf.plain import NamedTuple
from ebpf.vm import M32
from ebpf.vm.engines import Engine
from ebpf.vm.fault import Rejected
from ebpf.vm.machine import Run, check_open_between_runs, checked
from ebpf.vm.program import Program

if TYPE_CHECKING:
    from ebpf.vm.context import Context, Redirect
    from ebpf.vm.kernel import Kernel

ON_CPU = 1 << 0
"""BPF_F_TEST_RUN_ON_CPU."""
LIVE_FRAMES = 1 << 1
"""BPF_F_TEST_XDP_LIVE_FRAMES."""
CHECKSUM_COMPLETE = 1 << 2
"""BPF_F_TEST_SKB_CHECKSUM_COMPLETE."""

_MAX_RAW_ARGUMENTS = 12 * 8
_MAX_SYSCALL_CONTEXT = 0xFFFF
LONGEST_DURATION = 0xFFFFFFFF


class TestRequest(NamedTuple):
    """The input members of BPF_PROG_TEST_RUN.

    `ctx` None: no ctx_in. `wants_data`, `wants_ctx`, `wants_duration`: the caller gave a buffer (or a number) to be
    filled, which some program types refuse. `cpu` is the member of the call, not where the program runs.
    """

    data: bytes = b""
    ctx: bytes | None = None
    repeat: int = 0
    flags: int = 0
    cpu: int = 0
    batch_size: int = 0
    wants_data: bool = False
    wants_ctx: bool = False
    wants_duration: bool = False


class TestRun(NamedTuple):
    """What came of it. `retval` is unsigned 32 bits; `data` and `ctx` are whole, cutting them is the caller's part."""

    retval: int
    data: bytes = b""
    ctx: bytes = b""
    duration_ns: int = 0
    redirect: Redirect | None = None


class Bench:
    """Where a program runs: its kernel, the virtual CPU that the caller owns, instructions per run, the engine."""

    __slots__ = ("budget", "cpus", "duration_ns", "engine", "kernel", "on_cpu", "program")

    def __init__(
        self, program: Program, kernel: Kernel, *, on_cpu: int, cpus: int, budget: int, engine: Engine
    ) -> None:
        self.program = program
        self.kernel = kernel
        self.on_cpu = on_cpu
        self.cpus = cpus
        self.budget = budget
        self.engine = engine
        self.duration_ns = 0

    def run(self, context: Context, repeat: int) -> int:
        """Run `repeat` times on the same context; return the last r0 as unsigned 32 bits, set the mean duration."""
        repeat = repeat or 1
        start = time.perf_counter_ns()
        result = self._once(context) if repeat == 1 else self._many(context, repeat)
        self.duration_ns = min((time.perf_counter_ns() - start) // repeat, LONGEST_DURATION)
        return result & M32

    def _once(self, context: Context) -> int:
        run = Run(self.program, self.kernel, cpu=self.on_cpu, budget=self.budget, context=context)
        address = context.attach(run.memory)
        return checked(run, lambda: self.engine.execute(run, address))

    def _many(self, context: Context, repeat: int) -> int:
        if self.engine.code is None:
            result = 0
            for _ in range(repeat):
                check_open_between_runs(self.program, self.kernel)
                result = self._once(context)
            return result
        from ebpf.vm.lane import Lane

        code = self.engine.code(self.program, self.kernel)
        lane = Lane(self.program, self.kernel, cpu=self.on_cpu, budget=self.budget, code=code)
        return lane.repeat(context, repeat)


def test_run(
    program: Program,
    kernel: Kernel,
    request: TestRequest,
    *,
    on_cpu: int,
    cpus: int,
    budget: int,
    engine: Engine,
) -> TestRun:
    """Answer BPF_PROG_TEST_RUN. The caller owns virtual CPU `on_cpu` of `cpus` for the time.

    Raises:
        Rejected: with the kernel's errno; ENOTSUPP for a program type without test run.
        ProgramFault: the program did something forbidden.
    """
    kind = _KINDS.get(program.type)
    if kind is None:
        raise Rejected(ENOTSUPP, f"programs of type {program.type.label} have no test run")
    return kind(Bench(program, kernel, on_cpu=on_cpu, cpus=cpus, budget=budget, engine=engine), request)


def context_input(request: TestRequest, size: int) -> bytearray | None:
    """Return ctx_in as the kernel sees it: `size` bytes, zero where the caller gave fewer; None without one.

    More bytes than the kernel knows have to be zero (E2BIG).
    """
    if request.ctx is None:
        return bytearray(size) if request.wants_ctx else None
    if any(request.ctx[size:]):
        raise Rejected(E2BIG, f"the context has bytes that are not zero behind the {size} that are known")
    return bytearray(request.ctx[:size].ljust(size, b"\0"))


def refuse(reason: str, errno: int = EINVAL) -> Rejected:
    """Return the refusal of a test run."""
    return Rejected(errno, f"test run: {reason}")


def carried_out(redirect: Redirect | None, retval: int, verdict: int | None) -> Redirect | None:
    """Return the redirect that comes about: `verdict` is the return value that does it. Clones are sent at once."""
    if redirect is None or (retval != verdict and redirect.helper != "clone_redirect"):
        return None
    return redirect


def _refuse_packet(program: Program, request: TestRequest) -> None:
    if request.data or request.wants_data or request.wants_ctx or request.wants_duration:
        only = f"a program of type {program.type.label} takes a context and gives a return value, nothing else"
        raise refuse(f"{only}; got {_given_with_packets(request)}")
    if request.repeat or request.batch_size:
        got = f"got {request.repeat} and {request.batch_size}"
        raise refuse(f"a program of type {program.type.label} runs once: repeat and batch_size must be 0, {got}")


def _given_with_packets(request: TestRequest) -> str:
    given = [f"{len(request.data)} bytes of data"] if request.data else []
    wanted = {"data_out": request.wants_data, "ctx_out": request.wants_ctx, "duration": request.wants_duration}
    return ", ".join(given + [name for name, is_wanted in wanted.items() if is_wanted])


def _check_context_size(program: Program, size: int, limit: int) -> None:
    if not program.max_context_offset <= size <= limit:
        raise refuse(f"the context has {size} bytes, expected {program.max_context_offset} to {limit}")


def _run_raw_tracepoint(bench: Bench, request: TestRequest) -> TestRun:
    from ebpf.vm.context import PlainContext

    _refuse_packet(bench.program, request)
    arguments = request.ctx or b""
    _check_context_size(bench.program, len(arguments), _MAX_RAW_ARGUMENTS)
    if not request.flags & ON_CPU and request.cpu:
        raise refuse("cpu needs the flag BPF_F_TEST_RUN_ON_CPU")
    if request.flags & ON_CPU and request.cpu >= bench.cpus:
        raise refuse(f"there is no CPU {request.cpu}", ENXIO)
    context = PlainContext(bytearray(arguments), writable=False)
    return TestRun(bench.run(context, 1), duration_ns=bench.duration_ns)


def _run_syscall(bench: Bench, request: TestRequest) -> TestRun:
    from ebpf.vm.context import PlainContext

    _refuse_packet(bench.program, request)
    if request.flags:
        raise refuse("flags must be 0")
    given = request.ctx or b""
    _check_context_size(bench.program, len(given), _MAX_SYSCALL_CONTEXT)
    context = PlainContext(bytearray(given), writable=True)
    retval = bench.run(context, 1)
    return TestRun(retval, ctx=bytes(context.data), duration_ns=bench.duration_ns)


def refuse_live_frames(request: TestRequest) -> None:
    """Live frames are packets that go on through the network stack, which is not there (EOPNOTSUPP)."""
    if request.flags & LIVE_FRAMES:
        raise refuse("the embedded kernel has no network stack for live frames", EOPNOTSUPP)


def _run_xdp(bench: Bench, request: TestRequest) -> TestRun:
    from ebpf.vm.testxdp import run_xdp

    return run_xdp(bench, request)


def _run_skb(bench: Bench, request: TestRequest) -> TestRun:
    from ebpf.vm.testskb import run_skb

    return run_skb(bench, request)


_KINDS: dict[ProgramType, Callable[[Bench, TestRequest], TestRun]] = {
    ProgramType.XDP: _run_xdp,
    ProgramType.SOCKET_FILTER: _run_skb,
    ProgramType.SCHED_CLS: _run_skb,
    ProgramType.SCHED_ACT: _run_skb,
    ProgramType.CGROUP_SKB: _run_skb,
    ProgramType.RAW_TRACEPOINT: _run_raw_tracepoint,
    ProgramType.SYSCALL: _run_syscall,
}
