"""One run after the other: what is kept between them changes nothing that can be seen."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest

from ebpf.abi.types import Cmd, MapType
from ebpf.errors import ProgramFault
from ebpf.objects.packets import gather
from ebpf.runtime.attrs import MapElem
from ebpf.runtime.base import Runner
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.facts import MapFacts
from ebpf.vm import batch, epochs
from ebpf.vm.engines import VARIABLE, Engine
from ebpf.vm.maps import Map
from tests.unit.embedded_programs import Limits, created, kernel, load

if TYPE_CHECKING:
    from ebpf.codegen.image import Call

pytestmark = pytest.mark.usefixtures("engine")

PACKET = bytes(range(64))
LONG = "r0 = 1\nr2 = 40000\nl:\nr0 *= 25173\nr0 ^= r2\nr2 += -1\nif r2 != 0 goto l\nexit"
"""A hundred thousand instructions and more that no compiler does without."""
INNER = """
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = map_fd[{outer}] ll
    call bpf_map_lookup_elem
    if r0 == 0 goto none
    r1 = r0
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto none
    r0 = *(u32 *)(r0 + 0)
    exit
none:
    r0 = 99
    exit
"""
FAULTS_NOW_AND_THEN = """
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += 14
    if r4 > r3 goto out
    r5 = *(u8 *)(r2 + 0)
    r2 += r5
    r0 = *(u8 *)(r2 + 0)
    exit
out:
    r0 = 0
    exit
"""
WAYS: dict[str, Callable[[Runner], Callable[[], int]]] = {
    "alone": lambda runner: lambda: runner.run(PACKET).retval,
    "in a batch": lambda runner: lambda: runner.run_many(gather([PACKET])).retvals[0],
    "in place": lambda runner: partial(lambda function: function(bytearray(PACKET)), runner.function()),
}


def put(runtime: EmbeddedRuntime, map_: MapFacts, value: bytes) -> None:
    with map_.handle.borrow() as fd:
        runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=bytes(4), value=value))


@pytest.mark.parametrize("way", WAYS)
def test_maps_in_maps_may_be_others(way: str) -> None:
    with kernel() as runtime:
        inner = [created(runtime, MapType.ARRAY, 4, 4, 1) for _ in range(3)]
        with inner[0].handle.borrow() as fd:
            outer = created(runtime, MapType.ARRAY_OF_MAPS, 4, 4, 1, inner=fd)
        program = load(runtime, INNER, outer=outer)
        run = WAYS[way](runtime.runner(program))
        assert [run(), run()] == [99, 99]
        for number, map_ in enumerate((*inner, inner[0]), 1):
            put(runtime, map_, number.to_bytes(4, "little"))
            with map_.handle.borrow() as fd:
                put(runtime, outer, fd.to_bytes(4, "little"))
            assert [run(), run(), run()] == [number] * 3
        for thing in (program, outer, *inner):
            thing.handle.close()


@pytest.mark.parametrize("way", ["alone", "in a batch"])
def test_values_stay_while_maps_in_maps_become_others(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Native code of a batch runs without the GIL: another thread replaces a map before Python goes on with the run."""
    with kernel(clock=lambda: 5) as runtime:
        inner = [created(runtime, MapType.ARRAY, 4, 4, 1) for _ in range(3)]
        with inner[0].handle.borrow() as fd:
            outer = created(runtime, MapType.ARRAY_OF_MAPS, 4, 4, 1, inner=fd)
        for number, map_ in enumerate(inner, 1):
            put(runtime, map_, number.to_bytes(4, "little"))
        asking = INNER.replace("*(u32 *)(r0 + 0)", "*(u32 *)(r6 + 0)").replace(
            "r0 = *(", "r6 = r0\ncall bpf_ktime_get_ns\nr0 = *("
        )
        program = load(runtime, asking, outer=outer)
        place = partial(replace_inner, runtime, outer)
        place(inner[0])
        run = WAYS[way](runtime.runner(program))
        assert [run(), run()] == [1, 1]
        calls = batch.lane_calls

        def followed(name: str) -> tuple[Call, Call]:
            def following(call: Call) -> Call:
                return lambda lane: (call(lane), place(inner[1]))[0]

            held, released = calls(name)
            return following(held), following(released)

        monkeypatch.setattr(batch, "lane_calls", followed)
        assert run() == 1
        monkeypatch.undo()
        for thing in (program, outer, *inner):
            thing.handle.close()


def replace_inner(runtime: EmbeddedRuntime, outer: MapFacts, map_: MapFacts) -> None:
    with map_.handle.borrow() as fd:
        put(runtime, outer, fd.to_bytes(4, "little"))


def test_a_fault_is_one_run_s() -> None:
    good, bad = bytes([7, *range(1, 64)]), bytes([200, *range(1, 64)])
    with kernel() as runtime:
        program = load(runtime, FAULTS_NOW_AND_THEN)
        runner = runtime.runner(program)
        faults = []
        for _ in range(4):
            assert [runner.run(packet).retval for packet in (good, good[:20], good)] == [7] * 3
            with pytest.raises(ProgramFault) as caught:
                runner.run(bad)
            faults.append((str(caught.value), caught.value.insn, caught.value.address, caught.value.regions))
        assert faults == faults[:1] * 4
        program.handle.close()


def test_sizes_between_which_it_changes_the_way() -> None:
    with kernel() as runtime:
        program = load(runtime, "r0 = *(u32 *)(r1 + 4)\nr1 = *(u32 *)(r1 + 0)\nr0 -= r1\nexit")
        runner = runtime.runner(program)
        for size in (14, 3000, 3464, 3465, 3466, 4000, 9000, 64, 4001):
            first, later = runtime.runner(program).run(bytes(size)), runner.run(bytes(size))
            assert later._replace(duration_ns=0) == first._replace(duration_ns=0)
        program.handle.close()


def test_long_programs_are_compiled_after_few_runs(jit: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they execute counts, not how often they are run."""
    monkeypatch.delenv(VARIABLE, raising=False)
    with kernel() as runtime:
        program = load(runtime, LONG)
        runner = runtime.runner(program, engine="auto")
        for _ in range(4):
            runner.run(PACKET)
        end = time.monotonic() + 30
        while runner.engine != "jit":
            assert time.monotonic() < end
            time.sleep(0.01)
        program.handle.close()


def test_threads_have_lanes_of_their_own() -> None:
    with kernel(cpus=4) as runtime:
        program = load(runtime, "r1 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r1 + 5)\n*(u8 *)(r1 + 6) = r0\nexit")
        runner = runtime.runner(program)
        wrong: list[int] = []

        def work(number: int) -> None:
            packet = bytes([number]) * 64
            for _ in range(300):
                result = runner.run(packet)
                if (result.retval, result.data) != (number, packet):
                    wrong.append(result.retval)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        program.handle.close()


def test_budgets_end_every_run_alike() -> None:
    with kernel(limits=Limits(budget=50_000)) as runtime:
        program = load(runtime, LONG)
        runner = runtime.runner(program)
        for _ in range(3):
            with pytest.raises(ProgramFault) as caught:
                runner.run(PACKET)
            assert caught.value.kind == "budget"
        program.handle.close()


KEEPING: dict[str, Callable[[Runner], object]] = {
    "once": lambda runner: runner.run(PACKET),
    "alone": lambda runner: [runner.run(PACKET) for _ in range(3)],
    "in a batch": lambda runner: runner.run_many(gather([PACKET])),
}


def map_of(runtime: EmbeddedRuntime, facts: MapFacts) -> Map:
    with facts.handle.borrow() as fd:
        return runtime.state.handles.map_file(fd)[1].map


@pytest.mark.parametrize("way", KEEPING)
@pytest.mark.parametrize("ends", ["program", "kernel"])
def test_nothing_is_kept_of_a_program_that_has_ended(ends: str, way: str, without_collector: None) -> None:
    """Its maps are: lanes know where they are. The runner may stay, as that of an object which is closed."""
    with kernel() as runtime:
        facts = created(runtime, MapType.ARRAY, 4, 4, 1)
        program = load(runtime, "r1 = map_fd[{array}] ll\nr0 = 2\nexit", array=facts)
        runtime.runner(program).run(PACKET)
        gc.collect()  # what writes IR is in cycles
        runner, map_ = runtime.runner(program), weakref.ref(map_of(runtime, facts))
        KEEPING[way](runner)
        if ends == "program":
            program.handle.close()
            facts.handle.close()
        runtime.close()
        assert map_() is None
        del runner
        program.handle.close()
        facts.handle.close()


@pytest.mark.parametrize("runs", [1, 2, 3])
def test_the_last_run_of_a_kernel_may_end_it(runs: int) -> None:
    """The clock closes it, and what that says is all that the program asks for."""
    to_go = [0]

    def clock() -> int:
        to_go[0] -= 1
        if to_go[0] == 0:
            runtime.close()
        return 5

    with kernel(clock=clock) as runtime:
        program = load(runtime, "call bpf_ktime_get_ns\nexit")
        runner = runtime.runner(program)
        to_go[0] = runs
        assert [runner.run(PACKET).retval for _ in range(runs)] == [5] * runs
        program.handle.close()


def test_later_runs_take_the_same_numbers_of_repeats(engine: Engine) -> None:
    with kernel() as runtime:
        program = load(runtime, "r0 = 2\nexit")
        kept = runtime.runner(program)
        assert [kept.run(PACKET, repeat=repeat).retval for repeat in (0, 1, 2) * 2] == [2] * 6
        if engine.code is not None:
            for runner in (runtime.runner(program), kept):
                with pytest.raises(OverflowError):
                    runner.run(PACKET, repeat=-1)
        program.handle.close()


def test_many_programs_leave_epochs_to_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that finds none is Python; a run that does not keep one is as fast as a first run."""
    before = len(epochs._tickets)
    monkeypatch.setattr(epochs, "_MOST_RUNS", 2 * before + 10)
    with kernel() as runtime:
        programs = [load(runtime, f"r0 = {number}\nexit") for number in range(20)]
        runners = [runtime.runner(program) for program in programs]
        for _ in range(3):
            assert [runner.run(PACKET).retval for runner in runners] == list(range(20))
        assert len(epochs._tickets) <= before + 6
        for program in programs:
            program.handle.close()
