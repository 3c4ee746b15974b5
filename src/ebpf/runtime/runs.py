"""Running a program through BPF_PROG_TEST_RUN (net/bpf/test_run.c says which program type takes what)."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

from ebpf.abi.types import Cmd, ProgramType
from ebpf.errors import EbpfError, NotSupportedError
from ebpf.runtime.attrs import ProgTestRun
from ebpf.runtime.facts import GROWTH, RUN_ON_CPU, RunResult, form_of
from ebpf.runtime.joined import JoinedPackets, ManyRuns, packet_note

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.runtime.base import Runtime
    from ebpf.runtime.facts import ProgramFacts


class BpfRunner:
    """Runs one program. Threads may share it; its program's handle stays its owner's."""

    def __init__(self, runtime: Runtime, program: ProgramFacts) -> None:
        self._runtime = runtime
        self._program = program
        self._form = form_of(program.type)

    def run(
        self,
        data: Buffer = b"",
        *,
        ctx: Buffer | None = None,
        repeat: int = 1,
        cpu: int | None = None,
        flags: int = 0,
    ) -> RunResult:
        """Run the program over a copy of `data` and `ctx`; return what it returned and left behind.

        Packets need an Ethernet header (14 bytes) at least, except for types that see none. Interrupted runs are
        started again, so that a program may run more often than `repeat`. Raises SystemCallError (EINVAL: this type
        or these arguments can't be test-run).
        """
        attr = self._attr(data, ctx, repeat, cpu, flags)
        with self._program.handle.borrow() as fd:
            attr.prog_fd = fd
            self._runtime.bpf(Cmd.PROG_TEST_RUN, attr)
        # A syscall program changes its context in place.
        left = attr.ctx_out if self._form.ctx_out else attr.ctx_in
        size = attr.ctx_size_out if self._form.ctx_out else attr.ctx_size_in
        return RunResult(
            retval=attr.retval,
            data=bytes(memoryview(attr.data_out or b"")[: attr.data_size_out]),
            ctx=bytes(memoryview(left or b"")[:size]),
            duration_ns=attr.duration,
        )

    def run_many(self, packets: JoinedPackets, *, threads: int = 1) -> ManyRuns:
        """Run over one packet after the other. NotSupportedError for more than one thread.

        The error of a packet has a note that says which one it was.
        """
        return run_each(self.run, packets, threads=threads, runtime=self._runtime.name)

    def function(self) -> Callable[[Buffer], int]:
        """Not there: the kernel runs over copies."""
        raise NotSupportedError("running in place", runtime=self._runtime.name, alternative="use run()")

    def _attr(self, data: Buffer, ctx: Buffer | None, repeat: int, cpu: int | None, flags: int) -> ProgTestRun:
        attr = ProgTestRun(flags=flags)
        size = memoryview(data).nbytes
        if size or self._form.data:
            attr.data_in, attr.data_size_in = data, size
        if self._form.data:
            attr.data_out = bytearray(size + GROWTH)
            attr.data_size_out = size + GROWTH
        if ctx is not None:
            attr.ctx_in = bytearray(ctx)
            attr.ctx_size_in = len(attr.ctx_in)
            if self._form.ctx_out:
                attr.ctx_out, attr.ctx_size_out = bytearray(attr.ctx_size_in), attr.ctx_size_in
        if self._form.repeat or repeat > 1:
            attr.repeat = repeat
        if cpu is not None:
            attr.cpu = cpu
            if self._program.type is ProgramType.RAW_TRACEPOINT:
                attr.flags |= RUN_ON_CPU
        return attr


def run_each(run: Callable[[memoryview], RunResult], packets: JoinedPackets, *, threads: int, runtime: str) -> ManyRuns:
    """Run over one packet after the other, as `BpfRunner.run_many` does; `runtime` is its name."""
    if threads != 1:
        raise NotSupportedError(f"running on {threads} threads", runtime=runtime, alternative="use one")
    retvals, lengths = array("I"), array("Q")
    left: list[bytes] = []
    for index, packet in enumerate(packets):
        try:
            result = run(packet)
        except EbpfError as error:
            error.add_note(packet_note(index))
            raise
        retvals.append(result.retval)
        lengths.append(len(result.data))
        left.append(result.data)
    return ManyRuns(retvals, JoinedPackets(memoryview(b"".join(left)), lengths))
