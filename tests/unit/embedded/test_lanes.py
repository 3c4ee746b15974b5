"""Runs that follow each other in native code, and the rest of the kernel: tail calls, forks, the end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

import ebpf.codegen.builtin
from ebpf.abi.types import Cmd, MapType, ProgramType
from ebpf.errors import ProgramFault, SystemCallError
from ebpf.objects.packets import gather
from ebpf.runtime.attrs import MapElem
from ebpf.runtime.base import Runner
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.facts import ProgramFacts
from ebpf.runtime.joined import JoinedPackets
from ebpf.vm.engines import choose_engine
from tests.unit.embedded_programs import Limits, created, kernel, load

pytestmark = pytest.mark.usefixtures("engine")

PACKET = bytes(range(64))
TAIL = """
    *(u32 *)(r10 - 4) = 7
    r2 = map_fd[{targets}] ll
    r3 = 0
    call 12
    r0 = 1
    exit
"""
TARGET = "r2 = *(u32 *)(r1 + 0)\nr3 = 9\n*(u8 *)(r2 + 1) = r3\nr0 = *(u32 *)(r10 - 4)\nr0 += 40\nexit"
LONG = "r0 = 1\nr2 = 40000\nl:\nr0 *= 25173\nr0 ^= r2\nr2 += -1\nif r2 != 0 goto l\nexit"
"""Some hundred thousand instructions that no compiler does without."""


def three_ways(runner: Runner, count: int = 5) -> list[list[tuple[int, bytes]]]:
    """Run over the same packet by itself, in a batch, and in place."""
    alone = [runner.run(PACKET) for _ in range(count)]
    batch = runner.run_many(gather([PACKET] * count))
    call, buffers = runner.function(), [bytearray(PACKET) for _ in range(count)]
    return [
        [(result.retval, result.data) for result in alone],
        [(retval, bytes(packet)) for retval, packet in zip(batch.retvals, batch.packets, strict=True)],
        [(call(buffer), bytes(buffer)) for buffer in buffers],
    ]


@contextmanager
def tail_caller(**options: Any) -> Iterator[tuple[EmbeddedRuntime, Runner, Callable[[], None]]]:
    """A program that calls another one in its tail, and what takes the other one out."""
    with kernel(**options) as runtime:
        targets = created(runtime, MapType.PROG_ARRAY, 4, 4, 1)
        target, caller = load(runtime, TARGET), load(runtime, TAIL, targets=targets)
        with targets.handle.borrow() as fd, target.handle.borrow() as number:
            value = number.to_bytes(4, "little")
            runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=bytes(4), value=value))

        def remove() -> None:
            with targets.handle.borrow() as fd:
                runtime.bpf(Cmd.MAP_DELETE_ELEM, MapElem(map_fd=fd, key=bytes(4)))

        try:
            yield runtime, runtime.runner(caller), remove
        finally:
            for facts in (caller, target, targets):
                facts.handle.close()


def test_tail_calls_leave_native_code_and_come_back() -> None:
    with tail_caller() as (_, runner, remove):
        expected = [(40, PACKET[:1] + b"\x09" + PACKET[2:])] * 5
        assert three_ways(runner) == [expected] * 3
        assert runner.run(PACKET, repeat=4).retval == 40
        remove()
        assert three_ways(runner) == [[(1, PACKET)] * 5] * 3


def test_a_batch_may_be_as_long_as_a_region_is_high() -> None:
    """A region that is left is struck off the reserved records: from these alone, not from what a lane counts."""
    with tail_caller() as (_, runner, _):
        for count in range(1, 20):
            assert runner.run_many(gather([PACKET] * count)).retvals.tolist() == [40] * count


def test_a_forked_child_goes_on_by_itself() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    with kernel(cpus=2) as runtime:
        facts = load(runtime, "call 5\nr0 = 3\nexit")
        runner = runtime.runner(facts)
        call = runner.function()
        assert call(bytearray(64)) == 3
        child = os.fork()
        if not child:
            try:
                right = call(bytearray(64)) == 3 and list(runner.run_many(gather([PACKET] * 3)).retvals) == [3] * 3
                os._exit(0 if right else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert call(bytearray(64)) == 3
        facts.handle.close()


def test_a_fork_in_the_middle_of_a_run_leaves_the_child_able_to_run() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    children: list[int] = []
    calls: list[Callable[..., int]] = []

    def clock() -> int:
        if calls and not children and threading.current_thread() is threading.main_thread():
            children.append(0)
            children[0] = os.fork()
        return 5

    with kernel(clock=clock) as runtime:
        facts = load(runtime, "call 5\nr0 = 3\nexit")
        calls.append(runtime.runner(facts).function())
        results = [calls[0](bytearray(64)), calls[0](bytearray(64))]
        if not children[0]:
            os._exit(results != [3, 3])
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
        assert results == [3, 3]
        facts.handle.close()


def test_without_a_gil_the_function_is_python(monkeypatch: pytest.MonkeyPatch) -> None:
    if choose_engine().name == "reference":
        pytest.skip("needs an engine of native code")
    monkeypatch.setattr(ebpf.codegen.builtin, "obstacle", lambda: "this Python has no GIL")
    with kernel() as runtime:
        facts = load(runtime, "r0 = 3\nexit")
        call = runtime.runner(facts).function()
        assert repr(call) == "<function of program 'program', not native: this Python has no GIL>"
        assert call(bytearray(64)) == 3
        facts.handle.close()


def closes_within(seconds: float, facts: ProgramFacts, runtime: EmbeddedRuntime, work: Callable[[], object]) -> None:
    caught: list[str] = []

    def body() -> None:
        try:
            work()
        except ProgramFault as fault:
            caught.append(fault.kind)

    thread = threading.Thread(target=body)
    thread.start()
    time.sleep(0.3)
    started = time.monotonic()
    runtime.close()
    thread.join(20)
    assert not thread.is_alive()
    assert time.monotonic() - started < seconds
    assert caught == ["closed"]
    facts.handle.close()


def test_closing_the_kernel_ends_repeats() -> None:
    with kernel() as runtime:
        facts = load(runtime, "r0 = 1\nexit")
        closes_within(1, facts, runtime, lambda: runtime.runner(facts).run(PACKET, repeat=1 << 31))


def test_closing_the_kernel_ends_a_long_batch() -> None:
    with kernel() as runtime:
        facts = load(runtime, LONG)
        packets = gather([PACKET] * 50_000)
        closes_within(1, facts, runtime, lambda: runtime.runner(facts).run_many(packets))


HUNDRED_RUNS: dict[str, Callable[[Runner], object]] = {
    "repeat": lambda runner: runner.run(PACKET, repeat=100),
    "one thread": lambda runner: runner.run_many(gather([PACKET] * 100)),
    "two threads": lambda runner: runner.run_many(gather([PACKET] * 100), threads=2),
}


@pytest.mark.parametrize("way", HUNDRED_RUNS)
def test_no_run_begins_on_a_closed_kernel(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every run comes back to Python, no slice of instructions is ever used up."""
    with tail_caller(cpus=2) as (runtime, runner, _):
        lookups, late = [], []

        def look_up(_array: object, index: int) -> None:
            if runtime.state.closed:
                late.append(index)
            lookups.append(index)
            if len(lookups) >= 3:
                runtime.close()

        monkeypatch.setattr(runtime.state, "program_of", look_up)
        with pytest.raises(ProgramFault) as caught:
            HUNDRED_RUNS[way](runner)
        assert caught.value.kind == "closed"
        assert len(late) <= (way == "two threads")  # the other one may be in the middle of a run


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("lengths", [[64] * 9, [64] * 3 + [5] + [64] * 4 + [5]])
def test_nothing_is_kept_of_a_batch(lengths: list[int], threads: int, without_collector: None) -> None:
    data = bytearray(sum(lengths))
    with tail_caller(cpus=threads) as (_, runner, _):
        with pytest.raises(SystemCallError) if 5 in lengths else nullcontext():
            runner.run_many(JoinedPackets(memoryview(data), array("Q", lengths)), threads=threads)
        data.append(1)  # a BufferError while there is a view of it


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no way to send Ctrl-C to one process")
@pytest.mark.parametrize("what", ["run(bytes(64), repeat=1 << 31)", "run_many(gather([bytes(64)] * 100_000))"])
def test_ctrl_c_ends_them(what: str) -> None:
    code = f"""
import os, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from ebpf.objects.packets import gather
from tests.unit.embedded_programs import kernel, load
with kernel() as runtime:
    facts = load(runtime, {LONG!r})
    runner = runtime.runner(facts)
    runner.run(bytes(64), repeat=2)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    started = time.monotonic()
    try:
        runner.{what}
    except KeyboardInterrupt:
        print("stopped" if time.monotonic() - started < 3 else "late")
    facts.handle.close()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout == "stopped\n", run.stderr


def test_the_gil_is_free_meanwhile() -> None:
    if choose_engine().name == "reference":
        pytest.skip("needs an engine of native code")
    with kernel(limits=Limits(budget=1 << 30)) as runtime:
        facts = load(runtime, LONG)
        runner, steps, done = runtime.runner(facts), [0], threading.Event()

        def count() -> None:
            while not done.wait(0.001):
                steps[0] += 1

        thread = threading.Thread(target=count)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(10)  # whoever has the GIL keeps it, unless it is given up
        try:
            thread.start()
            steps[0] = 0
            runner.run_many(gather([PACKET] * 2000))
            assert steps[0] > 3
        finally:
            done.set()
            sys.setswitchinterval(interval)
            thread.join()
        facts.handle.close()


def test_types_without_packets_have_their_own_errors() -> None:
    with kernel() as runtime:
        facts = load(runtime, "r0 = 1\nexit", ProgramType.RAW_TRACEPOINT)
        with pytest.raises(OSError, match="takes a context") as caught:
            runtime.runner(facts).run_many(gather([PACKET]))
        assert caught.value.__notes__ == ["packet 0 of the batch"]
        facts.handle.close()
