"""Many packets through one program: native code takes one after the other, Python only those that it has to."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ebpf.vm import M32
from ebpf.vm.context.skb import POINTERS_SIZE
from ebpf.vm.forms import Form
from ebpf.vm.interpreter import FIRST_SLICE
from ebpf.vm.interpreter import SLICE as LONG_SLICE
from ebpf.vm.kernel import Kernel
from ebpf.vm.lane import BETWEEN_RUNS, EXIT, REFUSED, Lane, LaneCode, lane_calls
from ebpf.vm.memory import OFFSET_BITS, AddressSpace, Region
from ebpf.vm.native import (
    ARGUMENT,
    COUNT,
    CPU,
    FIELDS,
    FORM,
    HIDDEN,
    INDEX,
    LENGTHS,
    LONGEST,
    NEXT,
    OUT,
    POSITION,
    POSITIONS,
    REGIONS,
    RETVALS,
    ROOM,
    SHORTEST,
    SOURCE,
    SOURCE_SIZE,
    START,
    STARTS,
    WRITABLE,
)
from ebpf.vm.program import Program
from ebpf.vm.testrun import TestRun
from ebpf.vm.values import places_of

if TYPE_CHECKING:
    from ebpf.vm.context import Redirect

Slowly: TypeAlias = Callable[[int, int], TestRun]
_CONTEXT, _PACKET = 1, 2
"""Numbers of their regions."""
_PER_PACKET = 50
"""Instructions that are counted for a packet of a batch that was too short to be measured."""


class PacketBatch:
    """Packets, and what came of them. Threads may work on parts of their own.

    Packet i is `lengths[i]` bytes of `data` from `starts[i]` on; without `starts` it begins where the one before it
    ends. When it is done, `retvals[i]` is what the program returned, and what it left is `changed[i]`, or `lengths[i]`
    bytes of `out` from `positions[i]` on.
    """

    def __init__(self, data: memoryview, lengths: array[int], starts: array[int] | None = None) -> None:
        from ebpf.codegen.image import address_of

        self.starts, self.lengths, self.data = starts, lengths, data
        self.count = len(lengths)
        self.retvals = array("I", bytes(4 * self.count))
        self.positions = array("Q", bytes(8 * self.count))
        self.out = bytearray(sum(lengths))
        self.changed: dict[int, bytes] = {}
        self.cancelled = False
        self._views = memoryview(self.out), data
        self.source, self.target = address_of(data), address_of(self._views[0])

    def packet(self, index: int, position: int) -> memoryview:
        """Return a packet as it came; its position in `out` says where that is when there are no `starts`."""
        start = position if self.starts is None else self.starts[index]
        return self.data[start : start + self.lengths[index]]

    def set(self, index: int, position: int, retval: int, left: bytes) -> None:
        """Note the result of a packet that was copied to `position`, or would have been."""
        self.positions[index] = position
        self.retvals[index] = retval & M32
        if len(left) == self.lengths[index]:
            self.out[position : position + len(left)] = left
        else:
            self.changed[index] = left

    def finish(self) -> tuple[array[int], array[int], array[int], bytes]:
        """Return return values, positions, lengths and the bytes that packets now lie in."""
        lengths, end = self.lengths, len(self.out)
        if self.changed:
            lengths = array("Q", lengths)
        for index, packet in self.changed.items():
            self.positions[index], lengths[index] = end, len(packet)
            end += len(packet)
        return self.retvals, self.positions, lengths, b"".join((self.out, *self.changed.values()))


class OneByOne:
    """What stands in for a lane where no native code runs the program. `index` is as of PacketLane."""

    def __init__(self) -> None:
        self.index = 0

    def run(self, batch: PacketBatch, first: int, last: int, slowly: Slowly) -> None:
        """Run over packets `first` to `last` (exclusive), as PacketLane does."""
        self.index, position = first, sum(batch.lengths[:first])
        while self.index < last and not batch.cancelled:
            ran = slowly(self.index, position)
            batch.set(self.index, position, ran.retval, ran.data)
            position += batch.lengths[self.index]
            self.index += 1


class PacketLane(Lane):
    """A lane whose runs have packets of their own."""

    def __init__(self, program: Program, kernel: Kernel, form: Form, *, cpu: int, budget: int, code: LaneCode) -> None:
        from ebpf.codegen.image import address_of

        self.form = form
        self.ready = True
        """Whether the last `go_on` has come to its end; whoever wants to know makes it false before."""
        self._first = 0
        self.redirect: Redirect | None = None
        """Where the last run that Python had to finish sent its packet."""
        view = memoryview(bytearray(form.fields))
        writable, kept = form.fields_writable, POINTERS_SIZE if form.fields_writable else 0
        self._fields = Region("context", view, 0, len(view), readable=True, writable=writable, kept=kept)
        self._fields_address = address_of(view)
        super().__init__(program, kernel, cpu=cpu, budget=budget, code=code)

    def clear(self) -> None:
        super().clear()
        words, form = self.words, self.form
        packet = Region("packet", memoryview(b""), 0, 0, readable=True, writable=form.writable)
        self.state.enter(_CONTEXT, self._fields, _CONTEXT + 1)
        self.state.enter(_PACKET, packet, _PACKET + 1)
        self.state.point(_CONTEXT, _PACKET)
        words[ARGUMENT], words[REGIONS] = _CONTEXT << OFFSET_BITS, 2
        words[FORM], words[START], words[HIDDEN] = form.number, form.start, form.hidden
        words[WRITABLE], words[SHORTEST], words[LONGEST] = form.writable, form.shortest, form.longest
        words[FIELDS] = self._fields_address

    def use_again(self, kernel: Kernel, cpu: int, instructions: int | None = None) -> None:
        """Make a lane whose last batch went well, in so many instructions, ready for one on another virtual CPU."""
        self.kernel = kernel
        self.cpu = self.words[CPU] = cpu
        self.epoch.run_here()
        if instructions is None:
            instructions = _PER_PACKET * (self.words[COUNT] - self._first)
        self._owner.renew(self.code, instructions)
        if places_of(self.program) is not self.places:
            self.clear()

    def take_redirect(self) -> Redirect | None:
        """Return where the last run sent its packet, if it did. Further calls return None."""
        self.state.take_redirect(self, self.places)
        redirect, self.redirect = self.redirect, None
        return redirect

    def go_on(self, stop: int, packet: memoryview) -> tuple[int, bytes]:
        """Finish the run over a packet that native code has come back from; return r0 and what is left of the packet.

        What is left is in place, too, even after a fault, unless its length has changed.

        Raises:
            ProgramFault: as `Lane.finish` does.
        """
        self.epoch.run_here()
        context, memory = self.form.resume(bytes(packet)), AddressSpace()
        context.attach(memory)
        context.fields[:] = self._fields.data
        memory.reach(self.places)  # where the run has found values, though maps in maps may be others now
        memory.mirror = self.state
        for number, region in memory.regions.items():
            self.state.enter(number, region, self.words[NEXT])
        try:
            result = self.finish(memory, context, stop)
        finally:
            left, self.redirect = self.form.left(context), context.redirect
            if len(left) == len(packet):
                packet[:] = left
            self.state.take_back(self.places)
            self.clear()
            self.ready = True
        return result, left

    def run(self, batch: PacketBatch, first: int, last: int, slowly: Slowly, *, briefly: bool = False) -> None:
        """Run over packets `first` to `last` (exclusive) of a batch, until it is cancelled.

        `slowly(index, position)` runs over one in another way, or raises what is wrong with it. `briefly`: the GIL is
        kept at first, as getting it back may take longer than the runs.

        Raises:
            ProgramFault: as `Lane.finish` does; with kind "closed" when the kernel was, meanwhile.
        """
        self._take(batch, first, last)
        try:
            self._run(batch, slowly, briefly=briefly)
        finally:
            self._began[0] = 0  # first, and without a call: whoever keeps the error keeps the lane
            try:
                self.wake_readers()
            finally:
                self.state.take_back(self.places)

    def _run(self, batch: PacketBatch, slowly: Slowly, *, briefly: bool) -> None:
        held, released = lane_calls("ebpf_batch")
        words, call = self.words, held if briefly else released
        while True:
            self.allow(FIRST_SLICE if call is held else LONG_SLICE)
            stop = call(self.state.pointer)
            if stop == EXIT or batch.cancelled:
                self.epoch.pause()
                return
            if stop == BETWEEN_RUNS:
                self.pause()
                call = released
                continue
            call = held
            index, position = words[INDEX], words[POSITION]
            length = batch.lengths[index]
            if stop == REFUSED:
                ran = slowly(index, position)
                retval, left = ran.retval, ran.data
            else:
                retval, left = self.go_on(stop, memoryview(batch.out)[position : position + length])
            batch.set(index, position, retval, left)
            words[INDEX], words[POSITION] = index + 1, position + length
            if index + 1 < words[COUNT]:
                self.check_open()

    @property
    def index(self) -> int:
        """Which packet is next, or has failed."""
        return self.words[INDEX]

    def _take(self, batch: PacketBatch, first: int, last: int) -> None:
        words = self.words
        words[INDEX], words[COUNT] = self._first, _ = first, last
        words[SOURCE], words[SOURCE_SIZE] = batch.source, len(batch.data)
        words[STARTS] = 0 if batch.starts is None else batch.starts.buffer_info()[0]
        words[LENGTHS] = batch.lengths.buffer_info()[0]
        words[OUT], words[POSITION], words[ROOM] = batch.target, sum(batch.lengths[:first]), len(batch.out)
        words[POSITIONS], words[RETVALS] = batch.positions.buffer_info()[0], batch.retvals.buffer_info()[0]
