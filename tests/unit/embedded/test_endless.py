"""Programs without end: their budget, close() and Ctrl-C end them, on every engine, trusted or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ebpf.abi.types import MapType
from ebpf.errors import NotSupportedError, ProgramFault
from ebpf.objects.packets import gather
from ebpf.runtime.base import Runner
from ebpf.vm.helpers import dispatch
from ebpf.vm.helpers.dispatch import call_helper
from ebpf.vm.machine import Run
from tests.bounds import soon
from tests.unit.embedded_programs import Limits, created, kernel, load

WAIT = 0.15
"""Seconds until a program is ended, compiling included."""
PROGRAMS = {
    "loop": "l: if r1 != 0 goto l\nexit",
    "loop in a loop": "o: r3 = 0\nl: r3 += 1\nr0 += r3\nif r3 < 1000000 goto l\nif r10 != 0 goto o\nexit",
    "loop with two ways in": "if r2 == 0 goto b\na: r0 += 1\ngoto b\nb: r0 += 2\ngoto a",
    "accesses": "l: *(u64 *)(r10 - 8) = r1\nr3 = *(u64 *)(r10 - 8)\nif r3 != 0 goto l\nexit",
    "function": "l: call f\nif r10 != 0 goto l\nexit\nf: r0 = 1\nexit",
    "helper of native code": "l: call bpf_ktime_get_ns\nif r10 != 0 goto l\nexit",
    "helper": "l: call bpf_get_smp_processor_id\ncall bpf_get_prandom_u32\nif r10 != 0 goto l\nexit",
    "callback": """
        l: r1 = 8388608; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_loop
        goto l
        f: r0 = 0; exit
    """,
    "loop in a callback": """
        r1 = 8388608; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_loop
        exit
        f: if r10 != 0 goto f
        exit
    """,
}
ENGINES = (("reference", False), ("interpreter", False), ("jit", False), ("jit", True))
WAYS: dict[str, Callable[[Runner], object]] = {
    "run": lambda runner: runner.run(bytes(64)),
    "repeat": lambda runner: runner.run(bytes(64), repeat=3),
    "run_many": lambda runner: runner.run_many(gather([bytes(64)] * 3)),
    "function": lambda runner: runner.function()(bytearray(64)),
}


CASES = [
    *(("loop", way) for way in WAYS),
    *((name, list(WAYS)[place % len(WAYS)]) for place, name in enumerate(PROGRAMS) if name != "loop"),
]


@contextmanager
def loaded(
    text: str, engine: str, *, trusted: bool = False, budget: int, size: int = 8
) -> Iterator[tuple[Runner, Callable[[], None]]]:
    """A program in a kernel of its own, and what closes that; {m} is an array of two values of so many bytes."""
    with kernel(limits=Limits(budget=budget)) as runtime:
        map_ = created(runtime, MapType.ARRAY, 4, size, 2)
        facts = load(runtime, text, m=map_)
        try:
            yield runtime.runner(facts, engine=engine, trusted=trusted), runtime.close
        except NotSupportedError as error:
            pytest.skip(str(error))
        finally:
            facts.handle.close()
            map_.handle.close()


@pytest.mark.parametrize(("name", "way"), CASES)
@pytest.mark.parametrize(("engine", "trusted"), ENGINES)
def test_budget(engine: str, trusted: bool, way: str, name: str) -> None:
    with loaded(PROGRAMS[name], engine, trusted=trusted, budget=100_000) as (runner, _):
        with pytest.raises(ProgramFault) as caught:
            WAYS[way](runner)
        assert caught.value.kind == "budget"


def closed_after(run: Callable[[bytes], object], close: Callable[[], None]) -> float:
    """Close the kernel meanwhile; return how long it takes until that ends the run."""
    closed = []
    timer = threading.Timer(WAIT, lambda: (closed.append(time.monotonic()), close()))
    timer.start()
    with pytest.raises(ProgramFault) as caught:
        run(bytes(64))
    took = time.monotonic() - closed[0]
    timer.join()
    assert caught.value.kind == "closed"
    return took


@pytest.mark.parametrize(("name", "way"), CASES)
@pytest.mark.parametrize(("engine", "trusted"), ENGINES)
def test_close(engine: str, trusted: bool, way: str, name: str) -> None:
    def measure() -> float:
        with loaded(PROGRAMS[name], engine, trusted=trusted, budget=1 << 50) as (runner, close):
            return closed_after(lambda _packet: WAYS[way](runner), close)

    assert soon(measure)


LARGE = """
    *(u32 *)(r10 - 4) = 0
    r2 = r10; r2 += -4; r1 = map_fd[{m}] ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r6 = r0
again:
    *(u32 *)(r10 - 4) = 1
    r2 = r10; r2 += -4; r1 = map_fd[{m}] ll; r3 = r6; r4 = 0
    call bpf_map_update_elem
    if r10 != 0 goto again
out:
    exit
"""


@pytest.mark.parametrize("size", [1 << 12, 1 << 18])
@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_close_while_large_values_are_copied(engine: str, size: int) -> None:
    def measure() -> float:
        with loaded(LARGE, engine, size=size, budget=1 << 50) as (runner, close):
            return closed_after(runner.run, close)

    assert soon(measure)


MANY_UPDATES = """
    r6 = 200000
    *(u32 *)(r10 - 4) = 0
    r2 = r10; r2 += -4; r1 = map_fd[{m}] ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r7 = r0
again:
    *(u32 *)(r10 - 4) = 1
    r2 = r10; r2 += -4; r1 = map_fd[{m}] ll; r3 = r7; r4 = 0
    call bpf_map_update_elem
    r6 -= 1
    if r6 != 0 goto again
out:
    exit
"""


@pytest.mark.parametrize(("size", "least"), [(8, 3), (1 << 12, 15)])
@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_the_host_sees_a_call_now_and_then(engine: str, size: int, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of helpers that native code has; how long it takes is no matter of this test."""
    seen = []

    def count(run: Run, number: int, args: tuple[int, int, int, int, int]) -> int:
        seen.append(number)
        return call_helper(run, number, args)

    with loaded(MANY_UPDATES, engine, size=size, budget=1 << 26) as (runner, _):
        monkeypatch.setattr(dispatch, "call_helper", count)
        runner.run(bytes(64))
    assert least <= len(seen) <= 2 * least


def interrupted(run: Callable[[], object]) -> float:
    """Return how long it takes until Ctrl-C ends it."""
    sent = []
    timer = threading.Timer(WAIT, lambda: (sent.append(time.monotonic()), os.kill(os.getpid(), signal.SIGINT)))
    timer.start()
    try:
        run()
    except KeyboardInterrupt:
        took = time.monotonic() - sent[0]
    timer.join()
    return took


CHILD = """
import signal, sys
from tests.unit.embedded.test_endless import CASES, PROGRAMS, WAYS, interrupted, loaded, soon

signal.signal(signal.SIGINT, signal.default_int_handler)
for name, way in CASES:
    with loaded(PROGRAMS[name], sys.argv[1], trusted=sys.argv[2] == "True", budget=1 << 50) as (runner, _):
        assert soon(lambda: interrupted(lambda: WAYS[way](runner))), name
print("interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no way to send Ctrl-C to one process")
@pytest.mark.parametrize(("engine", "trusted"), ENGINES)
def test_ctrl_c(engine: str, trusted: bool) -> None:
    with loaded(PROGRAMS["loop"], engine, trusted=trusted, budget=1):
        pass  # or skip
    command = [sys.executable, "-c", CHILD, engine, str(trusted)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == "interrupted\n", done.stderr
