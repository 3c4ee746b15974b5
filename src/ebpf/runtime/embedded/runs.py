"""Every run of a program: virtual CPU, statistics, results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ebpf.abi.linux import BPF_PROG_TEST_RUN, ENOSPC
from ebpf.abi.types import ProgramType
from ebpf.runtime.embedded.objects import ProgramObject
from ebpf.runtime.facts import GROWTH, RUN_ON_CPU, Redirect, RunResult, form_of
from ebpf.vm.engines import Engine, choose_engine
from ebpf.vm.fault import Rejected
from ebpf.vm.testrun import ON_CPU, TestRequest, TestRun, test_run

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.runtime.embedded.kernel import EmbeddedRuntime
    from ebpf.runtime.embedded.state import State
    from ebpf.runtime.facts import ProgramFacts
    from ebpf.runtime.joined import JoinedPackets, ManyRuns
    from ebpf.vm.batch import PacketLane
    from ebpf.vm.single import SingleRuns


def run_program(
    state: State,
    program: ProgramObject,
    request: TestRequest,
    engine: Engine | None = None,
    run: Callable[..., TestRun] = test_run,
) -> TestRun:
    """Run a program on a virtual CPU of its own; `engine` None is the default one. Raises Rejected and ProgramFault.

    `run` is `test_run`, or does the same.
    """
    # A CPU that does not exist is refused by the run itself, with the errno of its program type.
    wanted = request.cpu if request.flags & ON_CPU and request.cpu < state.cpu_count else None

    def on(cpu: int) -> TestRun:
        return run(
            program.program,
            state,
            request,
            on_cpu=cpu,
            cpus=state.cpu_count,
            budget=state.limits.budget,
            engine=engine or choose_engine(program=program.program),
        )

    result = state.cpus.run(program, on, cpu=wanted)
    if result is None:
        with program.lock:
            program.recursion_misses += 1
        return TestRun(0, data=request.data)
    if state.statistics:
        repeats = max(request.repeat, 1)
        program.count_run(repeats, result.duration_ns * repeats)
    return result


class EmbeddedRunner:
    """Runs one program directly, and says where its packet was redirected to. Threads may share it."""

    def __init__(
        self, runtime: EmbeddedRuntime, program: ProgramFacts, engine: str = "auto", *, trusted: bool = False
    ) -> None:
        self._kernel = runtime
        self._program = program
        self._form = form_of(program.type)
        self._lanes: list[PacketLane] = []
        self._single: SingleRuns | None = None
        self._has_run = False
        with self._loaded() as loaded:
            self._engine = choose_engine(engine, trusted=trusted, program=loaded.program)

    @contextmanager
    def _loaded(self) -> Iterator[ProgramObject]:
        """Give the loaded program while a run takes; what the kernel refuses is the error of a system call."""
        with self._program.handle.borrow() as fd:
            try:
                yield self._kernel.state.handles.program(fd)
            except Rejected as error:
                from ebpf.runtime.errors import system_call_error  # most runs end without one

                raise system_call_error(BPF_PROG_TEST_RUN, error.errno, message=error.message) from None

    @property
    def engine(self) -> str:
        """Name of the engine that runs the program at the moment."""
        if self._engine.now is None:
            return self._engine.name
        with self._loaded() as loaded:
            return self._engine.now(loaded.program)

    @property
    def engine_reason(self) -> str:
        """Why that engine runs the program; what kept it from a better one, if something did."""
        if self._engine.why is None:
            return self._engine.reason
        with self._loaded() as loaded:
            return self._engine.why(loaded.program)

    def run(
        self,
        data: Buffer = b"",
        *,
        ctx: Buffer | None = None,
        repeat: int = 1,
        cpu: int | None = None,
        flags: int = 0,
    ) -> RunResult:
        form = self._form
        on_cpu = cpu is not None and self._program.type is ProgramType.RAW_TRACEPOINT
        request = TestRequest(
            data=_copy(data, "data"),
            ctx=None if ctx is None else _copy(ctx, "ctx"),
            repeat=repeat if form.repeat or repeat > 1 else 0,
            flags=flags | RUN_ON_CPU if on_cpu else flags,
            cpu=cpu or 0,
            batch_size=0,
            wants_data=form.data,
            wants_ctx=form.ctx_out and ctx is not None,
            wants_duration=False,
        )
        with self._loaded() as program:
            return _public(request, run_program(self._kernel.state, program, request, self._engine, self._way(program)))

    def _way(self, program: ProgramObject) -> Callable[..., TestRun]:
        """Return what does a run. The first is the only one of most programs, and makes nothing that is kept."""
        if not self._has_run:
            self._has_run = True
            return test_run
        if self._single is None:
            from ebpf.vm.single import SingleRuns

            program.runners.add(self)  # first: Ctrl-C may come between the two
            self._single = SingleRuns()
        return self._single.test_run

    def forget(self) -> None:
        """Keep nothing between runs any more: the program has ended, and its maps are to go with it."""
        self._lanes.clear()
        if self._single is not None:
            self._single.clear()

    def run_many(self, packets: JoinedPackets, *, threads: int = 1) -> ManyRuns:
        if not self._form.data:
            from ebpf.runtime.runs import run_each

            return run_each(self.run, packets, threads=threads, runtime=self._kernel.name)
        from ebpf.runtime.embedded.many import run_many

        with self._loaded() as program:
            program.runners.add(self)
            return run_many(self._kernel.state, program, self._engine, packets, threads, spare=self._lanes)

    def function(self) -> Callable[[Buffer], int]:
        """Return a builtin that runs over a buffer in place, without Python in between where it can; its repr says."""
        from ebpf.runtime.embedded.functions import make_function

        with self._loaded() as program:
            closed = self._program.handle.closed_word()
            return make_function(self._kernel.state, program, self._engine, self.run, closed=closed)


def _copy(buffer: Buffer, name: str) -> bytes:
    """Return the bytes of a buffer. bytes() alone makes zeros of a number, and takes a list of numbers."""
    if type(buffer) is bytes:
        return buffer
    try:
        return bytes(memoryview(buffer))
    except TypeError:
        raise TypeError(f"{name} is a buffer, such as bytes, got {type(buffer).__name__}") from None


def _public(request: TestRequest, result: TestRun) -> RunResult:
    """Return what came of a run, as far as the buffers of BpfRunner would hold it."""
    if request.wants_data and len(result.data) > len(request.data) + GROWTH:
        raise Rejected(ENOSPC, f"the packet has grown from {len(request.data)} to {len(result.data)} bytes: too far")
    if request.wants_ctx and request.ctx is not None and len(result.ctx) > len(request.ctx):
        raise Rejected(ENOSPC, f"ctx has {len(request.ctx)} bytes, the context that the program left {len(result.ctx)}")
    redirect = result.redirect
    return RunResult(
        retval=result.retval,
        data=result.data if request.wants_data else b"",
        ctx=result.ctx if request.ctx is not None else b"",
        duration_ns=result.duration_ns if request.wants_data else 0,
        redirect=None if redirect is None else Redirect(redirect.helper, redirect.target, redirect.key, redirect.flags),
    )
