"""Runs over one bare packet after the other, as BPF_PROG_TEST_RUN does them, in lanes that are kept meanwhile."""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING

from ebpf.vm import M64
from ebpf.vm.epochs import is_scarce
from ebpf.vm.native import FUEL, GIVEN
from ebpf.vm.testrun import LONGEST_DURATION, TestRequest, TestRun, carried_out, test_run

if TYPE_CHECKING:
    from ebpf.vm.batch import PacketLane
    from ebpf.vm.engines import Engine
    from ebpf.vm.kernel import Kernel
    from ebpf.vm.program import Program

_MOST_IDLE = 16


class SingleRuns:
    """Runs of one program on one engine. Threads may share it.

    What a run needs takes longer to make than to use, so it is kept: a seat for each run that is on at the same time.
    """

    def __init__(self) -> None:
        self._idle: list[_Seat] = []

    def clear(self) -> None:
        """Keep nothing of the program and its maps, which are closed."""
        self._idle.clear()

    def test_run(
        self,
        program: Program,
        kernel: Kernel,
        request: TestRequest,
        *,
        on_cpu: int,
        cpus: int,
        budget: int,
        engine: Engine,
    ) -> TestRun:
        """Do as `testrun.test_run` does."""
        seat = self._seat(program, kernel, on_cpu, budget, engine) if _is_bare(request) else None
        if seat is not None:
            result = seat.run(request.data)
            self._keep(seat, kernel)
            if result is not None:
                return result
        return test_run(program, kernel, request, on_cpu=on_cpu, cpus=cpus, budget=budget, engine=engine)

    def _keep(self, seat: _Seat, kernel: Kernel) -> None:
        if not (seat.lane.epoch.shared or is_scarce()) and len(self._idle) < _MOST_IDLE:
            self._idle.append(seat)
            if kernel.closed:  # asked last: whoever closes it says so before it clears
                self._idle.clear()

    def _seat(self, program: Program, kernel: Kernel, cpu: int, budget: int, engine: Engine) -> _Seat | None:
        """Return a seat that nobody uses; None where there are none for such programs."""
        try:
            seat = self._idle.pop()
        except IndexError:
            return _make_seat(program, kernel, cpu, budget, engine)
        seat.lane.use_again(kernel, cpu, seat.executed)
        return seat


def _is_bare(request: TestRequest) -> bool:
    """Tell whether there is a packet and nothing beside it."""
    others = request.flags or request.cpu or request.batch_size or request.wants_ctx
    return request.repeat in (0, 1) and request.ctx is None and not others


def _make_seat(program: Program, kernel: Kernel, cpu: int, budget: int, engine: Engine) -> _Seat | None:
    if engine.code is None:
        return None
    from ebpf.vm.batch import PacketLane
    from ebpf.vm.forms import form_of

    form = form_of(program)
    if form is None:
        return None
    return _Seat(PacketLane(program, kernel, form, cpu=cpu, budget=budget, code=engine.code(program, kernel)))


class _Refused(Exception):
    """The packet is none that is run in a lane."""


def _refuse(index: int, position: int) -> TestRun:
    raise _Refused


class _Seat:
    """A lane, and room for the packet that it runs over."""

    def __init__(self, lane: PacketLane) -> None:
        from ebpf.vm.batch import PacketBatch

        longest = lane.form.longest
        self.lane, self.executed = lane, 0
        """The lane, and how many instructions its last run took."""
        self._batch = PacketBatch(memoryview(bytearray(longest)), array("Q", (longest,)))

    def run(self, packet: bytes) -> TestRun | None:
        """Run; None where this packet has to be run in another way. A seat whose run raises is not used again."""
        lane, batch, size = self.lane, self._batch, len(packet)
        self.executed = lane.executed = 0
        if not lane.form.shortest <= size <= lane.form.longest:
            return None
        batch.data[:size] = packet
        batch.lengths[0] = size
        start = time.perf_counter_ns()
        try:
            lane.run(batch, 0, 1, _refuse, briefly=True)
        except _Refused:
            return None
        duration = min(time.perf_counter_ns() - start, LONGEST_DURATION)
        self.executed = lane.executed or lane.words[GIVEN] - lane.words[FUEL] & M64
        left = batch.changed.pop(0, None)
        if left is None:
            left = bytes(batch.out[:size])
        retval = batch.retvals[0]
        redirect = carried_out(lane.take_redirect(), retval, lane.form.redirects)
        return TestRun(retval, left, duration_ns=duration, redirect=redirect)
