"""A live program (`BPF_PROG_*` commands)."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING

from ebpf.abi.linux import BPF_PROG_BIND_MAP, BPF_PROG_GET_FD_BY_ID, BPF_PROG_GET_NEXT_ID
from ebpf.objects.collection import Sources
from ebpf.objects.held import Held
from ebpf.runtime import attrs
from ebpf.runtime.facts import ProgramFacts

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.objects.map import Map
    from ebpf.objects.packets import PacketSource
    from ebpf.objects.results import ProgramStats, RunManyResult
    from ebpf.runtime.base import Runner, Runtime
    from ebpf.runtime.facts import RunResult
    from ebpf.runtime.handle import Handle
    from ebpf.runtime.info import ProgramInfo
    from ebpf.spec import ProgramSpec

_MOST_REPEATS = (1 << 32) - 1


class Program(Held):
    """A program that this object holds loaded; close it or use it as a context manager.

    Threads may share it and run it at the same time; close() from another thread lets runs in flight finish. Links
    and pins keep it loaded. == and hash() are identity.
    """

    _KIND = "program"
    _NEXT = BPF_PROG_GET_NEXT_ID
    _BY_ID = BPF_PROG_GET_FD_BY_ID

    def __init__(
        self,
        runtime: Runtime,
        handle: Handle,
        spec: ProgramSpec,
        *,
        engine: str = "auto",
        trusted: bool = False,
        verifier_log: str = "",
        sources: Sources | None = None,
    ) -> None:
        """Wrap an open handle, which this object owns from now on."""
        self.name = spec.name
        self.type = spec.type
        self.attach_type = spec.attach_type
        self.attach_to = spec.attach_to
        self.section = spec.section
        self.verifier_log = verifier_log
        super().__init__(runtime, handle)
        self.sources = sources or Sources()
        self.facts = ProgramFacts(handle, spec.type, spec.name, spec.attach_type)
        self._engine = engine
        self._trusted = trusted
        self._runner: Runner | None = None

    @staticmethod
    def _wrap(runtime: Runtime, handle: Handle) -> Program:
        """Its spec is what the kernel still knows: type and name."""
        from ebpf.asm import Instructions
        from ebpf.runtime.info import program_info
        from ebpf.spec import ProgramSpec

        try:
            info = program_info(runtime, handle)
        except BaseException:
            handle.close()
            raise
        return Program(runtime, handle, ProgramSpec(info.name, info.type, Instructions()))

    def info(self) -> ProgramInfo:
        """Ask the kernel about the program (`struct bpf_prog_info`, Linux 4.13)."""
        from ebpf.runtime.info import program_info

        return program_info(self.runtime, self._handle)

    def stats(self) -> ProgramStats:
        """Return the run statistics; all 0 while nobody enables them (sysctl kernel.bpf_stats_enabled)."""
        from ebpf.objects.results import ProgramStats

        info = self.info()
        return ProgramStats(info.run_count, info.run_time_ns, info.recursion_misses)

    @property
    def engine(self) -> str:
        """What executes the program: "kernel", or the name of an engine of the embedded runtime."""
        return str(getattr(self.runner, "engine", "kernel"))

    @property
    def engine_reason(self) -> str:
        """Why that engine was chosen."""
        return str(getattr(self.runner, "engine_reason", f"the {self.runtime.name} runtime has no other"))

    # Running

    def run(
        self,
        data: Buffer = b"",
        *,
        ctx: Buffer | None = None,
        repeat: int = 1,
        cpu: int | None = None,
        flags: int = 0,
    ) -> RunResult:
        """Run the program once (or `repeat` times) over a copy of `data` and `ctx` (BPF_PROG_TEST_RUN, Linux 4.12).

        Packets need 14 bytes at least. `repeat` has 32 bits; 0 is once, as for the kernel. `cpu` is for raw tracepoints
        (5.10). Raises SystemCallError where the type can't be run like this, ProgramFault where an embedded program
        does something forbidden.
        """
        if not 0 <= operator.index(repeat) <= _MOST_REPEATS:
            raise ValueError(f"repeat is 1 to {_MOST_REPEATS}, or 0 for once, got {repeat}")
        return self.runner.run(data, ctx=ctx, repeat=repeat, cpu=cpu, flags=flags)

    def run_many(self, packets: PacketSource, *, threads: int = 1) -> RunManyResult:
        """Run the program once over a copy of each packet, in their order.

        `packets` is an iterable of buffers; `(data, offsets)`, a buffer and n + 1 integers (a NumPy array, say) between
        which the n packets lie; a `Batch`; an Arrow column of type binary, large_binary or fixed_size_binary; or the
        path of a pcap or pcapng file of Ethernet frames, or such a file.

        On the embedded runtime packets go through native code without the GIL, and `threads`, up to its virtual CPUs,
        share them: per-CPU maps then count by thread. NotSupportedError for more, on other runtimes for more than
        one. The first error ends the batch; its note says which packet it was.
        """
        if threads < 1:
            raise ValueError(f"threads is 1 or more, got {threads}")
        from ebpf.objects.batch import Batch
        from ebpf.objects.packets import gather
        from ebpf.objects.results import RunManyResult

        done = self.runner.run_many(gather(packets), threads=threads)
        left = done.packets
        return RunManyResult(done.retvals, left.lengths, Batch(left.offsets, left.lengths, bytes(left.data)))

    def function(self) -> Callable[[Buffer], int]:
        """Return a function that runs the program over a writable buffer in place and returns its retval.

        The fast way to call a program: a builtin made of native code, some 50 ns slower than the program itself. It
        raises what run() does (ClosedError after close()), TypeError and BufferError for what is no writable buffer,
        and ValueError when the program changes the packet's length, which a buffer can't follow; after an error the
        buffer holds what the program had written by then. Threads may share it, not the buffer. Its repr says where it
        is Python instead, over a copy of the buffer, and why. NotSupportedError on other runtimes than embedded, and
        for other programs than XDP, tc, cgroup_skb and socket filters.
        """
        return self.runner.function()

    def prepare(self) -> None:
        """Make ready to run, which the first run does otherwise. NotSupportedError where the engine is not there."""
        _ = self.runner

    @property
    def runner(self) -> Runner:
        """What runs the program, by the engine that it was loaded for; threads share it.

        NotSupportedError where that engine is not there.
        """
        if self._runner is None:
            self._runner = self.runtime.runner(self.facts, engine=self._engine, trusted=self._trusted)
        return self._runner

    def bind_map(self, map_: Map) -> None:
        """Keep a map alive as long as the program, though it doesn't use it (Linux 5.10)."""
        with self._handle.borrow() as program, map_.handle.borrow() as fd:
            self.runtime.bpf(BPF_PROG_BIND_MAP, attrs.ProgBindMap(prog_fd=program, map_fd=fd))

    def __repr__(self) -> str:
        return f"<Program {self.name!r} {self.type.label}{' closed' if self.closed else ''}>"
