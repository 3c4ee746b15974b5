"""Runs of more than one slice of instructions, in lanes: compiled code asks Python for more, and goes on."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import FrameType
from weakref import ref

import pytest

from ebpf.abi.types import MapType
from ebpf.errors import ProgramFault
from ebpf.objects.packets import gather
from ebpf.runtime.base import Runner
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.info import program_info
from ebpf.vm import epochs
from ebpf.vm.interpreter import FIRST_SLICE, SLICE
from ebpf.vm.lane import Lane
from tests.unit.embedded_programs import Limits, created, kernel, load

pytestmark = pytest.mark.usefixtures("jit")

PACKET = bytes(64)
TURNS = 3 * SLICE // 4
LOOP = "l:\nr0 *= 25173\nr0 ^= r2\nr2 += -1\nif r2 != 0 goto l\nr0 &= 0xffff\nexit"
LONG = f"r0 = 1\nr2 = {TURNS}\n{LOOP}"
PER_CPU = f"""
    *(u32 *)(r10 - 4) = 0
    r1 = map_fd[{{counts}}] ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r6 = r0
    r7 = *(u64 *)(r6 + 0)
    r0 = 1
    r2 = {TURNS}
l:
    r0 *= 25173
    r0 ^= r2
    r2 += -1
    if r2 != 0 goto l
    r7 += 1
    *(u64 *)(r6 + 0) = r7
    r0 &= 0xffff
out:
    exit
"""
"""Counts its runs: two at once on one CPU would lose one."""


def in_place(runner: Runner) -> Callable[[], int]:
    function = runner.function()
    return lambda: function(bytearray(PACKET))


WAYS: dict[str, Callable[[Runner], Callable[[], int]]] = {
    "alone": lambda runner: lambda: runner.run(PACKET).retval,
    "repeated": lambda runner: lambda: runner.run(PACKET, repeat=2).retval,
    "in a batch": lambda runner: lambda: runner.run_many(gather([PACKET] * 2)).retvals[1],
    "in place": in_place,
}


@contextmanager
def running(way: str, *, budget: int = 1 << 40) -> Iterator[tuple[EmbeddedRuntime, Callable[[], int]]]:
    """A kernel, and what runs the program on it, which has run before."""
    with kernel(limits=Limits(budget=budget), cpus=2) as runtime:
        facts = load(runtime, LONG)
        runner = runtime.runner(facts, engine="jit")
        run = WAYS[way](runner)
        if budget > TURNS * 4:
            run()
        yield runtime, run
        facts.handle.close()


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Why lanes have left runs to the interpreter."""
    stops: list[int] = []
    finish = Lane.finish

    def finished(self: Lane, memory: object, context: object, stop: int) -> int:
        stops.append(stop)
        return finish(self, memory, context, stop)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(Lane, "finish", finished)
    return stops


@cache
def expected() -> int:
    """What the program returns."""
    value = 1
    for turn in range(TURNS, 0, -1):
        value = value * 25173 & (1 << 64) - 1 ^ turn
    return value & 0xFFFF


@pytest.mark.parametrize("way", WAYS)
def test_they_stay_in_compiled_code(way: str, left: list[int]) -> None:
    with running(way) as (_, run):
        assert run() == run() == expected()
    assert not left


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("budget", [FIRST_SLICE + 100, SLICE + FIRST_SLICE + 100])
def test_the_budget_ends_them(way: str, budget: int) -> None:
    with running(way, budget=budget) as (_, run):
        for _ in range(2):
            with pytest.raises(ProgramFault) as caught:
                run()
            assert caught.value.kind == "budget"


def for_ever(run: Callable[[], int], timer: threading.Timer) -> None:
    """Run until the timer's interrupt, which may come before it says that it has started."""
    timer.start()
    while True:
        run()


@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_ends_them_and_the_next_one_runs(way: str) -> None:
    with running(way) as (_, run):
        for _ in range(3):
            timer = threading.Timer(0.001, signal.raise_signal, [signal.SIGINT])
            with pytest.raises(KeyboardInterrupt):
                for_ever(run, timer)
            timer.join()
            assert run() == expected()


def test_other_threads_run_meanwhile() -> None:
    """A function keeps the GIL from one slice to the next: its lane and its CPU are its own all the same."""
    interval = sys.getswitchinterval()
    with kernel(limits=Limits(budget=1 << 40), cpus=3) as runtime:
        counts = created(runtime, MapType.PERCPU_ARRAY, 4, 8, 1)
        facts = load(runtime, LONG)
        shared = load(runtime, PER_CPU, counts=counts)
        function = runtime.runner(shared, engine="jit").function()
        plain = runtime.runner(facts, engine="jit")
        want, ends = function(bytearray(PACKET)), []
        sys.setswitchinterval(1e-5)
        try:
            threads = [
                threading.Thread(target=lambda: ends.extend(function(bytearray(PACKET)) for _ in range(6)))
                for _ in range(3)
            ]
            for thread in threads:
                thread.start()
            for _ in range(6):
                assert plain.run(PACKET).retval == want
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)
        assert ends == [want] * 18
        with counts.handle.borrow() as fd:
            map_ = runtime.state.handles.map_file(fd)[1].map
        values = [map_.lookup(bytes(4), cpu) for cpu in range(3)]
        assert sum(int.from_bytes(bytes(value), "little") for value in values if value is not None) == 19
        for thing in (facts, shared, counts):
            thing.handle.close()


def test_a_signal_handler_may_run_the_same_program(monkeypatch: pytest.MonkeyPatch) -> None:
    with running("in place") as (_, run):
        seen: list[int] = []

        def handler(*_: object) -> None:
            seen.append(run())

        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            end = time.monotonic() + 30
            while not seen and time.monotonic() < end:
                assert run() == expected()
        finally:
            signal.signal(signal.SIGALRM, before)
        assert seen
        assert run() == expected()


def test_a_function_that_asks_is_not_entered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal is handled while it asks: it is skipped there, and so is what runs there already."""
    seen: list[int] = []
    again: list[Runner] = []

    def clock() -> int:
        seen.extend(runner.run(PACKET).retval for runner in again)
        return 5

    with kernel(limits=Limits(budget=1 << 40), cpus=2, clock=clock) as runtime:
        facts, other = load(runtime, LONG), load(runtime, "call bpf_ktime_get_ns\nr0 += 2\nexit")
        runner, others = runtime.runner(facts, engine="jit"), runtime.runner(other, engine="jit")
        function = runner.function()
        answer = Lane.answer

        def handled(self: Lane) -> None:
            monkeypatch.undo()
            again.append(others)
            seen.extend((runner.run(PACKET).retval, function(bytearray(PACKET)), others.run(PACKET).retval))
            seen.extend(runner.run_many(gather([PACKET] * 3)).retvals)
            answer(self)

        monkeypatch.setattr(Lane, "answer", handled)
        assert function(bytearray(PACKET)) == function(bytearray(PACKET)) == expected()
        assert seen == [0, 0, 0, 7, 0, 0, 0]
        misses = [program_info(runtime, program.handle).recursion_misses for program in (facts, other)]
        assert misses == [5, 1]
        assert runtime.state.cpus.busy == 0
        for thing in (facts, other):
            thing.handle.close()


def test_two_interrupts_leave_a_function_in_compiled_code(
    left: list[int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The second comes before Python has taken over the run that the first one ends."""

    def interrupt(self: Lane) -> None:
        raise KeyboardInterrupt

    def before(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name == "take_over":
            raise KeyboardInterrupt

    with running("in place") as (_, run):
        monkeypatch.setattr(Lane, "answer", interrupt)
        sys.setprofile(before)
        try:
            with pytest.raises(KeyboardInterrupt):
                run()
        finally:
            sys.setprofile(None)
        monkeypatch.undo()
        assert [run() for _ in range(3)] == [expected()] * 3
        assert len(left) <= 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("how", ["well", "interrupted", "out of budget"])
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_kept_of_what_is_dropped(way: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector counts objects, and not the bytes of maps and code."""
    lanes: list[ref[Lane]] = []
    answer = Lane.answer

    def asked(self: Lane) -> None:
        lanes.append(ref(self))
        if how == "interrupted":
            raise KeyboardInterrupt
        answer(self)

    def runs() -> None:
        with running(way, budget=2 * SLICE if how == "out of budget" else 1 << 40) as (_, run):
            monkeypatch.setattr(Lane, "answer", asked)
            for _ in range(2):
                with suppress(KeyboardInterrupt, ProgramFault):
                    run()

    gc.collect()
    gc.disable()
    try:
        runs()
        assert lanes
        assert not any(lane() for lane in lanes)
    finally:
        gc.enable()


@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_of_the_thread_that_it_is_on(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for memory that runs hold waits for those of other threads only, whoever made their lanes."""
    seen: list[bool] = []

    def asked(self: Lane) -> None:
        epochs.older_runs()  # takes back what was dropped
        other = threading.Thread(target=lambda: seen.append(epochs.older_runs()))
        other.start()
        other.join()
        seen.append(epochs.older_runs())
        monkeypatch.undo()

    made: list[Callable[[], int]] = []
    with kernel(limits=Limits(budget=1 << 40), cpus=2) as runtime:
        facts = load(runtime, LONG)
        maker = threading.Thread(target=lambda: made.append(WAYS[way](runtime.runner(facts, engine="jit"))))
        maker.start()
        maker.join()
        user = threading.Thread(target=lambda: (made[0](), made[0]()))
        user.start()
        user.join()
        monkeypatch.setattr(Lane, "wake_readers", asked)
        made[0]()
        assert seen == [True, False]
        facts.handle.close()


@pytest.mark.parametrize("how", ["budget", "before Python goes on", "while it asks"])
@pytest.mark.parametrize("way", WAYS)
def test_an_error_that_is_kept_holds_no_memory_of_maps_back(
    way: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an interactive Python keeps the last one, and with it the lane."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    errors: list[BaseException] = []
    with running(way, budget=2 * SLICE) as (_, run):
        with pytest.raises(ProgramFault):
            run()
        if how != "budget":
            monkeypatch.setattr(Lane, "finish" if how == "before Python goes on" else "answer", interrupt)
        try:
            run()
        except (KeyboardInterrupt, ProgramFault) as error:
            errors.append(error)
        finally:
            monkeypatch.undo()
        epochs.older_runs()  # takes back what was dropped
        assert errors
        assert not any(epochs.WORDS[2:])
