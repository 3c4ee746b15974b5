"""One run for each of many packets: on the caller's thread, or on several threads with a virtual CPU each."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from ebpf.abi.types import Cmd
from ebpf.errors import EbpfError, NotSupportedError, ProgramFault
from ebpf.runtime.errors import system_call_error
from ebpf.runtime.joined import JoinedPackets, ManyRuns, packet_note
from ebpf.vm.batch import OneByOne, PacketBatch, PacketLane
from ebpf.vm.fault import Rejected
from ebpf.vm.forms import form_of
from ebpf.vm.machine import check_open_between_runs
from ebpf.vm.testrun import TestRequest, TestRun, test_run

if TYPE_CHECKING:
    from ebpf.runtime.embedded.objects import ProgramObject
    from ebpf.runtime.embedded.state import State
    from ebpf.vm.engines import Engine
    from ebpf.vm.kernel import Kernel

_LOOK = 0.05
"""Seconds between two looks of the caller at signals, while other threads work."""


def run_many(
    state: State,
    program: ProgramObject,
    engine: Engine,
    packets: JoinedPackets,
    threads: int,
    *,
    spare: list[PacketLane],
) -> ManyRuns:
    """Run over all packets, each thread over its share of them, in their order.

    `spare` are lanes of the same program and engine that nobody uses.

    Raises NotSupportedError for more threads than virtual CPUs, and what a run raises; the first error ends all.
    """
    if threads > state.cpu_count:
        what = f"running on {threads} threads with {state.cpu_count} virtual CPUs"
        raise NotSupportedError(what, runtime="embedded", alternative=f"make the runtime with cpus={threads}")
    batch = PacketBatch(packets.data, packets.lengths, None if packets.adjacent else packets.offsets)
    work = _Work(state, program, engine, batch, spare)
    shares = min(threads, len(packets)) or 1
    edges = [len(packets) * share // shares for share in range(shares + 1)]
    if shares == 1 or state.cpus.owned_here:
        work.run(0, len(packets))
    else:
        work.spread(edges)
    retvals, positions, lengths, data = batch.finish()
    return ManyRuns(retvals, JoinedPackets(memoryview(data), lengths, positions))


def _await_end(thread: threading.Thread) -> None:
    """Join a thread, unless it was never started."""
    while thread.ident is not None:
        try:
            thread.join()
        except RuntimeError:  # it runs, and has not said so yet: start() was interrupted
            time.sleep(0)
        else:
            return


class _Interruptible:
    """The kernel as the runs of a batch see it: closed, too, once the batch is cancelled."""

    def __init__(self, state: State, batch: PacketBatch) -> None:
        self._state = state
        self._batch = batch

    @property
    def closed(self) -> bool:
        return self._batch.cancelled or self._state.closed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)


class _Work:
    """A batch, the program that it goes through, and how its threads end."""

    def __init__(
        self, state: State, program: ProgramObject, engine: Engine, batch: PacketBatch, spare: list[PacketLane]
    ) -> None:
        self._state = state
        self._spare = spare
        self._kernel = cast("Kernel", _Interruptible(state, batch))
        self._program = program
        self._engine = engine
        self._batch = batch
        self._failures: dict[int, BaseException] = {}

    def spread(self, edges: list[int]) -> None:
        """Run the shares between the edges on a thread each."""
        threads = [
            threading.Thread(target=self._share, args=share, name=f"ebpf packets {share[0]}")
            for share in pairwise(edges)
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK)
        finally:
            self._batch.cancelled = True
            for thread in threads:
                _await_end(thread)
        if self._failures:
            failures, self._failures = self._failures, {}  # their tracebacks hold this object, and it the batch
            raise failures.pop(min(failures))

    def _share(self, first: int, last: int) -> None:
        if self._batch.cancelled:
            return  # the caller was interrupted while it started this thread, and does not wait for it
        try:
            self.run(first, last)
        except BaseException as error:  # noqa: BLE001 - handed over whole to the caller
            if not self._follows(error):
                self._failures[first] = error
            self._batch.cancelled = True

    def _follows(self, error: BaseException) -> bool:
        """Tell whether a share ends like this because another one, or the caller, has ended."""
        closed = isinstance(error, ProgramFault) and error.kind == "closed"
        return closed and self._batch.cancelled and not self._state.closed

    def run(self, first: int, last: int) -> None:
        """Run over packets `first` to `last` (exclusive) on one virtual CPU."""
        if self._state.cpus.run(self._program, lambda cpu: self._run_on(cpu, first, last), check=self._check) is None:
            # The program runs already, further out on this thread: as in the kernel, it is not entered again.
            with self._program.lock:
                self._program.recursion_misses += last - first
            OneByOne().run(self._batch, first, last, lambda *place: TestRun(0, bytes(self._batch.packet(*place))))

    def _check(self) -> None:
        check_open_between_runs(self._program.program, self._kernel)

    def _run_on(self, cpu: int, first: int, last: int) -> bool:
        lane = self._lane(cpu)
        started = time.perf_counter_ns()
        try:
            lane.run(self._batch, first, last, lambda index, position: self._run_one(cpu, index, position))
        except EbpfError as error:
            error.add_note(packet_note(lane.index))
            raise
        finally:
            if self._state.statistics:
                self._program.count_run(lane.index - first, time.perf_counter_ns() - started)
        # One that was cancelled may be in the middle of a run.
        if isinstance(lane, PacketLane) and not self._batch.cancelled and len(self._spare) < self._state.cpu_count:
            lane.kernel = self._state  # and not the batch's, with packets that are the caller's
            self._spare.append(lane)
            if self._state.closed:  # asked last: whoever closes it says so before it clears
                self._spare.clear()
        return True

    def _lane(self, cpu: int) -> PacketLane | OneByOne:
        program, form = self._program.program, form_of(self._program.program)
        if self._engine.code is None or form is None:
            return OneByOne()
        try:
            lane = self._spare.pop()
        except IndexError:
            pass
        else:
            lane.use_again(self._kernel, cpu)
            return lane
        code, budget = self._engine.code(program, self._kernel), self._state.limits.budget
        return PacketLane(program, self._kernel, form, cpu=cpu, budget=budget, code=code)

    def _run_one(self, cpu: int, index: int, position: int) -> TestRun:
        self._check()
        request = TestRequest(data=bytes(self._batch.packet(index, position)), repeat=1, wants_data=True)
        state = self._state
        try:
            return test_run(
                self._program.program,
                self._kernel,
                request,
                on_cpu=cpu,
                cpus=state.cpu_count,
                budget=state.limits.budget,
                engine=self._engine,
            )
        except Rejected as error:
            raise system_call_error(Cmd.PROG_TEST_RUN, error.errno, message=error.message) from None
