"""Running a program through BPF_PROG_TEST_RUN (net/bpf/test_run.c says which program type takes what)."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

from ebpf.abi.types import Cmd, ProgramType
from ebpf.errors import EbpfError, NotSupportedError
from ebpf.plain import NamedTuple
from ebpf.runtime.attrs import ProgTestRun
from ebpf.runtime.facts import JoinedPackets, ManyRuns, RunResult

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.runtime.base import Runtime
    from ebpf.runtime.facts import ProgramFacts

GROWTH = 1 << 16
"""Room for what a program may add to its packet. Too little would be ENOSPC after the program has run."""

RUN_ON_CPU = 1
"""BPF_F_TEST_RUN_ON_CPU: run on the CPU of the member `cpu` (raw tracepoints)."""


def packet_note(index: int) -> str:
    """Return what is noted on the error of one of many packets."""
    return f"packet {index} of the batch"


class Form(NamedTuple):
    """What a type's test run takes: a packet, a context of its own in and out, repeats."""

    data: bool
    ctx_out: bool
    repeat: bool


_PACKET, _CONTEXT_IN = Form(True, True, True), Form(False, False, False)
_FORMS = {
    ProgramType.RAW_TRACEPOINT: _CONTEXT_IN,
    ProgramType.SYSCALL: _CONTEXT_IN,
    ProgramType.SK_LOOKUP: Form(False, True, True),
    ProgramType.TRACING: _CONTEXT_IN,
}


class BpfRunner:
    """Runs one program. Threads may share it; its program's handle stays its owner's."""

    def __init__(self, runtime: Runtime, program: ProgramFacts) -> None:
        self._runtime = runtime
        self._program = program
        self._form = _FORMS.get(program.type, _PACKET)

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
        if threads != 1:
            raise NotSupportedError(f"running on {threads} threads", runtime=self._runtime.name, alternative="use one")
        retvals, lengths = array("I"), array("Q")
        left: list[bytes] = []
        for index, packet in enumerate(packets):
            try:
                result = self.run(packet)
            except EbpfError as error:
                error.add_note(packet_note(index))
                raise
            retvals.append(result.retval)
            lengths.append(len(result.data))
            left.append(result.data)
        return ManyRuns(retvals, JoinedPackets(memoryview(b"".join(left)), lengths))

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
