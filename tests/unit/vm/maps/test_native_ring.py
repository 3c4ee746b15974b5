"""Records that programs reserve in native code: the same bytes, addresses and faults as with the reference engine."""

from __future__ import annotations

from typing import cast

import pytest

from ebpf.abi.types import MapType
from ebpf.errors import ProgramFault
from ebpf.vm.context import PlainContext
from ebpf.vm.engines import choose_engine
from ebpf.vm.kernel import Kernel
from ebpf.vm.lane import Lane
from ebpf.vm.machine import Run, checked
from ebpf.vm.maps import MapShape, RingBufferMap, create_map
from tests.unit.vm.bench import StillKernel
from tests.unit.vm.maps.programs import load

RESERVE = "r1 = map_fd[1] ll\nr2 = 16\nr3 = 0\ncall bpf_ringbuf_reserve\nif r0 == 0 goto out\n"
SUBMIT = "r2 = 0\ncall bpf_ringbuf_submit\n"
END = "r0 = 0\nout: exit"


pytestmark = pytest.mark.usefixtures("native_maps")


def make() -> RingBufferMap:
    ring = create_map(MapShape(MapType.RINGBUF, 0, 0, 4096, name="ring"))
    assert isinstance(ring, RingBufferMap)
    return ring


def outcome(text: str, engine: str) -> tuple[object, ...]:
    """Run once; return r0 or what went wrong, and all that is left of it."""
    ring = make()
    run = Run(load(text, ring), cast("Kernel", StillKernel()), context=PlainContext(bytearray(8), writable=True))
    try:
        result: object = checked(run, lambda: choose_engine(engine).execute(run, run.context.attach(run.memory)))
    except ProgramFault as fault:
        result = fault.kind, str(fault), fault.regions
    assert not run.reservations
    return result, run.memory.describe(), run.memory.next_number, ring.producer(), ring.data.tobytes()


TEXTS = {
    "submitted": RESERVE + "*(u64 *)(r0 + 8) = 7\nr1 = r0\n" + SUBMIT + END,
    "discarded": RESERVE + "r1 = r0\nr2 = 0\ncall bpf_ringbuf_discard\n" + END,
    "left": RESERVE + END,
    "several": "".join(RESERVE + f"*(u64 *)(r10 - {8 * n}) = r0\n" for n in range(1, 7))
    + "".join(f"r1 = *(u64 *)(r10 - {8 * n})\n{SUBMIT}" for n in (3, 1, 6, 2, 5, 4))
    + END,
    "several, one left": "".join(RESERVE + f"*(u64 *)(r10 - {8 * n}) = r0\n" for n in range(1, 7))
    + "".join(f"r1 = *(u64 *)(r10 - {8 * n})\n{SUBMIT}" for n in (3, 1, 6, 2, 5))
    + END,
    "beyond the record": RESERVE + "*(u64 *)(r0 + 9) = 7\n" + END,
    "before the record": RESERVE + "r1 = *(u8 *)(r0 - 1)\n" + END,
    "after it is gone": RESERVE + "r6 = r0\nr1 = r0\n" + SUBMIT + "r0 = *(u8 *)(r6 + 0)\n" + END,
    "twice": RESERVE + "r6 = r0\nr1 = r0\n" + SUBMIT + "r1 = r6\n" + SUBMIT + END,
    "from its middle": RESERVE + "r1 = r0\nr1 += 8\n" + SUBMIT + END,
    "what is none": "r1 = r10\nr1 += -8\n" + SUBMIT + END,
    "with time passing": RESERVE + "r6 = r0\ncall bpf_ktime_get_ns\n*(u64 *)(r6 + 0) = r0\nr1 = r6\n" + SUBMIT + END,
    "in a function": "call f\nif r0 == 0 goto out\nr1 = r0\n" + SUBMIT + END + "\nf: " + RESERVE.replace("out", "no")
    + "no: exit",
    "too large": RESERVE.replace("r2 = 16", "r2 = 5000") + END,
    "full": RESERVE.replace("r2 = 16", "r2 = 4000")
    + "r6 = r0\n" + RESERVE.replace("goto out", "goto full") + "full: r1 = r6\n" + SUBMIT + END,
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_the_same_as_the_reference_engine(name: str) -> None:
    assert outcome(TEXTS[name], "interpreter") == outcome(TEXTS[name], "reference")


@pytest.mark.parametrize("name", TEXTS)
def test_runs_that_follow_each_other(name: str) -> None:
    ring = make()
    program = load(TEXTS[name], ring)
    code = choose_engine("interpreter").code
    assert code is not None
    kernel = cast("Kernel", StillKernel())
    lane = Lane(program, kernel, cpu=0, budget=1 << 16, code=code(program, kernel))
    expected = outcome(TEXTS[name], "reference")
    times = 3 if expected[3] * 3 < 4096 else 1
    try:
        result: object = lane.repeat(PlainContext(bytearray(8), writable=True), times)
    except ProgramFault as fault:
        result, times = (fault.kind, str(fault), fault.regions), 1
    assert result == expected[0]
    assert ring.producer() == times * cast("int", expected[3])


def test_a_reader_is_woken_after_the_run() -> None:
    ring = make()
    woken: list[int] = []
    ring.listeners.append(lambda: woken.append(ring.producer()))
    run = Run(load(TEXTS["submitted"], ring), cast("Kernel", StillKernel()))
    assert choose_engine("interpreter").execute(run, 0) == 0
    assert woken == [24]
