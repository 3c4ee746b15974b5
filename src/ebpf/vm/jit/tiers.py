"""When a program is compiled, and how well: native code gets better while it runs.

"auto" begins in the interpreter and never waits for a compiler; "jit" compiles once before the first run. Both go on to
the next tier once the program has run long enough, on a thread of their own.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from array import array
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol, TypeAlias

from ebpf.errors import NotSupportedError
from ebpf.vm.jit.compiled import CompiledProgram, cached_code

if TYPE_CHECKING:
    from ebpf.vm.program import Program

log = logging.getLogger("ebpf")

HOT = {None: 300_000, "light": 20_000_000}
"""Tier → instructions that the program has run, after which the next one is worth its time."""
RUN_COSTS = 2_000
"""What a run counts beside its instructions: each enters and leaves native code."""
FIRST = "light"
_NEXT = {None: FIRST, FIRST: "full"}
_PATIENCE = 0.02
"""Seconds between two looks of who waits for a compile, which takes some hundredths of them and can take many."""
Check: TypeAlias = Callable[[], None]

_compiling = threading.RLock()
"""Held while LLVM works, and while what that takes is imported: a fork must not find locks taken, Python's for modules
neither. The handler of a signal that came meanwhile may fork."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_compiling.acquire, after_in_parent=_compiling.release)
_ending: list[bool] = []
"""Not empty once the interpreter ends."""
AT_EXIT = 5.0
"""Seconds that the end of the interpreter waits at most for a compile. A thread that is killed while it imports leaves
that module's lock taken, and a destructor that imports it waits for ever. Imports come first and take a fraction of
this; LLVM may take minutes, and may be cut off."""


class Follower(Protocol):
    """Who wants to know when there is better code."""

    def enter(self, code: array[int]) -> None:
        """Make the best code that there is now what is entered through a struct code."""


class Tiers:
    """The native code of one program, at each moment the best that there is. Threads may share it.

    `code` is None while there is none; `reason` says why it gets no better, where compiling failed.
    """

    def __init__(self, program: Program, *, trusted: bool) -> None:
        self.code: CompiledProgram | None = None
        self.reason = ""
        self._program = weakref.ref(program)
        self._trusted = trusted
        self._work = 0
        self._tier: str | None = None
        self._asked: object = None
        """The queue that it waits in. In the child of a fork that is nobody's."""
        # By id, and not in a WeakKeyDictionary: that one may not grow while another thread goes through it.
        self._followers: dict[int, tuple[weakref.ref[Follower], array[int]]] = {}

    def follow(self, follower: Follower, code: array[int]) -> None:
        """Tell a follower, while it lives, whenever there is better code; make the best now."""
        followers, key = self._followers, id(follower)
        followers[key] = weakref.ref(follower, lambda _: followers.pop(key, None)), code
        self._work = max(HOT.values())
        self.count(0)

    def now(self, check: Check) -> CompiledProgram:
        """Return native code; wait until it is compiled if there is none.

        `check` is called now and then meanwhile, and at the end, and ends the wait by raising. Raises NotSupportedError
        where it can't be compiled; the next call tries again.
        """
        if self.code is None:
            self._compile_first(check)
            check()
        assert self.code is not None  # or compiling would have raised
        return self.code

    def _compile_first(self, check: Check) -> None:
        from ebpf.codegen.compiler import CompileError
        from ebpf.codegen.image import ImageError

        try:
            _Aside(lambda: self.compile(FIRST)).wait(check)
        except (CompileError, ImageError) as error:
            raise NotSupportedError(
                f"engine 'jit' for program {self._name!r}",
                runtime="embedded",
                alternative=f"{error}; use 'interpreter'",
            ) from error

    def count(self, instructions: int) -> None:
        """Take note of a run; ask for better code where that is worth it."""
        self._work += instructions + RUN_COSTS
        if self._tier != "full" and self._work > HOT[self._tier] and self._asked is not _queue:
            self._asked = _queue
            _queue_up(self)

    def improve(self) -> None:
        """Make the code of the next tier, on the thread that does so; log why where that is impossible."""
        tier = _NEXT.get(self._tier)
        if tier is None:
            return  # threads that ran it at the same time have both asked
        with _compiling:
            failure = None if _ending else self._try(tier)
            why = "" if failure is None else _explain(failure)
        if failure is not None:
            log.warning("program %s is not compiled: %s", self._name, why)
            log.debug("compiling failed here", exc_info=failure)
            self.reason = f"compiling failed: {why}"

    def _try(self, tier: str) -> Exception | None:
        """Compile, and go on in that code; return the error that makes it impossible."""
        try:
            self.compile(tier)
            self._tell_followers()
        except Exception as error:  # noqa: BLE001  # whatever it is, other programs wait for this thread
            return error  # and stay in the queue, as it were: it would fail again
        self._asked = None
        self.count(0)
        return None

    def _tell_followers(self) -> None:
        for known, code in list(self._followers.values()):
            follower = known()
            if follower is not None:
                follower.enter(code)

    @property
    def _name(self) -> str:
        program = self._program()
        return "" if program is None else program.name

    def compile(self, tier: str) -> None:
        """Compile with a tier, or take such code from the cache.

        Raises CompileError, and ImageError where its code can't be mapped or the installation lacks a part.
        """
        program = self._program()
        if program is None:
            return
        _take_turn()
        try:
            if tier == FIRST and self.code is not None:
                return  # another thread has waited for it, too
            from ebpf.codegen.compiler import Tier

            self.code = CompiledProgram(cached_code(program, tier=Tier(tier), trusted=self._trusted))
        finally:
            _compiling.release()
        self._tier, self.reason = tier, ""


class _Aside:
    """Work of the compiler on a thread of its own: whoever waits for it hears Ctrl-C, which nobody does inside LLVM."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._outcome: list[BaseException | None] = []
        self._done = threading.Lock()

    def wait(self, check: Check) -> None:
        """Do the work, raise what it raises. `check` is called now and then, and ends the wait, not the work."""
        queue = _queue
        if not self._begin():
            self._work()
            return
        while not self._outcome and not self._done.acquire(timeout=_PATIENCE):
            check()
            if _queue is not queue:  # a signal's handler has forked: in the child, nobody works
                self._work()
                return
        failure = self._outcome.pop()
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # its traceback has this frame

    def _begin(self) -> bool:
        """Start the thread; False where none can be."""
        self._done.acquire()
        if _ending:
            return False
        try:
            threading.Thread(target=self._run, name="ebpf first compile", daemon=True).start()
        except RuntimeError:
            return False
        return True

    def _run(self) -> None:
        with _compiling:  # the outcome, too: a fork comes before it, or behind all of it
            try:
                self._work()
                self._outcome.append(None)
            except BaseException as error:  # noqa: BLE001 - handed over whole
                self._outcome.append(error)
        self._done.release()


def _take_turn() -> None:
    """Take the lock. Raises CompileError where the interpreter ends and a thread has it, which may be dead."""
    if not _compiling.acquire(blocking=not _ending):
        from ebpf.codegen.compiler import CompileError

        raise CompileError("the interpreter ends while another program is compiled")


def _explain(error: Exception) -> str:
    """Return the message of an error, with its type where none was written for people."""
    from ebpf.codegen.compiler import CompileError
    from ebpf.codegen.image import ImageError

    return str(error) if isinstance(error, (CompileError, ImageError)) else f"{type(error).__name__}: {error}"


def tiers_of(program: Program, *, trusted: bool = False) -> Tiers:
    """Return the native code of a program; the same for all of its runs."""
    key = "jit, trusted" if trusted else "jit"
    known: Tiers | None = program.compiled.get(key)
    return program.compiled.setdefault(key, Tiers(program, trusted=trusted)) if known is None else known


_queue: SimpleQueue[weakref.ref[Tiers]] = SimpleQueue()
"""What is to be compiled."""
_begins = [None]
"""Empty once the thread that compiles has begun. Of two threads that would begin it one finds the item: nobody waits,
and there is no lock that a fork could find taken."""


def _queue_up(tiers: Tiers) -> None:
    if _ending:
        return  # whoever starts a thread now waits for ever: it never runs
    _queue.put(weakref.ref(tiers))
    try:
        _begins.pop()
    except IndexError:
        return
    try:
        threading.Thread(target=_compile_all, name="ebpf compiler", args=(_queue,), daemon=True).start()
    except RuntimeError:  # no thread is left, or Python is about to end: whoever asks next may try
        _begins.append(None)


def _compile_all(queue: SimpleQueue[weakref.ref[Tiers]]) -> None:
    while True:
        tiers = queue.get()()
        if tiers is not None:
            tiers.improve()
        del tiers  # a program that is closed meanwhile must not wait for the next one


def _end() -> None:
    """Begin no compile any more, and let the one that runs come to its end."""
    _ending.append(True)
    if _compiling.acquire(timeout=AT_EXIT):
        _compiling.release()


atexit.register(_end)


def _forget_thread() -> None:
    """In the child of a fork it is not there, and may have left the queue locked."""
    global _queue
    _queue = SimpleQueue()
    _begins[:] = [None]
    _compiling.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_thread)
