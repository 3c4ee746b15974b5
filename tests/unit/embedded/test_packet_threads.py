"""run_many() on several threads: order, per-CPU counts, errors, and what ends it early."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from ebpf.abi.types import Cmd, MapType
from ebpf.errors import ClosedError, ProgramFault, SystemCallError
from ebpf.objects.packets import gather
from ebpf.runtime.attrs import EnableStats, MapElem
from ebpf.runtime.embedded import EmbeddedRuntime, many
from ebpf.runtime.facts import ProgramFacts
from ebpf.runtime.info import program_info
from tests.unit.embedded.test_function import COUNTS, FOREVER
from tests.unit.embedded_programs import Limits, created, kernel, load

pytestmark = pytest.mark.usefixtures("engine")

FIRST_BYTES = "r2 = *(u32 *)(r1 + 0)\nr0 = *(u32 *)(r2 + 0)\nexit"
THREADS = 4


@contextmanager
def program(text: str, **options: object) -> Iterator[tuple[EmbeddedRuntime, ProgramFacts, list[int]]]:
    """A kernel with four CPUs and a program; the last member becomes the counts by CPU of its map when it ends."""
    with kernel(cpus=THREADS, **options) as runtime:
        map_ = created(runtime, MapType.PERCPU_ARRAY, 4, 8, 1)
        facts = load(runtime, text, m=map_)
        counts: list[int] = []
        try:
            yield runtime, facts, counts
            if runtime.state.closed:
                return
            value = bytearray(8 * THREADS)
            with map_.handle.borrow() as fd:
                runtime.bpf(Cmd.MAP_LOOKUP_ELEM, MapElem(map_fd=fd, key=bytes(4), value=value))
            counts.extend(memoryview(value).cast("Q"))
        finally:
            facts.handle.close()
            map_.handle.close()


@pytest.mark.parametrize("threads", [1, 2, 3, THREADS])
@pytest.mark.parametrize("count", [0, 1, 3, 500])
def test_results_are_in_order(threads: int, count: int) -> None:
    packets = [n.to_bytes(4, "little") + bytes(10 + n % 50) for n in range(count)]
    with program(FIRST_BYTES) as (runtime, facts, _):
        done = runtime.runner(facts).run_many(gather(packets), threads=threads)
        assert list(done.retvals) == list(range(count))
        assert [bytes(packet) for packet in done.packets] == packets


def test_per_cpu_maps_count_by_thread() -> None:
    with program(COUNTS) as (runtime, facts, counts):
        runtime.runner(facts).run_many(gather([bytes(64)] * 400), threads=THREADS)
    # A thread that is done gives its CPU to one that has not begun.
    assert sum(counts) == 400
    assert all(count % 100 == 0 for count in counts)


def test_more_threads_than_packets_will_do() -> None:
    with program(COUNTS) as (runtime, facts, counts):
        runtime.runner(facts).run_many(gather([bytes(64)] * 2), threads=THREADS)
    assert sum(counts) == 2


def test_the_first_error_in_order_comes_out() -> None:
    packets = [bytes(64)] * 1000
    packets[700] = bytes(5)
    with program(FIRST_BYTES) as (runtime, facts, _):
        with pytest.raises(SystemCallError, match="at least 14 bytes") as caught:
            runtime.runner(facts).run_many(gather(packets), threads=THREADS)
        assert caught.value.__notes__ == ["packet 700 of the batch"]
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("ebpf packets")]
        assert runtime.state.cpus.busy == 0


def test_the_error_is_never_the_end_that_it_brings_to_others() -> None:
    packets = [bytes(64)] * 40
    packets[27] = bytes(5)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with program(FIRST_BYTES) as (runtime, facts, _):
            for _ in range(100):
                with pytest.raises(SystemCallError, match="at least 14 bytes"):
                    runtime.runner(facts).run_many(gather(packets), threads=THREADS)
    finally:
        sys.setswitchinterval(interval)


def test_statistics_count_all_packets() -> None:
    with program(FIRST_BYTES) as (runtime, facts, _):
        statistics = runtime.own(runtime.bpf(Cmd.ENABLE_STATS, EnableStats(type=0)))
        runtime.runner(facts).run_many(gather([bytes(64)] * 100), threads=2)
        info = program_info(runtime, facts.handle)
        statistics.close()
    assert info.run_count == 100
    assert info.run_time_ns > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_closing_the_kernel_ends_it(threads: int) -> None:
    with program(FOREVER, limits=Limits(budget=1 << 50)) as (runtime, facts, _):
        runner = runtime.runner(facts)
        caught: list[str] = []

        def work() -> None:
            try:
                runner.run_many(gather([bytes(64)] * 4), threads=threads)
            except ProgramFault as fault:
                caught.append(fault.kind)

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.2)
        runtime.close()
        started = time.monotonic()
        thread.join(10)
        assert caught == ["closed"]
        assert time.monotonic() - started < 2
        with pytest.raises(ClosedError, match="kernel"):
            runner.run_many(gather([bytes(64)]))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no way to send Ctrl-C to one process")
def test_ctrl_c_ends_it(threads: int) -> None:
    code = f"""
import os, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from ebpf.objects.packets import gather
from tests.unit.embedded_programs import Limits, kernel, load
with kernel(cpus=2, limits=Limits(budget=1 << 50)) as runtime:
    facts = load(runtime, {FOREVER!r})
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    started = time.monotonic()
    try:
        runtime.runner(facts).run_many(gather([bytes(64)] * 4), threads={threads})
    except KeyboardInterrupt:
        print("stopped" if time.monotonic() - started < 3 else "late")
    facts.handle.close()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout == "stopped\n", run.stderr


class Interrupted(threading.Thread):
    """A thread for which nobody has the patience to wait."""

    def join(self, timeout: float | None = None) -> None:
        if timeout is not None:
            raise InterruptedError
        super().join(20)
        assert not self.is_alive()


def test_threads_that_wait_for_a_cpu_end_with_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "threading", SimpleNamespace(Thread=Interrupted))
    with program(FIRST_BYTES) as (runtime, facts, _):
        all_owned, release = threading.Barrier(THREADS + 1), threading.Event()

        def own(cpu: int) -> None:
            all_owned.wait(20)
            release.wait(40)

        owners = [threading.Thread(target=runtime.state.cpus.run, args=(object(), own)) for _ in range(THREADS)]
        for thread in owners:
            thread.start()
        all_owned.wait(20)
        try:
            with pytest.raises(InterruptedError):
                runtime.runner(facts).run_many(gather([bytes(64)] * 400), threads=THREADS)
        finally:
            release.set()
        for thread in owners:
            thread.join(20)


class Starting(threading.Thread):
    """A thread whose start is interrupted, before it has said that it runs or before it runs."""

    runs_already = True

    def start(self) -> None:
        if self.runs_already:
            super().start()
            self._early = True
        raise KeyboardInterrupt

    def join(self, timeout: float | None = None) -> None:
        if self._early:
            self._early = False
            raise RuntimeError("cannot join thread before it is started")
        super().join(timeout)


@pytest.mark.parametrize("runs_already", [False, True])
def test_an_interrupt_while_threads_start_is_what_comes_out(
    runs_already: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with program(COUNTS) as (runtime, facts, counts):
        monkeypatch.setattr(Starting, "runs_already", runs_already)
        monkeypatch.setattr(many, "threading", SimpleNamespace(Thread=Starting))
        with pytest.raises(KeyboardInterrupt):
            runtime.runner(facts).run_many(gather([bytes(64)] * 4), threads=2)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("ebpf packets")]
        monkeypatch.undo()
    assert sum(counts) in (0, 2)


def test_a_thread_that_begins_after_the_end_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its start was interrupted before it ran: nobody knew that it would."""
    late: list[threading.Thread] = []

    class Late(threading.Thread):
        def start(self) -> None:
            late.append(self)
            raise KeyboardInterrupt

    with program(COUNTS) as (runtime, facts, counts):
        monkeypatch.setattr(many, "threading", SimpleNamespace(Thread=Late))
        with pytest.raises(KeyboardInterrupt):
            runtime.runner(facts).run_many(gather([bytes(64)] * 4), threads=2)
        monkeypatch.undo()
        late[0].run()
    assert sum(counts) == 0
