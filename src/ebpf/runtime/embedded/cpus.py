"""Virtual CPUs: a run owns one from entry to exit, so that per-CPU values need no atomics. The gate guards them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import TypeVar

from ebpf.abi.linux import ENXIO
from ebpf.lean import Bell, RLock, get_ident
from ebpf.vm import M32
from ebpf.vm.fault import Rejected
from ebpf.vm.native import GATE_WORDS

_PATIENCE = 0.1
"""Seconds until a waiting thread looks again by itself: Ctrl-C may have come before the bell was rung."""

_OWNED, _STATISTICS, _CLOSED, _CLAIMED, _CLAIMANT, _PROGRAM = range(GATE_WORDS)

_T = TypeVar("_T")


class Gate:
    """What native code looks at before it begins a run without asking (struct gate in support/python.c).

    Numbers at an address that stays; a run may begin while the first four are 0. Threads may share it, under the
    GIL.
    """

    def __init__(self) -> None:
        self._words = array("Q", bytes(8 * GATE_WORDS))
        self.address = self._words.buffer_info()[0]

    @property
    def owned(self) -> int:
        """How many virtual CPUs have an owner."""
        return self._words[_OWNED]

    @owned.setter
    def owned(self, count: int) -> None:
        self._words[_OWNED] = count

    @property
    def statistics(self) -> int:
        """How many ask that run times are counted."""
        return self._words[_STATISTICS]

    @statistics.setter
    def statistics(self, count: int) -> None:
        self._words[_STATISTICS] = count

    @property
    def closed(self) -> bool:
        """Whether the kernel was closed."""
        return bool(self._words[_CLOSED])

    @closed.setter
    def closed(self, closed: bool) -> None:
        self._words[_CLOSED] = closed

    @property
    def claimed(self) -> bool:
        """Whether CPU 0 belongs to a run that began in native code and has no owner in Python yet."""
        return bool(self._words[_CLAIMED])

    def claimed_by(self, thread: int) -> bool:
        """Whether that is a run of this thread."""
        return bool(self._words[_CLAIMED]) and self._words[_CLAIMANT] == thread & M32

    def claimed_for(self, program: object) -> bool:
        """Whether that is a run of this program, where it is claimed."""
        return self._words[_PROGRAM] == id(program)

    def end_claim(self) -> None:
        """The run has an owner now; or there is none."""
        self._words[_CLAIMED] = 0


class Owned:
    """A CPU that a thread owns, and the programs that run on it, the innermost last."""

    __slots__ = ("cpu", "running", "thread")

    def __init__(self, cpu: int = -1) -> None:
        self.cpu = cpu
        self.thread = get_ident()
        self.running: list[object] = []


class Cpus:
    """The CPUs of one kernel. Threads may share it.

    Ctrl-C, destructors and signal handlers, which may run programs of their own, may come between any two steps.
    Therefore a CPU is taken by one call into C, which finds it free and notes who has it, and given back without one;
    and who waits for one holds no lock.
    """

    def __init__(self, count: int, gate: Gate | None = None) -> None:
        self.count = count
        self._gate = gate or Gate()
        self._gate.owned = 0
        if not self._gate.claimed_by(get_ident()):  # in the child of a fork the run goes on that has forked
            self._gate.end_claim()
        self._lock = RLock()
        self._freed: Bell | None = None  # made for the first that has to wait
        self._taken: dict[int, Owned] = {}
        """CPU → who has it."""

    @property
    def busy(self) -> int:
        """How many CPUs are owned now."""
        return len(self._taken)

    @property
    def owned_here(self) -> bool:
        """Whether this thread owns a CPU, because a program runs on it."""
        return self._here() is not None or self._gate.claimed_by(get_ident())

    def _here(self) -> Owned | None:
        me = get_ident()
        for owned in list(self._taken.values()):
            if owned.thread == me:
                return owned
        return None

    def adopt(self, program: object, body: Callable[[int], _T]) -> _T:
        """Call `body` with CPU 0, which a run of `program` that native code has begun on this thread claims."""
        owned = Owned(0)
        try:
            owned.running.append(program)
            with self._lock:
                self._taken[0] = owned
                self._gate.owned = len(self._taken)  # before the claim ends: one of both keeps others out
                self._gate.end_claim()
            return body(0)
        finally:
            # Without a call: an interrupt may come as one begins or ends.
            if 0 in self._taken and self._taken[0] is owned:
                del self._taken[0]
            self._release()

    def run(
        self,
        program: object,
        body: Callable[[int], _T],
        *,
        cpu: int | None = None,
        check: Callable[[], None] | None = None,
    ) -> _T | None:
        """Call `body` with a CPU that is owned meanwhile: the one asked for, or any; waits until it is free.

        A thread that owns one already runs on it, nested. Returns None when `program` itself is what runs there
        already: such a run is skipped, as in the kernel. `check` is called now and then while it waits, and ends that
        by raising. Raises Rejected (ENXIO) for a CPU that does not exist.
        """
        if cpu is not None and cpu >= self.count:
            raise Rejected(ENXIO, f"there is no CPU {cpu}, only {self.count}")
        owned = self._here()
        if owned is not None:
            return self._nested(owned, program, body)
        owned = Owned()
        # A run of this thread's is in native code, or on its way from there to `adopt`.
        claimed = self._gate.claimed_by(owned.thread)
        if claimed and self._gate.claimed_for(program):
            return None
        try:
            if claimed:
                self._join(owned)
            else:
                self._acquire(owned, cpu, check)
            owned.running.append(program)
            return body(owned.cpu)
        finally:
            # Without a call, as in `adopt`.
            if owned.cpu in self._taken and self._taken[owned.cpu] is owned:
                del self._taken[owned.cpu]
            self._release()

    def _release(self) -> None:
        with self._lock:
            self._gate.owned = len(self._taken)
        if self._freed is not None:
            self._freed.ring()

    def _nested(self, owned: Owned, program: object, body: Callable[[int], _T]) -> _T | None:
        if program in owned.running:
            return None
        depth = len(owned.running)
        try:
            owned.running.append(program)
            return body(owned.cpu)
        finally:
            del owned.running[depth:]

    def _join(self, owned: Owned) -> None:
        """Take CPU 0, which this thread has claimed, for a run inside of the one that did; the claim stays."""
        with self._lock:  # other threads try, and give back
            owned.cpu = 0
            self._taken[0] = owned
            self._gate.owned = len(self._taken)

    def _acquire(self, owned: Owned, wanted: int | None, check: Callable[[], None] | None) -> None:
        cpus = range(self.count) if wanted is None else (wanted,)
        if self._take(owned, cpus):
            return
        with self._bell().listening() as rung:
            while not self._take(owned, cpus):
                if check is not None:
                    check()
                rung(_PATIENCE)

    def _bell(self) -> Bell:
        with self._lock:
            if self._freed is None:
                self._freed = Bell()
            return self._freed

    def _take(self, owned: Owned, cpus: Iterable[int]) -> bool:
        with self._lock:
            return self._take_one(owned, cpus)

    def _take_one(self, owned: Owned, cpus: Iterable[int]) -> bool:
        for cpu in cpus:
            owned.cpu = cpu  # first: whoever is interrupted finds out from it what to give back
            if self._taken.setdefault(cpu, owned) is owned:
                self._gate.owned = len(self._taken)
                if cpu or not self._gate.claimed:  # asked last: from now on nobody claims it
                    return True
                del self._taken[cpu]
                self._gate.owned = len(self._taken)
        owned.cpu = -1
        return False
