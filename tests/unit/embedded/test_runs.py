"""Virtual CPUs, clock, seed, statistics, trace, packets."""

from __future__ import annotations

import sys
import threading
import time
from array import array
from contextlib import suppress
from types import FrameType

import pytest

from ebpf.abi.types import Cmd, MapType, ProgramFlag, ProgramType
from ebpf.asm import Instructions
from ebpf.errors import ClosedError, NotSupportedError, ProgramFault, SystemCallError
from ebpf.runtime.attrs import EnableStats, ProgLoad, ProgTestRun
from ebpf.runtime.defaults import BpfRunner
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.embedded import cpus as embedded_cpus
from ebpf.runtime.embedded.cpus import Cpus, Gate
from ebpf.runtime.hooks import PacketsHook, SocketFilterHook
from ebpf.runtime.info import program_info
from tests.interrupts import interrupted
from tests.unit.embedded_programs import created, kernel, load, ring_program

pytestmark = pytest.mark.usefixtures("engine")

PACKET = bytes(range(64))


def test_seed_and_clock_make_runs_repeatable() -> None:
    def values() -> list[int]:
        with kernel(seed=7, clock=lambda: 123_456) as runtime:
            random = load(runtime, "call bpf_get_prandom_u32\nexit")
            now = load(runtime, "call bpf_ktime_get_ns\nexit")
            found = [runtime.runner(random).run(PACKET).retval for _ in range(3)]
            found.append(runtime.runner(now).run(PACKET).retval)
            random.handle.close()
            now.handle.close()
            return found

    assert values() == values()
    assert values()[-1] == 123_456
    assert len(set(values())) > 2


def test_ctrl_c_in_the_middle_of_a_wait_for_a_cpu_is_what_comes_out_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_cpus, "_PATIENCE", 0.001)
    cpus, taken, done = Cpus(1), threading.Event(), threading.Event()

    def own(_cpu: int) -> None:
        taken.set()
        done.wait(60)

    def wait() -> None:
        looks = iter([None, None])
        with suppress(StopIteration):
            cpus.run(object(), lambda _: None, check=lambda: next(looks))

    owner = threading.Thread(target=cpus.run, args=(object(), own))
    owner.start()
    taken.wait(60)
    place, whole = 0, False
    while not whole:
        place += 1
        whole = bool(interrupted(wait, place, threading.__file__))
    done.set()
    owner.join()
    assert place > 10
    assert (cpus.busy, cpus.run(object(), lambda cpu: cpu)) == (0, 0)


def test_each_run_owns_a_cpu() -> None:
    cpus, together, most = Cpus(2), [0], [0]
    lock = threading.Lock()

    def work(cpu: int) -> None:
        assert cpu in (0, 1)
        with lock:
            together[0] += 1
            most[0] = max(most[0], together[0])
        time.sleep(0.01)
        with lock:
            together[0] -= 1

    threads = [threading.Thread(target=cpus.run, args=(object(), work)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == [2]


def test_a_program_that_enters_itself_is_skipped() -> None:
    cpus, program, other = Cpus(2), object(), object()
    seen = []

    def outer(cpu: int) -> None:
        seen.append(cpu)
        cpus.run(other, nested)

    def nested(cpu: int) -> None:
        seen.append(cpu)
        assert cpus.run(program, seen.append) is None

    cpus.run(program, outer, cpu=1)
    assert seen == [1, 1]
    cpus.run(program, seen.append)
    assert seen == [1, 1, 0]


def test_statistics_count_only_while_enabled() -> None:
    with kernel() as runtime:
        program = load(runtime, "r0 = 2\nexit")
        runner = runtime.runner(program)
        runner.run(PACKET)
        statistics = runtime.own(runtime.bpf(Cmd.ENABLE_STATS, EnableStats(type=0)))
        runner.run(PACKET, repeat=5)
        statistics.close()
        runner.run(PACKET)
        info = program_info(runtime, program.handle)
        assert info.run_count == 5
        assert info.run_time_ns > 0
        program.handle.close()


def test_runner_and_command_agree() -> None:
    with kernel() as runtime:
        program = load(runtime, "r6 = r1\nr2 = *(u32 *)(r6 + 0)\nr0 = 3\nexit")
        direct, plain = runtime.runner(program).run(PACKET), BpfRunner(runtime, program).run(PACKET)
        assert (direct.retval, direct.data, direct.ctx) == (plain.retval, plain.data, plain.ctx)
        outcomes = []
        for runner in (runtime.runner(program), BpfRunner(runtime, program)):
            with pytest.raises(SystemCallError) as refused:
                runner.run(b"short")
            outcomes.append(str(refused.value))
        assert outcomes[0] == outcomes[1]
        program.handle.close()


def test_a_context_that_has_no_room_is_told_from_a_packet() -> None:
    with kernel() as runtime:
        program = load(runtime, "r0 = 2\nexit")
        with pytest.raises(SystemCallError, match="ENOSPC: ctx has 3 bytes, the context that the program left 24"):
            runtime.runner(program).run(PACKET, ctx=bytes(3))
        program.handle.close()


def nested_at(place: int) -> list[int]:
    """Run, and run once more as a signal handler or a destructor would, at a step of `Cpus`; on which CPU that was."""
    cpus, seen, ran = Cpus(1), [0], list[int]()

    def handler(frame: FrameType, event: str, argument: object) -> object:
        if frame.f_globals["__name__"] != Cpus.__module__:
            return None
        seen[0] += 1
        if seen[0] == place:
            sys.settrace(None)
            cpus.run(object(), ran.append)
        return handler

    def work() -> None:
        sys.settrace(handler)
        cpus.run(object(), lambda cpu: None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert cpus.busy == 0
    return ran


def test_a_handler_may_run_a_program_anywhere_in_between() -> None:
    ran = [nested_at(place) for place in range(1, 200)]
    assert ran == [[0]] * ran.index([]) + [[]] * (len(ran) - ran.index([]))
    assert ran.index([]) > 20


def test_a_thread_runs_on_the_cpu_that_native_code_has_claimed_for_it() -> None:
    gate = Gate()
    cpus = Cpus(1, gate)
    runs, other = object(), object()
    gate._words[3:] = array("Q", [1, threading.get_ident() & 0xFFFFFFFF, id(runs)])
    assert cpus.run(other, lambda cpu: cpu) == 0
    assert cpus.run(other, lambda _: cpus.run(other, lambda cpu: cpu)) is None
    assert cpus.run(runs, lambda cpu: cpu) is None
    assert gate.claimed
    gate.end_claim()
    assert (cpus.busy, gate.owned) == (0, 0)


def test_fault_comes_out_as_program_fault() -> None:
    with kernel() as runtime:
        program = load(runtime, "r1 = 0\nr0 = *(u64 *)(r1 + 0)\nexit")
        with program.handle.borrow() as fd, pytest.raises(ProgramFault):
            runtime.bpf(Cmd.PROG_TEST_RUN, ProgTestRun(prog_fd=fd, data_in=PACKET, data_size_in=64))
        with pytest.raises(ProgramFault):
            runtime.runner(program).run(PACKET)
        # The CPU is free again.
        program.handle.close()
        fine = load(runtime, "r0 = 2\nexit")
        assert runtime.runner(fine).run(PACKET).retval == 2
        fine.handle.close()


def feed(runtime: EmbeddedRuntime, hook: PacketsHook, program) -> None:  # type: ignore[no-untyped-def]  # facts
    link = runtime.attach(program, hook)
    link.close()


def test_lossless_packets_wait_for_the_reader() -> None:
    with kernel() as runtime:
        ring_map = created(runtime, MapType.RINGBUF, 0, 0, 4096)
        program = ring_program(runtime, ring_map)
        ring = runtime.open_ring(ring_map)
        waiter = runtime.waiter([ring], ring_map)
        finished: list[BaseException | None] = []
        verdicts: list[int] = []
        ended = threading.Event()

        def done(error: BaseException | None) -> None:
            finished.append(error)
            ended.set()
            waiter.wake()

        hook = PacketsHook(
            [PACKET] * 500, sink=lambda _, result: verdicts.append(result.retval), done=done, lossless=True
        )
        link = runtime.attach(program, hook)
        records = 0
        deadline = time.monotonic() + 30
        while (not ended.is_set() or ring.consumer() != ring.producer()) and time.monotonic() < deadline:
            waiter.wait(5)
            while ring.consumer() != ring.producer() and not ring.data[ring.consumer() % ring.size + 3] & 0x80:
                ring.set_consumer(ring.consumer() + 72)
                records += 1
        assert finished == [None]
        assert records == 500
        assert verdicts == [2] * 500
        for thing in (link, waiter, ring, program.handle, ring_map.handle):
            thing.close()


def test_packets_that_may_be_lost_are_dropped() -> None:
    with kernel() as runtime:
        ring_map = created(runtime, MapType.RINGBUF, 0, 0, 4096)
        program = ring_program(runtime, ring_map)
        ring = runtime.open_ring(ring_map)
        verdicts: list[int] = []
        ended = threading.Event()
        hook = PacketsHook(
            [PACKET] * 100,
            sink=lambda _, result: verdicts.append(result.retval),
            done=lambda _: ended.set(),
            lossless=False,
        )
        link = runtime.attach(program, hook)
        assert ended.wait(30)
        assert verdicts.count(2) == 4095 // 72
        assert verdicts.count(2 - 11 + (1 << 32)) == 100 - 4095 // 72  # EAGAIN
        for thing in (link, ring, program.handle, ring_map.handle):
            thing.close()


def test_closing_the_reader_lets_waiting_packets_go_on() -> None:
    with kernel() as runtime:
        ring_map = created(runtime, MapType.RINGBUF, 0, 0, 4096)
        program = ring_program(runtime, ring_map)
        ring = runtime.open_ring(ring_map)
        ended = threading.Event()
        link = runtime.attach(program, PacketsHook([PACKET] * 200, done=lambda _: ended.set(), lossless=True))
        while ring.producer() < 4095 // 72 * 72:
            time.sleep(0.001)
        assert not ended.wait(0.05)
        ring.close()
        assert ended.wait(30)
        for thing in (link, program.handle, ring_map.handle):
            thing.close()


def test_what_it_does_not_have() -> None:
    with kernel() as runtime:
        program = load(runtime, "r0 = 2\nexit")
        with pytest.raises(NotSupportedError, match="a filter on a socket"):
            runtime.attach(program, SocketFilterHook(0))
        with pytest.raises(NotSupportedError):
            runtime.kernel_btf()
        with pytest.raises(NotSupportedError):
            runtime.runner(program, engine="native")
        program.handle.close()
    for options, what in (
        ({"personality": "windows"}, "personality"),
        ({"store": 1}, "store"),
        ({"extensions": [1]}, "extension"),
    ):
        with pytest.raises(NotSupportedError, match=what):
            EmbeddedRuntime(**options)
    with pytest.raises(ValueError, match="got 'solaris'"):
        EmbeddedRuntime(personality="solaris")
    with pytest.raises(ClosedError):
        runtime.bpf(Cmd.ENABLE_STATS, EnableStats(type=0))


def test_flags_of_programs_are_known_if_they_have_names() -> None:
    code = Instructions.from_asm("r0 = 2\nexit").encode()
    flags = [1 << bit for bit in range(32)]
    refused: dict[int, str] = {}
    with kernel() as runtime:
        for flag in flags:
            attr = ProgLoad(prog_type=ProgramType.XDP, insns=code, insn_cnt=2, license=b"GPL", prog_flags=flag)
            try:
                runtime.own(runtime.bpf(Cmd.PROG_LOAD, attr)).close()
            except SystemCallError as error:
                refused[flag] = str(error)
    assert [flag for flag in flags if flag not in refused] == list(ProgramFlag)
    assert all("are not known" in text for text in refused.values())


def test_trace() -> None:
    with kernel() as runtime:
        runtime.state.trace("one")
        runtime.state.trace("two")
        assert list(runtime.trace()) == ["one", "two"]
        assert list(runtime.trace()) == []


@pytest.mark.parametrize("type_", [ProgramType.SYSCALL, ProgramType.RAW_TRACEPOINT])
def test_what_a_program_without_packets_does_not_take_is_named(type_: ProgramType) -> None:
    with kernel() as runtime:
        program = load(runtime, "r0 = 1\nexit", type_)
        told = f"a program of type {type_.label} takes a context and gives a return value, nothing else; got"
        with pytest.raises(SystemCallError, match=rf"{told} 64 bytes of data$"):
            runtime.runner(program).run(PACKET)
        room = {"data_out": bytearray(8), "data_size_out": 8, "ctx_out": bytearray(8), "ctx_size_out": 8}
        with program.handle.borrow() as fd, pytest.raises(SystemCallError, match=rf"{told} data_out, ctx_out$"):
            runtime.bpf(Cmd.PROG_TEST_RUN, ProgTestRun(prog_fd=fd, **room))
        with pytest.raises(SystemCallError, match=r"runs once: repeat and batch_size must be 0, got 5 and 0$"):
            runtime.runner(program).run(repeat=5)
        program.handle.close()
