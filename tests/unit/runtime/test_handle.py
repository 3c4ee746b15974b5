"""Handles: closed once, never under a borrower, loud when dropped."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable

import pytest

from ebpf.errors import ClosedError
from ebpf.runtime.handle import Handle
from tests.interrupts import interrupted


def test_close_closes_once() -> None:
    closed: list[int] = []
    handle = Handle(closed.append, 7)
    assert not handle.closed
    handle.close()
    handle.close()
    assert closed == [7]
    assert handle.closed


def test_borrow_after_close_says_so() -> None:
    handle = Handle(lambda _: None, 7)
    handle.close()
    with pytest.raises(ClosedError, match="number 7 was closed"), handle.borrow():
        pass


def test_the_last_borrower_closes() -> None:
    closed: list[int] = []
    handle = Handle(closed.append, 7)
    with handle.borrow() as outer:
        with handle.borrow() as inner:
            handle.close()
            assert (outer, inner) == (7, 7)
        assert closed == []
        with pytest.raises(ClosedError), handle.borrow():
            pass
    assert closed == [7]


def in_a_block(handle: Handle) -> None:
    with handle.borrow():
        pass


def on_a_stack(handle: Handle) -> None:
    with contextlib.ExitStack() as held:
        held.enter_context(handle.borrow())


@pytest.mark.parametrize("use", [in_a_block, on_a_stack])
def test_ctrl_c_leaves_no_borrower(use: Callable[[Handle], None]) -> None:
    place, whole = 0, False
    while not whole:
        place += 1
        closed: list[int] = []
        handle = Handle(closed.append, 7)
        whole = bool(interrupted(lambda handle=handle: use(handle), place, __file__, contextlib.__file__))
        gc.collect()  # an exit stack leaves its exceptions in cycles
        handle.close()
        assert closed == [7], place
    assert place > 5


def in_steps(closed: list[int]) -> Callable[[int], None]:
    """A function that closes, and may be called again if it was interrupted."""

    def close(number: int) -> None:
        os.getpid()
        closed[:] = [number]

    return close


@pytest.mark.parametrize("in_python", [False, True], ids=["in C", "in Python"])
def test_another_close_completes_one_that_was_interrupted(in_python: bool) -> None:
    place, whole = 0, False
    while not whole:
        place += 1
        closed: list[int] = []
        handle = Handle(in_steps(closed) if in_python else closed.append, 7)
        whole = bool(interrupted(handle.close, place, __file__))
        handle.close()
        handle.close()
        assert closed == [7], place
    assert place > 3


def test_the_end_of_a_handle_completes_its_close_silently() -> None:
    place, whole = 2, False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        while not whole:
            place += 1
            closed: list[int] = []
            whole = bool(interrupted(Handle(closed.append, 7).close, place))
            assert closed == [7], place


def test_a_number_in_use_is_not_given_away() -> None:
    """Close from another thread while calls are in flight: the number stays open until they return."""
    reader, writer = os.pipe()
    os.close(writer)
    handle = Handle(os.close, reader)
    inside, go = threading.Event(), threading.Event()
    seen: list[bytes] = []

    def call() -> None:
        with handle.borrow() as fd:
            inside.set()
            go.wait(10)
            seen.append(os.read(fd, 1))

    thread = threading.Thread(target=call)
    thread.start()
    assert inside.wait(10)
    handle.close()
    other = os.open(os.devnull, os.O_RDONLY)
    assert other != reader
    go.set()
    thread.join(10)
    assert seen == [b""]
    os.close(other)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)


def test_many_threads_close_once() -> None:
    closed: list[int] = []
    handle = Handle(closed.append, 1)
    start = threading.Barrier(8)

    def work(closes: bool) -> None:
        start.wait(10)
        for _ in range(2000):
            try:
                with handle.borrow():
                    assert closed == []
            except ClosedError:
                return
        if closes:
            handle.close()

    threads = [threading.Thread(target=work, args=(index % 2 == 0,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert closed == [1]


def test_a_dropped_handle_warns_where_it_was_made_and_closes() -> None:
    closed: list[int] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Handle(closed.append, 7, what="map")
        gc.collect()
    assert closed == [7]
    [warning] = caught
    assert warning.category is ResourceWarning
    assert f"unclosed map (number 7) made at {__file__}" in str(warning.message)
    assert warning.filename == __file__


def test_a_dropped_handle_closes_even_when_the_warning_is_an_error() -> None:
    closed: list[int] = []
    unraisable: list[object] = []
    before, sys.unraisablehook = sys.unraisablehook, unraisable.append
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Handle(closed.append, 7)
            gc.collect()
    finally:
        sys.unraisablehook = before
    assert closed == [7]
    assert len(unraisable) == 1


def test_a_closed_handle_is_dropped_silently() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Handle(lambda _: None, 7).close()
        gc.collect()


def _python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=60)


_MAKE = "import os\nfrom ebpf.runtime import Handle\ndef make():\n    return Handle(os.close, os.dup(2))\n"


def test_the_interpreter_exits_quietly_with_everything_open() -> None:
    done = _python(_MAKE + "keep = [make() for _ in range(100)]\n", "-W", "error", "-X", "dev")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_dev_mode_shows_the_whole_stack() -> None:
    done = _python(_MAKE + "def outer():\n    make()\nouter()\n", "-X", "dev")
    assert done.returncode == 0
    assert "ResourceWarning: unclosed handle" in done.stderr
    assert "in outer" in done.stderr
    assert "in make" in done.stderr


def test_the_default_shows_nothing() -> None:
    done = _python(_MAKE + "make()\n")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork() exists on POSIX only")
def test_a_forked_child_closes_its_own_copy() -> None:
    code = (
        "import os, threading, warnings\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"  # 3.12 warns of fork beside threads
        "from ebpf.runtime import Handle\n"
        "h = Handle(os.close, os.open(os.devnull, os.O_RDONLY))\n"
        "inside, leave = threading.Event(), threading.Event()\n"
        "def hold():\n"
        "    with h.borrow():\n"
        "        inside.set(); leave.wait(30)\n"
        "t = threading.Thread(target=hold); t.start(); inside.wait(30)\n"
        "with h.borrow() as fd:\n"
        "    pass\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    h.close()\n"  # the borrower is not in this process: closes now
        "    try:\n"
        "        os.fstat(fd)\n"
        "    except OSError:\n"
        "        os._exit(0)\n"
        "    os._exit(1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
        "os.fstat(fd)\n"
        "leave.set(); t.join(); h.close()\n"
    )
    done = _python(code)
    assert (done.returncode, done.stderr) == (0, "")
