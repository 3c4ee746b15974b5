"""When a program is compiled, and how well: native code gets better while it runs.

"auto" begins in the interpreter and never waits for a compiler; "jit" compiles once before the first run. Both go on to
the next tier once the program has run long enough, on a thread of their own.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from array import array
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from ebpf.vm.jit.compiled import CompiledProgram, cached_code

if TYPE_CHECKING:
    from ebpf.vm.program import Program

log = logging.getLogger("ebpf")

HOT = {None: 300_000, "light": 20_000_000}
"""Tier → instructions that the program has run, after which the next one is worth its time."""
RUN_COSTS = 2_000
"""What a run counts beside its instructions: each enters and leaves native code."""
_NEXT = {None: "light", "light": "full"}

_compiling = threading.RLock()
"""Held while LLVM works: a fork must not find its locks taken. The handler of a signal that came meanwhile may fork."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_compiling.acquire, after_in_parent=_compiling.release)


class Follower(Protocol):
    """Who wants to know when there is better code."""

    def enter(self, code: array[int]) -> None:
        """Make the best code that there is now what is entered through a struct code."""


class Tiers:
    """The native code of one program, at each moment the best that there is. Threads may share it.

    `code` is None while there is none; `reason` says why it stays so, where compiling failed.
    """

    def __init__(self, program: Program, *, trusted: bool) -> None:
        self.code: CompiledProgram | None = None
        self.reason = ""
        self._program = weakref.ref(program)
        self._trusted = trusted
        self._work = 0
        self._tier: str | None = None
        self._wanted = False
        # By id, and not in a WeakKeyDictionary: that one may not grow while another thread goes through it.
        self._followers: dict[int, tuple[weakref.ref[Follower], array[int]]] = {}

    def follow(self, follower: Follower, code: array[int]) -> None:
        """Tell a follower, while it lives, whenever there is better code; make the best now."""
        followers, key = self._followers, id(follower)
        followers[key] = weakref.ref(follower, lambda _: followers.pop(key, None)), code
        self._work = max(HOT.values())
        self.count(0)

    def now(self) -> CompiledProgram:
        """Return native code, compiled here and now if there is none. Raises CompileError."""
        if self.code is None:
            self.compile("light")
        assert self.code is not None  # or compiling would have raised
        return self.code

    def count(self, instructions: int) -> None:
        """Take note of a run; ask for better code where that is worth it."""
        self._work += instructions + RUN_COSTS
        if self._tier != "full" and self._work > HOT[self._tier] and not self._wanted:
            self._wanted = True
            _queue_up(self)

    def improve(self) -> None:
        """Make the code of the next tier, on the thread that does so."""
        from ebpf.codegen.compiler import CompileError

        tier = _NEXT.get(self._tier)
        if tier is None:
            return  # threads that ran it at the same time have both asked
        try:
            self.compile(tier)
        except CompileError as error:
            self.reason = f"compiling failed: {error}"
            log.warning("program %s is not compiled: %s", self._name, error)
            return  # and stay wanted: it would fail again
        self._wanted = False
        for known, code in list(self._followers.values()):
            follower = known()
            if follower is not None:
                follower.enter(code)
        self.count(0)

    @property
    def _name(self) -> str:
        program = self._program()
        return "" if program is None else program.name

    def compile(self, tier: str) -> None:
        """Compile with a tier, or take such code from the cache. Raises CompileError."""
        from ebpf.codegen.compiler import Tier

        program = self._program()
        if program is None:
            return
        with _compiling:
            self.code = CompiledProgram(cached_code(program, tier=Tier(tier), trusted=self._trusted))
        self._tier = tier


def tiers_of(program: Program, *, trusted: bool = False) -> Tiers:
    """Return the native code of a program; the same for all of its runs."""
    key = "jit, trusted" if trusted else "jit"
    known: Tiers | None = program.compiled.get(key)
    return program.compiled.setdefault(key, Tiers(program, trusted=trusted)) if known is None else known


class _Worker:
    """The thread that compiles, begun with the first program that it is asked for."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[weakref.ref[Tiers]] = SimpleQueue()
        threading.Thread(target=self._run, name="ebpf compiler", daemon=True).start()

    def _run(self) -> None:
        while True:
            tiers = self.queue.get()()
            if tiers is not None:
                tiers.improve()
            del tiers  # a program that is closed meanwhile must not wait for the next one


_worker: _Worker | None = None


def _queue_up(tiers: Tiers) -> None:
    global _worker
    if _worker is None:
        _worker = _Worker()
    _worker.queue.put(weakref.ref(tiers))


def _forget_worker() -> None:
    """In the child of a fork the thread is not there."""
    global _worker
    _worker = None
    _compiling.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_worker)
