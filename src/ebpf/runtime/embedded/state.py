"""What the parts of the embedded kernel share: objects, handles, memory account, clock, random numbers, trace."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from ebpf.abi import types
from ebpf.abi.linux import ENOMEM
from ebpf.lean import Lock, RLock, WeakSet, local
from ebpf.runtime.embedded.cpus import Cpus, Gate
from ebpf.runtime.embedded.objects import HandleTable, KernelObject, MapObject, ProgramObject, Registry
from ebpf.runtime.embedded.randomness import RandomNumbers
from ebpf.runtime.facts import Limits
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from ebpf.runtime.embedded.rings import EmbeddedRing, EmbeddedWaiter
    from ebpf.vm.maps import Map, MapShape, PerfRing, RingBufferMap
    from ebpf.vm.program import Program

_PATIENCE = 0.1
"""Seconds until a run that waits for space looks again by itself: Ctrl-C may have come before the bell was rung."""
TRACE_LINES = 100_000
"""How many lines of trace_printk are kept until somebody reads them."""

open_rings: WeakSet[EmbeddedRing] = WeakSet()
open_waiters: WeakSet[EmbeddedWaiter] = WeakSet()
"""Every ring and waiter of this process, for the child of a fork, where none has a producer."""


def _thread_id() -> int:
    from threading import get_native_id  # not every system has it

    return get_native_id()


class Lossless(local):
    """Whether the runs of a thread may not lose records, but wait for space."""

    waits = False


class State:
    """The embedded kernel's own state; also what programs see of the kernel (`ebpf.vm.machine.Kernel`).

    `clock` gives nanoseconds for all clocks, `seed` makes random numbers and hash seeds repeatable. Threads may share
    it; its lock is never held while foreign code runs.
    """

    def __init__(self, *, cpus: int, seed: int | None, clock: Callable[[], int] | None, limits: Limits) -> None:
        self.limits = limits
        self.cpu_count = cpus
        self.gate = Gate()
        self.cpus = Cpus(cpus, self.gate)
        self.registry = Registry()
        self.handles = HandleTable(self.registry, limit=limits.handles)
        self.booted = time.monotonic_ns()
        self.lossless = Lossless()
        self._clock = clock
        self._random = RandomNumbers(seed)
        self._lock = Lock()
        self._memory = 0
        self._trace: deque[str] = deque(maxlen=TRACE_LINES)

    @property
    def statistics(self) -> int:
        """How many ask that run times are counted."""
        return self.gate.statistics

    @statistics.setter
    def statistics(self, count: int) -> None:
        self.gate.statistics = count

    @property
    def closed(self) -> bool:
        """Whether the kernel has ended: runs stop with a fault within 100 ms."""
        return self.gate.closed

    @closed.setter
    def closed(self, closed: bool) -> None:
        self.gate.closed = closed

    def renew_locks(self) -> None:
        """Take new locks and CPUs, in the child of a fork."""
        self._lock = Lock()
        self._random.renew_lock()
        self.registry.lock = RLock()
        self.lossless = Lossless()
        self.cpus = Cpus(self.cpu_count, self.gate)
        for obj in self.registry.all(MapObject):
            obj.map.renew_lock()
            obj.writable_mappings = 0
        for program in self.registry.all(ProgramObject):
            program.lock = Lock()

    # Memory account.

    def try_charge(self, size: int) -> bool:
        """Take bytes from the limit (negative: give them back); False when there are not that many."""
        if self._take(size):
            return True
        self._settle()
        return self._take(size)

    def _take(self, size: int) -> bool:
        with self._lock:
            if self._memory + size > self.limits.memory:
                return False
            self._memory += size
            return True

    def _settle(self) -> None:
        """Take back the memory of elements that native code has deleted."""
        for obj in self.registry.all(MapObject):
            obj.map.settle()

    def charge(self, size: int, what: str) -> None:
        """Take bytes from the limit. Raises Rejected (ENOMEM)."""
        if not self.try_charge(size):
            raise Rejected(ENOMEM, f"a {what} of {size} bytes exceeds the limit; raise Limits.memory")

    def refund(self, size: int) -> None:
        """Give bytes back."""
        self.try_charge(-size)

    def refund_object(self, obj: KernelObject) -> None:
        """Give back the bytes of an object that has ended, once."""
        with self._lock:
            self._memory -= obj.cost
            obj.cost = 0  # nothing can come between the two

    @property
    def memory_used(self) -> int:
        """Bytes that maps and programs take."""
        self._settle()
        return self._memory

    # Objects.

    def open_new(self, obj: KernelObject, *, readable: bool = True, writable: bool = True) -> int:
        """Open the first handle of a new object; without one the object ends."""
        self.registry.retain(obj)
        try:
            return self.handles.open(obj, readable=readable, writable=writable)
        finally:
            self.registry.release(obj)

    def retain_map(self, map_: Map) -> None:
        """Count a map that another map holds."""
        obj = self.registry.find(MapObject, map_.id)
        if obj is not None:
            self.registry.retain(obj)

    def release_map(self, map_: Map) -> None:
        """Undo `retain_map`."""
        obj = self.registry.find(MapObject, map_.id)
        if obj is not None:
            self.registry.release(obj)

    def seed_of(self, shape: MapShape) -> int:
        """Return the hash seed of a new map; 0 of those that hash nothing."""
        from ebpf.vm.maps import is_seeded

        return self.random_u32() if is_seeded(shape) and not shape.flags & types.MapFlag.ZERO_SEED else 0

    def wait_for_space(self, ring: RingBufferMap | PerfRing, seen: int) -> bool:
        """Wait until the reader of a full ring has read beyond `seen`, for runs that may not lose records.

        False (drop the record) for other runs, without a reader, where the ring is empty (what does not fit there
        never does), and once the kernel is closing.
        """
        if not self.lossless.waits:
            return False
        for wake in list(ring.listeners):
            wake()  # the records that it should read may have been handed over with BPF_RB_NO_WAKEUP
        with ring.space.listening() as rung:
            while ring.consumer() == seen:
                if ring.producer() == seen or not ring.readers or self.closed:
                    return False
                rung(_PATIENCE)
        return True

    # What programs see.

    @property
    def waits(self) -> bool:
        """Whether runs of this thread may not lose records."""
        return self.lossless.waits

    def ktime_ns(self) -> int:
        """Monotonic nanoseconds."""
        return self._clock() if self._clock is not None else time.monotonic_ns()

    @cached_property
    def native_clock(self) -> int:
        """Address of the function that `ktime_ns`, `boot_ns` and `tai_ns` call, for native code; 0: ask these."""
        from ebpf.codegen.image import clock_function

        return clock_function() if self._clock is None else 0

    def boot_ns(self) -> int:
        """Nanoseconds since boot, suspended time included where the system knows it."""
        if self._clock is not None or sys.platform != "linux":
            return self.ktime_ns()
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def tai_ns(self) -> int:
        """Nanoseconds of international atomic time where the system knows it, else of real time."""
        if self._clock is not None:
            return self._clock()
        if sys.platform == "linux":
            return time.clock_gettime_ns(time.CLOCK_TAI)
        return time.time_ns()

    def random_u32(self) -> int:
        """Next pseudo-random number."""
        return self._random.next()

    @cached_property
    def native_random(self) -> int:
        """Address where native code finds the numbers that `random_u32` would return."""
        from ebpf.vm.native import load_interpreter

        return self._random.share(load_interpreter())

    def pid_tgid(self) -> int:
        """Process id in the upper, thread id in the lower 32 bits."""
        return os.getpid() << 32 | _thread_id() & 0xFFFFFFFF

    def uid_gid(self) -> int:
        """Group id in the upper, user id in the lower 32 bits; 0 where the system has none."""
        if sys.platform == "win32":
            return 0
        return os.getgid() << 32 | os.getuid()

    def comm(self) -> bytes:
        """Name of the current thread as the system knows it, else of the program."""
        try:
            with open(f"/proc/self/task/{_thread_id()}/comm", "rb") as file:
                return file.read().rstrip(b"\n")[:15]
        except OSError:
            return os.fsencode(os.path.basename(sys.executable or "python"))[:15]

    def trace(self, text: str) -> None:
        """Keep a line of trace_printk."""
        self._trace.append(text)

    def take_trace(self) -> list[str]:
        """Return the lines since the last call."""
        lines = []
        while self._trace:
            lines.append(self._trace.popleft())
        return lines

    def program_of(self, prog_array: Map, index: int) -> Program | None:
        """Return the program in a slot of a program array."""
        from ebpf.vm.maps import ProgramArrayMap

        if not isinstance(prog_array, ProgramArrayMap):
            return None
        return prog_array.program(index)
