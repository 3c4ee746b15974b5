"""Programs as builtin functions: what they take, how they end, what they keep alive, and what stops them."""

from __future__ import annotations

import array
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ebpf.abi.types import Cmd, MapType, ProgramType
from ebpf.errors import ClosedError, NotSupportedError, ProgramFault, SystemCallError
from ebpf.runtime.attrs import EnableStats, MapElem
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.facts import ProgramFacts
from ebpf.runtime.info import program_info
from ebpf.vm.engines import choose_engine
from tests.threads import in_threads
from tests.unit.embedded_programs import Limits, created, kernel, load

FIRST_BYTE = "r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 0)\nr3 = 1\n*(u8 *)(r2 + 1) = r3\nexit"
ASKS = "call 5\nr0 = 7\nexit"
CUTS = "r2 = 2\ncall 44\nr0 = 2\nexit"
FAULTS = "r2 = *(u32 *)(r1 + 0)\nr3 = 1\n*(u8 *)(r2 + 1) = r3\nr0 = *(u8 *)(r2 - 1)\nexit"
FOREVER = "l:\nif r1 != 0 goto l\nexit"
COUNTS = """
    r1 = 0
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = map_fd[{m}] ll
    call 1
    if r0 == 0 goto out
    r1 = *(u64 *)(r0 + 0)
    r1 += 1
    *(u64 *)(r0 + 0) = r1
out:
    r0 = 1
    exit
"""

pytestmark = pytest.mark.usefixtures("engine")


@contextmanager
def program(
    text: str, type_: ProgramType = ProgramType.XDP, *, counter: bool = False, **options: Any
) -> Iterator[tuple[EmbeddedRuntime, ProgramFacts, Callable[[], int]]]:
    """A kernel and a program in it; `counter` makes its map `m`, whose value the last member gives."""
    with kernel(**options) as runtime:
        maps = {"m": created(runtime, MapType.ARRAY, 4, 8, 1)} if counter else {}
        facts = load(runtime, text, type_, **maps)

        def count() -> int:
            value = bytearray(8)
            with maps["m"].handle.borrow() as fd:
                runtime.bpf(Cmd.MAP_LOOKUP_ELEM, MapElem(map_fd=fd, key=bytes(4), value=value))
            return int.from_bytes(value, "little")

        try:
            yield runtime, facts, count
        finally:
            for handle in (facts.handle, *(map_.handle for map_ in maps.values())):
                handle.close()


@contextmanager
def function(text: str, type_: ProgramType = ProgramType.XDP, **options: Any) -> Iterator[Callable[..., int]]:
    with program(text, type_, **options) as (runtime, facts, _):
        yield runtime.runner(facts).function()


def native() -> bool:
    return choose_engine().name != "reference"


def test_it_runs_in_place() -> None:
    with function(FIRST_BYTE) as call:
        packet = bytearray(range(100, 164))
        assert call(packet) == 100
        assert packet == bytes([100, 1, *range(102, 164)])
        assert call(memoryview(packet)[2:]) == 102
        assert packet[3] == 1


def test_it_is_a_builtin_where_there_is_native_code() -> None:
    with function(FIRST_BYTE) as call:
        if native():
            assert type(call) is type(len)
            assert repr(call).startswith("<built-in method program of NativeProgram object at")
            assert call.__name__ == "program"
            assert str(call.__doc__).startswith("Run the program over a writable buffer")
        else:
            assert repr(call) == "<function of program 'program', not native: the engine is reference>"


@pytest.mark.parametrize(
    "make", [bytearray, lambda data: array.array("I", data), lambda data: memoryview(bytearray(data))]
)
def test_any_writable_buffer_will_do(make: Callable[[bytes], Any]) -> None:
    with function(FIRST_BYTE) as call:
        packet = make(b"\x09" + bytes(63))
        assert call(packet) == 9
        assert bytes(packet)[:2] == b"\x09\x01"


def test_results_are_32_bits_unsigned() -> None:
    with function("r0 = -1\nexit") as call:
        assert call(bytearray(64)) == 0xFFFFFFFF


def test_what_is_no_writable_buffer_is_refused() -> None:
    with function(FIRST_BYTE) as call:
        with pytest.raises(BufferError, match="the bytes is read-only: pass a bytearray"):
            call(bytes(64))
        for wrong in (5, None, "packet"):
            with pytest.raises(TypeError, match=f"writable buffer, such as a bytearray, got {type(wrong).__name__}"):
                call(wrong)
        with pytest.raises(BufferError, match="not contiguous"):
            call(memoryview(bytearray(128))[::2])
        for wrong in ((), (bytearray(64), 1)):
            with pytest.raises(TypeError):
                call(*wrong)
        with pytest.raises(TypeError):
            call(packet=bytearray(64))


def test_the_kernel_refuses_short_packets() -> None:
    with function(FIRST_BYTE) as call:
        for size in (0, 13):
            with pytest.raises(SystemCallError, match=f"a packet has at least 14 bytes, got {size}$"):
                call(bytearray(size))
    with (
        function("r0 = 1\nexit", ProgramType.SCHED_CLS) as call,
        pytest.raises(SystemCallError, match=r"at most 3712 bytes, got 3713$"),
    ):
        call(bytearray(3713))


def test_frames_of_more_than_a_page_go_elsewhere() -> None:
    with function(FIRST_BYTE) as call:
        packet = bytearray(b"\x05" + bytes(8999))
        assert (call(packet), packet[1]) == (5, 1)


def test_a_changed_length_is_an_error() -> None:
    with function(CUTS) as call:
        with pytest.raises(ValueError, match=r"left 62 bytes of 64; use run\(\)"):
            call(bytearray(64))
        with pytest.raises(ValueError, match="left 98 bytes of 100"):
            call(bytearray(100))


def test_a_fault_is_that_of_a_run() -> None:
    with program(FAULTS) as (runtime, facts, _):
        runner = runtime.runner(facts)
        with pytest.raises(ProgramFault) as expected:
            runner.run(bytes(64))
        packet = bytearray(64)
        for _ in range(3):
            with pytest.raises(ProgramFault) as caught:
                runner.function()(packet)
            assert str(caught.value) == str(expected.value)
            assert caught.value.regions == expected.value.regions
        assert packet[1] == native()


def test_helpers_are_called() -> None:
    with function(ASKS) as call:
        for _ in range(3):
            assert call(bytearray(64)) == 7


def test_a_closed_program_says_so() -> None:
    with program(FIRST_BYTE) as (runtime, facts, _):
        call = runtime.runner(facts).function()
        packet = bytearray(64)
        assert call(packet) == 0
        facts.handle.close()
        for _ in range(2):
            with pytest.raises(ClosedError):
                call(packet)
        gc.collect()
        with pytest.raises(ClosedError):
            call(packet)


def test_a_closed_kernel_runs_nothing() -> None:
    with program(FIRST_BYTE) as (runtime, facts, _):
        call = runtime.runner(facts).function()
        call(bytearray(64))
        runtime.close()
        packet = bytearray(64)
        with pytest.raises(ClosedError, match="kernel"):
            call(packet)
        assert packet[1] == 0
        with pytest.raises(ClosedError, match="kernel"):
            runtime.runner(facts).function()


def test_it_outlives_what_it_was_made_from() -> None:
    with program(FIRST_BYTE) as (runtime, facts, _):
        call = runtime.runner(facts).function()
        gc.collect()
        for byte in range(3):
            assert call(bytearray([byte]) + bytearray(63)) == byte


def test_nothing_is_kept_of_what_is_dropped() -> None:
    with program(ASKS) as (runtime, facts, _):
        call = runtime.runner(facts).function()
        packet = bytearray(64)

        class Packet(bytearray):
            pass

        watched = Packet(64)
        gone = weakref.ref(watched)
        before = sys.getrefcount(packet), sys.getrefcount(None)
        for _ in range(1000):
            call(packet)
            with pytest.raises(TypeError):
                call(None)
        call(watched)
        del watched
        gc.collect()
        assert gone() is None
        assert sys.getrefcount(packet) == before[0]
        assert abs(sys.getrefcount(None) - before[1]) < 500
        packet.append(0)  # no buffer is held any more
        owner = weakref.ref(call.__self__.kept if native() else call)  # type: ignore[attr-defined]  # of builtins
        del call
        gc.collect()
        assert owner() is None


def test_runs_are_counted_while_somebody_asks() -> None:
    with program(FIRST_BYTE) as (runtime, facts, _):
        call = runtime.runner(facts).function()
        call(bytearray(64))
        statistics = runtime.own(runtime.bpf(Cmd.ENABLE_STATS, EnableStats(type=0)))
        for _ in range(5):
            call(bytearray(64))
        statistics.close()
        call(bytearray(64))
        assert program_info(runtime, facts.handle).run_count == 5


def test_threads_share_it() -> None:
    with program(COUNTS, counter=True, cpus=2) as (runtime, facts, count):
        call = runtime.runner(facts).function()
        rounds = 200

        def work() -> None:
            packet = bytearray(64)
            for _ in range(rounds):
                assert call(packet) == 1

        in_threads([work] * 4)
        # The program does not count atomically, and two virtual CPUs run it: some counts may be lost, none invented.
        assert rounds <= count() <= 4 * rounds


def test_one_cpu_loses_no_count() -> None:
    with program(COUNTS, counter=True) as (runtime, facts, count):
        runner = runtime.runner(facts)
        call = runner.function()

        def work() -> None:
            for _ in range(150):
                call(bytearray(64))
                runner.run(bytes(64))

        in_threads([work] * 3)
        assert count() == 3 * 150 * 2


def test_a_program_that_calls_itself_is_not_entered_again() -> None:
    calls: list[Callable[..., int]] = []
    results = []

    def clock() -> int:
        results.append(calls[0](bytearray(64)) if calls else -1)
        return 5

    with program(ASKS, clock=clock) as (runtime, facts, _):
        calls.append(runtime.runner(facts).function())
        results.clear()
        assert calls[0](bytearray(64)) == 7
        assert results == [0]
        assert program_info(runtime, facts.handle).recursion_misses == 1
        assert calls[0](bytearray(64)) == 7


def test_an_error_out_of_a_helper_comes_out() -> None:
    fail = [False]

    def clock() -> int:
        if fail[0]:
            raise LookupError("no clock")
        return 5

    with program(ASKS, clock=clock) as (runtime, facts, _):
        call = runtime.runner(facts).function()
        fail[0] = True
        for _ in range(3):
            with pytest.raises(LookupError, match="no clock"):
                call(bytearray(64))
        fail[0] = False
        assert call(bytearray(64)) == 7


def test_a_program_without_end_stops_at_its_budget() -> None:
    with function(FOREVER, limits=Limits(budget=1_000_000)) as call:
        for _ in range(2):
            with pytest.raises(ProgramFault) as caught:
                call(bytearray(64))
            assert caught.value.kind == "budget"


def test_close_stops_it() -> None:
    with program(FOREVER, limits=Limits(budget=1 << 50)) as (runtime, facts, _):
        call = runtime.runner(facts).function()
        caught: list[BaseException] = []

        def work() -> None:
            try:
                call(bytearray(64))
            except ProgramFault as fault:
                caught.append(fault)

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.2)
        runtime.close()
        thread.join(10)
        assert [fault.kind for fault in caught] == ["closed"]  # type: ignore[attr-defined]  # all are faults


INTERRUPTED = """
import os, signal, threading, time
from ebpf.errors import ProgramFault
from tests.unit.embedded_programs import Limits, kernel, load

with kernel(limits=Limits(budget=1 << 50)) as runtime:
    facts = load(runtime, {code!r})
    call = runtime.runner(facts).function()
    for _ in range(3):
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        started = time.monotonic()
        try:
            call(bytearray(64))
        except KeyboardInterrupt:
            assert time.monotonic() - started < 2, time.monotonic() - started
        else:
            raise SystemExit("it ended")
    facts.handle.close()
    print("stopped")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no way to send Ctrl-C to one process")
def test_ctrl_c_stops_it() -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + INTERRUPTED.format(
        code=FOREVER
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout == "stopped\n", run.stderr


@pytest.mark.parametrize("type_", [ProgramType.SYSCALL, ProgramType.RAW_TRACEPOINT])
def test_a_type_without_packets_has_no_function(type_: ProgramType) -> None:
    with program("r0 = 1\nexit", type_) as (runtime, facts, _):
        told = (
            rf"a function of program '\w+', of type {type_.label}, is not supported .*; XDP, tc, .* have one; use run\("
        )
        with pytest.raises(NotSupportedError, match=told):
            runtime.runner(facts).function()
