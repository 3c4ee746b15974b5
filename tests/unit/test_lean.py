"""Weak references without `weakref`: what is dropped is noticed once, and not while the interpreter exits. Bells."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from ebpf.lean import Bell, WeakSet, WhenDropped


class Thing:
    """Something that can be referred to weakly."""

    def __init__(self) -> None:
        self.other: Thing | None = None


@pytest.mark.parametrize("in_a_cycle", [False, True])
def test_what_is_dropped_is_noticed_once(in_a_cycle: bool) -> None:
    called: list[int] = []
    thing = Thing()
    thing.other = thing if in_a_cycle else None
    one = WhenDropped(thing, lambda: called.append(1))
    del thing
    gc.collect()
    assert called == [1]
    assert not one.cancel()


def test_a_cancelled_one_is_not_called() -> None:
    called: list[int] = []
    thing = Thing()
    one = WhenDropped(thing, lambda: called.append(1))
    assert one.cancel()
    assert not one.cancel()
    del thing
    assert not called


AT_EXIT = """
import atexit

def last():  # after the functions of modules that are imported later
    print("to come:", one.cancel())

atexit.register(last)
from ebpf.lean import WhenDropped
class Thing: pass
thing, kept = Thing(), Thing()
one = WhenDropped(thing, lambda: print("dropped the first"))
two = WhenDropped(kept, lambda: print("dropped the second"))
"""


def test_nothing_is_called_while_the_interpreter_exits() -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", AT_EXIT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("to come: True\n", "")


def test_a_weak_set_keeps_nothing_alive() -> None:
    things: WeakSet[Thing] = WeakSet()
    kept, dropped = Thing(), Thing()
    for thing in (kept, dropped, kept):
        things.add(thing)
    assert list(things) in ([kept, dropped], [dropped, kept])
    del dropped, thing
    assert list(things) == [kept]
    things.clear()
    assert not list(things)


def test_a_bell_is_heard_once_by_all_that_listen() -> None:
    bell = Bell()
    bell.ring()
    with bell.listening() as first, bell.listening() as second:
        assert not first(0.001)
        bell.ring()
        bell.ring()
        assert (first(20), second(20)) == (True, True)
        assert (first(0), second(0)) == (False, False)
        bell.ring()
        assert first(-1)
