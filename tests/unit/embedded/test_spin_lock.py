"""Spin locks that native code takes: runs end as with the reference engine, and nobody else is inside meanwhile."""

from __future__ import annotations

import threading
from collections import Counter
from typing import cast

import pytest

from ebpf.abi.types import MapType, ProgramType
from ebpf.asm.instructions import Instructions
from ebpf.errors import ProgramFault
from ebpf.vm.context import PlainContext
from ebpf.vm.engines import Engine, choose_engine
from ebpf.vm.helpers.lock import release_all
from ebpf.vm.kernel import Kernel
from ebpf.vm.lane import Lane
from ebpf.vm.machine import Run, checked
from ebpf.vm.maps import Map, MapShape, create_map
from ebpf.vm.program import LoadRequest, Program, load_program
from tests.unit.vm.bench import StillKernel

pytestmark = pytest.mark.usefixtures("engine")

FIND = """
    *(u32 *)(r10 - 4) = 1
    r1 = map_fd[1] ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r6 = r0
"""
LOCK = "r1 = r6\nr1 += 4\ncall bpf_spin_lock\n"
UNLOCK = "r1 = r6\nr1 += 4\ncall bpf_spin_unlock\n"
COUNT = "r7 = *(u64 *)(r6 + 8)\nr7 += 1\n*(u64 *)(r6 + 8) = r7\n"
END = "r0 = 0\nout: exit"
FINE = FIND + LOCK + COUNT + UNLOCK + END
TEXTS = {
    "fine": FINE,
    "twice, one after the other": FIND + (LOCK + COUNT + UNLOCK) * 2 + END,
    "left held": FIND + LOCK + COUNT + END,
    "left held by a fault": FIND + LOCK + COUNT + "r1 = *(u64 *)(r6 + 9)\n" + END,
    "a helper inside": FIND + LOCK + "call bpf_ktime_get_ns\n" + UNLOCK + END,
    "taken twice": FIND + LOCK + LOCK + END,
    "not held": FIND + UNLOCK + END,
    "freed twice": FIND + LOCK + UNLOCK + UNLOCK + END,
    "another place freed": FIND + LOCK + "r1 = r6\ncall bpf_spin_unlock\n" + END,
    "not the lock": FIND + "r1 = r6\nr1 += 8\ncall bpf_spin_lock\n" + END,
    "time passes inside": FIND + LOCK + "r7 = 40000\nl: r7 += -1\nif r7 != 0 goto l\n" + COUNT + UNLOCK + END,
}


def make() -> Map:
    return create_map(MapShape(MapType.ARRAY, 4, 16, 2, name="locked", lock_offset=4))


def load(text: str, map_: Map) -> Program:
    code = Instructions.from_asm(text).encode()
    request = LoadRequest(type=ProgramType.SYSCALL, insns=code, license="GPL", map_by_fd={1: map_}.get)
    return load_program(request, lambda line: None)


def value_of(map_: Map) -> bytes:
    view = map_.lookup(b"\1\0\0\0")
    assert view is not None
    return view.tobytes()


def outcome(text: str, engine: Engine) -> tuple[object, ...]:
    """Run once; return r0 or what went wrong, and what is left in the value, lock included."""
    map_ = make()
    run = Run(load(text, map_), cast("Kernel", StillKernel()), context=PlainContext(bytearray(8), writable=True))
    try:
        result: object = checked(run, lambda: engine.execute(run, run.context.attach(run.memory)))
    except ProgramFault as fault:
        result = fault.kind, str(fault), fault.regions
    return result, run.memory.describe(), value_of(map_)


@pytest.mark.parametrize("name", TEXTS)
def test_the_same_as_the_reference_engine(name: str, engine: Engine) -> None:
    assert outcome(TEXTS[name], engine) == outcome(TEXTS[name], choose_engine("reference"))


@pytest.mark.parametrize("name", TEXTS)
def test_runs_that_follow_each_other(name: str, engine: Engine) -> None:
    if engine.code is None:
        pytest.skip("needs an engine of native code")
    expected = outcome(TEXTS[name], choose_engine("reference"))
    map_ = make()
    program, times = load(TEXTS[name], map_), 3
    kernel = cast("Kernel", StillKernel())
    lane = Lane(program, kernel, cpu=0, budget=1 << 20, code=engine.code(program, kernel))
    try:
        result: object = lane.repeat(PlainContext(bytearray(8), writable=True), times)
    except ProgramFault as fault:
        result, times = (fault.kind, str(fault), fault.regions), 1
    assert result == expected[0]
    counted = int.from_bytes(cast("bytes", expected[2])[8:], "little")
    assert value_of(map_) == bytes(8) + (times * counted).to_bytes(8, "little")


def test_native_code_takes_and_frees_them(asked: Counter[int], engine: Engine) -> None:
    assert outcome(FINE, engine)[0] == 0
    assert (asked.total() > 0) == (engine.code is None)


def test_one_at_a_time_whoever_they_are(engine: Engine) -> None:
    """The same count, not atomic, by two threads in native code, which don't hold the GIL, and one in Python."""
    map_ = make()
    program, kernel = load(FINE, map_), cast("Kernel", StillKernel())
    if engine.code is None:
        pytest.skip("needs an engine of native code")
    lanes = [Lane(program, kernel, cpu=0, budget=1 << 16, code=engine.code(program, kernel)) for _ in range(2)]

    def slowly() -> None:
        for _ in range(100):
            run = Run(program, kernel, context=PlainContext(bytearray(8), writable=True))
            checked(run, lambda run=run: choose_engine("reference").execute(run, 0))  # type: ignore[misc]  # bound

    threads = [
        threading.Thread(target=lane.repeat, args=(PlainContext(bytearray(8), writable=True), 20_000)) for lane in lanes
    ]
    threads.append(threading.Thread(target=slowly))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert value_of(map_) == bytes(8) + (40_100).to_bytes(8, "little")


def test_a_lock_that_is_freed_is_forgotten_before_the_next_one() -> None:
    """Ctrl-C comes in between: who frees the rest later must not free what another run has taken since."""

    class Interrupting:
        def __setitem__(self, place: slice, data: bytes) -> None:
            raise KeyboardInterrupt

    program = load(TEXTS["time passes inside"], make())
    run = Run(program, cast("Kernel", StillKernel()))
    run.locks = {1: bytearray(b"\1\0\0\0"), 2: Interrupting()}
    with pytest.raises(KeyboardInterrupt):
        release_all(run)
    assert list(run.locks) == [2]


def test_an_interrupted_run_frees_its_lock(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes when native code has just come back, or asks, in the middle of the run."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if engine.code is None:
        pytest.skip("needs an engine of native code")
    monkeypatch.setattr(Lane, "finish" if engine.name == "interpreter" else "answer", interrupt)
    map_ = make()
    program = load(TEXTS["time passes inside"], map_)
    kernel = cast("Kernel", StillKernel())
    lane = Lane(program, kernel, cpu=0, budget=1 << 20, code=engine.code(program, kernel))
    with pytest.raises(KeyboardInterrupt):
        lane.repeat(PlainContext(bytearray(8), writable=True), 3)
    assert value_of(map_) == bytes(16)
