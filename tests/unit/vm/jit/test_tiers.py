"""When programs are compiled: never while somebody waits (auto), before the first run (jit), better while they run."""

from __future__ import annotations

import gc
import logging
import os
import re
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import cast

import pytest

from ebpf.asm.instructions import Instructions
from ebpf.codegen import compiler, fingerprint
from ebpf.codegen.compiler import CompileError
from ebpf.codegen.fingerprint import host_fingerprint
from ebpf.codegen.image import ImageError
from ebpf.errors import NotSupportedError
from ebpf.vm import engines
from ebpf.vm.conformance import program_of
from ebpf.vm.engines import Engine, choose_engine
from ebpf.vm.jit import tiers
from ebpf.vm.jit.tiers import HOT, Tiers, tiers_of
from ebpf.vm.kernel import Kernel
from ebpf.vm.machine import Run
from ebpf.vm.program import Program
from ebpf.vm.values import places_of

LOOP = "r0 = 0\nr1 = 5000\nagain:\nr0 += r1\nr1 -= 1\nif r1 != 0 goto again\nexit"
RESULT = 5000 * 5001 // 2


@pytest.fixture
def auto(monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.delenv(engines.VARIABLE, raising=False)
    try:
        choose_engine("jit")
    except NotSupportedError as error:
        pytest.skip(str(error))
    return choose_engine("auto")


def program(text: str = LOOP) -> Program:
    return program_of(Instructions.from_asm(text).encode())


def run(engine: Engine, code: Program) -> int:
    return engine.execute(Run(code, cast("Kernel", None)))


def lane_of(engine: Engine, code: Program) -> object:
    assert engine.code is not None
    return engine.code(code, cast("Kernel", None)).take(places_of(code))


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def test_auto_begins_in_the_interpreter_and_gets_better(auto: Engine) -> None:
    code = program()
    assert auto.now is not None
    assert run(auto, code) == RESULT
    assert auto.now(code) == "interpreter"
    assert eventually(lambda: run(auto, code) == RESULT and auto.now(code) == "jit")
    first = tiers_of(code).code
    assert eventually(lambda: run(auto, code) == RESULT and tiers_of(code).code is not first)


def test_auto_waits_for_no_compiler(auto: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: Tiers, tier: str) -> None:
        raise AssertionError("compiled while the caller waits")

    code = program()
    monkeypatch.setattr(tiers, "_queue_up", lambda _tiers: None)
    monkeypatch.setattr(Tiers, "compile", never)
    for _ in range(HOT[None] // 10_000 + 1):
        assert run(auto, code) == RESULT
    assert auto.now is not None
    assert auto.now(code) == "interpreter"


def test_jit_compiles_before_the_first_run(auto: Engine) -> None:
    code = program()
    assert run(choose_engine("jit"), code) == RESULT
    assert tiers_of(code).code is not None


def test_a_program_that_cannot_be_compiled_stays_where_it_is(
    auto: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise CompileError("no")

    code = program()
    monkeypatch.setattr(tiers, "cached_code", refuse)
    with caplog.at_level(logging.WARNING, "ebpf"):
        assert eventually(lambda: run(auto, code) == RESULT and tiers_of(code).reason != "")
    assert tiers_of(code).reason == "compiling failed: no"
    assert [record.message for record in caplog.records] == ["program  is not compiled: no"]
    assert run(auto, code) == RESULT


def test_a_program_that_is_gone_is_not_compiled(auto: Engine) -> None:
    code = program()
    known, gone = tiers_of(code), weakref.ref(code)
    del code
    gc.collect()
    assert gone() is None
    known.compile("light")
    assert known.code is None


def test_without_llvmlite_auto_is_the_interpreter(auto: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "available", lambda: "llvmlite is not installed (pip install 'ebpf[jit]')")
    engines._missing_compiler.cache_clear()
    try:
        chosen = choose_engine()
        assert (chosen.name, chosen.reason) == ("interpreter", "llvmlite is not installed (pip install 'ebpf[jit]')")
        with pytest.raises(NotSupportedError, match=r"pip install 'ebpf\[jit\]'.*interpreter"):
            choose_engine("jit")
    finally:
        engines._missing_compiler.cache_clear()


def test_threads_that_ask_at_once_begin_one_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    class Slow(threading.Thread):
        def start(self) -> None:
            begun.append(self)
            if len(begun) == 1:
                other = thread(target=tiers._queue_up, args=(asked,))
                other.start()
                other.join(20)
                assert not other.is_alive()

    thread, asked = threading.Thread, Tiers(program(), trusted=False)
    monkeypatch.setattr(tiers, "_queue", SimpleQueue())
    monkeypatch.setattr(tiers, "_begins", [None])
    monkeypatch.setattr(threading, "Thread", Slow)
    tiers._queue_up(asked)
    tiers._queue_up(asked)
    assert len(begun) == 1
    assert tiers._queue.qsize() == 3


def test_where_no_thread_is_left_the_next_one_who_asks_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refuse(self: threading.Thread) -> None:
        tried.append(self)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(tiers, "_queue", SimpleQueue())
    monkeypatch.setattr(tiers, "_begins", [None])
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(2):
        tiers._queue_up(Tiers(program(), trusted=False))
    assert len(tried) == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ImageError("the system refuses executable memory (ENOMEM)", refused=True), "the system refuses executable"),
        (OSError(24, "Too many open files"), r"OSError: \[Errno 24\] Too many open files"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_no_error_is_the_end_of_the_compiler(
    auto: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    reason: str,
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise error

    code = program()
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "ebpf"):
        patched.setattr(tiers, "cached_code", fail)
        assert eventually(lambda: run(auto, code) == RESULT and tiers_of(code).reason != "")
    other = program()
    assert eventually(lambda: run(auto, other) == RESULT and tiers_of(other).code is not None)
    (record,) = caplog.records
    assert re.match(f"program  is not compiled: {reason}", record.message)
    assert auto.why is not None
    assert re.match(f"compiling failed: {reason}", auto.why(code))
    assert auto.why(other) == auto.reason


@pytest.mark.parametrize("error", [CompileError("no llvmlite"), ImageError("no executable memory", refused=True)])
@pytest.mark.usefixtures("auto")
def test_jit_says_why_it_cannot_compile(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise error

    code, jit = program(), choose_engine("jit")
    with monkeypatch.context() as patched:
        patched.setattr(tiers, "cached_code", refuse)
        for enter in (lambda: run(jit, code), lambda: lane_of(jit, code)):
            with pytest.raises(
                NotSupportedError, match=rf"engine 'jit' for program '' is .*; {error}; use 'interpreter'"
            ):
                enter()
    assert run(jit, code) == RESULT


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("EBPF_CACHE_DIR", str(tmp_path / "cache"))
    host_fingerprint.cache_clear()
    yield tmp_path / "cache"
    host_fingerprint.cache_clear()


@pytest.mark.parametrize("part", ["_processor", "source_fingerprint"])
@pytest.mark.usefixtures("auto")
def test_without_a_fingerprint_nothing_is_kept(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    def fail(*_packages: str) -> bytes:
        raise FileNotFoundError(2, "No such file or directory", "/proc/cpuinfo")

    jit = choose_engine("jit")
    with monkeypatch.context() as patched, caplog.at_level(logging.INFO, "ebpf"):
        patched.setattr(fingerprint, part, fail)
        assert run(jit, program()) == RESULT
    assert "compiled programs are not kept: [Errno 2] No such file or directory: '/proc/cpuinfo'" in caplog.text
    assert not cache.exists()
    assert run(jit, program()) == RESULT
    assert list(cache.glob("*.obj"))


@pytest.mark.usefixtures("auto", "cache")
def test_without_a_cache_no_fingerprint_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> bytes:
        raise AssertionError("nobody needs it")

    monkeypatch.setenv("EBPF_CACHE", "off")
    monkeypatch.setattr(fingerprint, "host_fingerprint", fail)
    assert run(choose_engine("jit"), program()) == RESULT


def test_what_could_not_be_compiled_is_compiled_once_it_can(auto: Engine) -> None:
    code = program()
    tiers_of(code).reason = "compiling failed: no executable memory"
    assert run(choose_engine("jit"), code) == RESULT
    assert auto.why is not None
    assert auto.why(code) == auto.reason


def output_at_exit(script: str, *arguments: str) -> str:
    """Run what a process does up to its end, and in it."""
    command = [sys.executable, "-c", DROPPED_LAST + script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return done.stdout


DROPPED_LAST = """
import atexit, gc, sys, threading
from tests.unit.vm.jit.test_tiers import HOT, Tiers, choose_engine, program, run, tiers, tiers_of

class Last:
    def __init__(self):
        self.itself = self  # the interpreter drops it at its end, when other threads are gone
    def __del__(self):
        last()

gc.collect()
gc.set_threshold(0)
Last()
begun, ends = threading.Event(), threading.Event()
"""

IMPORTING = """
sys.path.insert(0, sys.argv[1])

def compile_slowly(*_arguments, **_options):
    import slow

def last():
    import slow
    print("imported")

tiers.cached_code = compile_slowly
code = program()
tiers._queue_up(tiers_of(code))
assert begun.wait(60)
atexit.register(ends.set)
"""

SLOW = """
import time
from __main__ import begun, ends

begun.set()
ends.wait(60)
time.sleep(0.2)
"""


@pytest.mark.usefixtures("auto")
def test_no_import_is_cut_off_when_the_interpreter_ends(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    assert output_at_exit(IMPORTING, str(tmp_path)) == "imported\n"


COMPILING = """
def compile_for_ever(*_arguments, **_options):
    begun.set()
    threading.Event().wait()

def last():
    try:
        run(choose_engine("jit"), other)
    except Exception as error:
        print(error)

tiers.cached_code, tiers.AT_EXIT = compile_for_ever, 0
code, other = program(), program()
tiers._queue_up(tiers_of(code))
assert begun.wait(60)
"""


@pytest.mark.usefixtures("auto")
def test_nobody_waits_for_a_compile_that_was_cut_off() -> None:
    assert "the interpreter ends while another program is compiled; use 'interp" in output_at_exit(COMPILING)


INTERPRETED = """
def last():
    while tiers_of(code)._work <= HOT[None]:
        run(auto, code)
    print(auto.now(code), threading.active_count())

auto, code = choose_engine("auto"), program()
run(auto, code)
"""


@pytest.mark.usefixtures("auto")
def test_auto_begins_no_compiler_when_the_interpreter_ends() -> None:
    assert output_at_exit(INTERPRETED) == "interpreter 1\n"


FORKED = """
import os, time
from tests.unit.vm.jit.test_tiers import RESULT, choose_engine, program, run, tiers, tiers_of

auto, code = choose_engine("auto"), program()
tiers._begins.clear()  # the parent's thread does not come to it
while tiers_of(code)._asked is None:
    run(auto, code)
child = os.fork()
if not child:
    end = time.monotonic() + 30
    while tiers_of(code).code is None and time.monotonic() < end:
        assert run(auto, code) == RESULT
    os._exit(tiers_of(code).code is None)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.usefixtures("auto")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_the_child_of_a_fork_compiles_what_the_parent_has_not() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
