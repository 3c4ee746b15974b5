"""Runs wait for the compiler: they hear Ctrl-C and the end of the kernel, and do not begin on one that was closed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from ebpf.codegen.compiler import Tier
from ebpf.codegen.flat import FlatCode
from ebpf.errors import ClosedError, ProgramFault, SystemCallError
from ebpf.objects.packets import gather
from ebpf.runtime.base import Runner
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.vm.engines import VARIABLE
from ebpf.vm.jit import tiers
from ebpf.vm.jit.compiled import cached_code
from ebpf.vm.program import Program
from tests.unit.embedded.test_lanes import tail_caller
from tests.unit.embedded_programs import kernel, load

pytestmark = pytest.mark.usefixtures("jit")

PACKET = bytes(64)
WAYS: dict[str, Callable[[Runner], object]] = {
    "run": lambda runner: runner.run(PACKET),
    "repeat": lambda runner: runner.run(PACKET, repeat=3),
    "run_many": lambda runner: runner.run_many(gather([PACKET] * 3)),
}


def close_while_compiling(which: int, runtime: EmbeddedRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Close the kernel while program number `which` is compiled, from 1 on."""
    compiled: list[Program] = []

    def compile_slowly(program: Program, *, tier: Tier, trusted: bool) -> FlatCode:
        compiled.append(program)
        if len(compiled) == which:
            runtime.close()
        return cached_code(program, tier=tier, trusted=trusted)

    monkeypatch.setattr(tiers, "cached_code", compile_slowly)


@pytest.mark.parametrize("way", WAYS)
def test_the_first_run(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with kernel() as runtime:
        facts = load(runtime, "r0 = 3\nexit")
        close_while_compiling(1, runtime, monkeypatch)
        with pytest.raises(ProgramFault) as caught:
            WAYS[way](runtime.runner(facts, engine="jit"))
        assert caught.value.kind == "closed"
        facts.handle.close()


def test_the_program_that_a_tail_call_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "jit")
    with tail_caller() as (runtime, runner, _):
        close_while_compiling(2, runtime, monkeypatch)
        with pytest.raises(ProgramFault) as caught:
            runner.run(PACKET)
        assert caught.value.kind == "closed"


@contextmanager
def stuck_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Nothing is compiled inside the block, for half a minute; the event says when somebody waits for that."""
    waited_for, go_on = threading.Event(), threading.Event()

    def compile_late(program: Program, *, tier: Tier, trusted: bool) -> FlatCode:
        waited_for.set()
        go_on.wait(30)
        return cached_code(program, tier=tier, trusted=trusted)

    monkeypatch.setattr(tiers, "cached_code", compile_late)
    try:
        yield waited_for
    finally:
        go_on.set()


def interrupted(run: Callable[[], object], waited_for: threading.Event) -> None:
    """Run, and press Ctrl-C once the compiler is waited for: that ends the run."""
    interrupt = threading.Thread(target=lambda: waited_for.wait() and signal.raise_signal(signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        run()
    interrupt.join()


@pytest.mark.parametrize("way", [*WAYS, "function"])
def test_ctrl_c_and_close_are_heard_meanwhile(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = WAYS.get(way, lambda runner: runner.function()(bytearray(PACKET)))
    with kernel() as runtime:
        facts = load(runtime, "r0 = 3\nexit")
        runner = runtime.runner(facts, engine="jit")
        with stuck_compiler(monkeypatch) as waited_for:
            interrupted(lambda: run(runner), waited_for)
            closing = threading.Thread(target=runtime.close)
            closing.start()
            with pytest.raises((ProgramFault, SystemCallError, ClosedError)):
                run(runner)
            closing.join()
        facts.handle.close()


def test_after_ctrl_c_the_code_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with kernel() as runtime:
        facts = load(runtime, "r0 = 3\nexit")
        runner = runtime.runner(facts, engine="jit")
        with stuck_compiler(monkeypatch) as waited_for:
            interrupted(lambda: runner.run(PACKET), waited_for)
        assert runner.run(PACKET).retval == 3
        facts.handle.close()


def test_threads_that_wait_together_compile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def count(program: Program, *, tier: Tier, trusted: bool) -> FlatCode:
        compiled.append(tier)
        return cached_code(program, tier=tier, trusted=trusted)

    monkeypatch.setattr(tiers, "cached_code", count)
    with kernel(cpus=4) as runtime, ThreadPoolExecutor(4) as pool:
        facts = load(runtime, "r0 = 3\nexit")
        runner = runtime.runner(facts, engine="jit")
        assert [result.retval for result in pool.map(runner.run, [PACKET] * 4)] == [3] * 4
        assert compiled == [Tier.LIGHT]
        facts.handle.close()


def test_a_child_that_a_signal_handler_forks_compiles_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    children: list[int] = []
    with kernel() as runtime:
        facts = load(runtime, "r0 = 3\nexit")
        runner = runtime.runner(facts, engine="jit")
        begin = threading.Thread.start

        def start(thread: threading.Thread) -> None:
            if thread.name == "ebpf first compile" and not children:
                children.append(os.fork())  # nobody begins to work in the child, whatever begins in the parent
                if not children[0]:
                    return
            begin(thread)

        monkeypatch.setattr(threading.Thread, "start", start)
        result = runner.run(PACKET).retval
        if not children[0]:
            os._exit(result)
        assert result == 3
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 3
        facts.handle.close()
