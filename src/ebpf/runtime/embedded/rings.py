"""Reading rings: memory, perf rings per CPU, and waiting without polling."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ebpf.abi.linux import E2BIG, EINVAL
from ebpf.errors import ClosedError
from ebpf.lean import Bell
from ebpf.runtime.embedded.objects import KernelObject, MapObject
from ebpf.runtime.embedded.state import open_rings, open_waiters
from ebpf.vm.fault import Rejected
from ebpf.vm.maps.base import PAGE_SIZE

if TYPE_CHECKING:
    from ebpf.runtime.base import RingMemory
    from ebpf.runtime.embedded.state import State
    from ebpf.vm.maps import PerfRing, RingBufferMap

DEFAULT_PERF_SIZE = 64 * 1024
"""Bytes of one CPU's perf ring unless asked otherwise."""
_PATIENCE = 0.1
"""Seconds until a waiting thread asks whether it should have been woken: Ctrl-C may have come before that."""


class EmbeddedRing:
    """A ring as its reader sees it. Threads may share it; close() once, afterwards every call raises ClosedError."""

    def __init__(self, state: State, ring: RingBufferMap | PerfRing, obj: MapObject, *, cpu: int | None = None) -> None:
        self.size = ring.size
        self.data = ring.data.toreadonly()
        """Of a ring buffer twice `size`, so that no record wraps; of a perf ring `size`."""
        self._ring = ring
        self._state = state
        self._map = obj
        self._held: list[KernelObject] = [obj]
        """The map, until it is released: when the ring is closed for good."""
        self._cpu = cpu
        self._closed = False
        self._counted = True
        with ring.lock:
            ring.readers += 1
        state.registry.retain(obj)  # as a mapping keeps a map of the kernel alive
        open_rings.add(self)

    @property
    def ring(self) -> RingBufferMap | PerfRing:
        """The ring itself."""
        return self._ring

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    @property
    def orphaned(self) -> bool:
        """Whether the kernel was closed: what is in the ring can be read, and nothing will come after it."""
        return self._state.closed

    def producer(self) -> int:
        """Position after the last record."""
        self._check()
        return self._ring.producer()

    def consumer(self) -> int:
        """Position of the next unread record."""
        self._check()
        return self._ring.consumer()

    def set_consumer(self, position: int) -> None:
        """Give everything before `position` back to the producers."""
        self._check()
        self._ring.set_consumer(position)

    def close(self) -> None:
        """Stop reading: producers that wait for space go on, a perf ring leaves its slot.

        If Ctrl-C ends it, another call does the rest: each step may be done again.
        """
        if not self._held:
            return
        self._closed = True
        with self._ring.lock:
            if self._counted:
                self._ring.readers -= 1
                self._counted = False  # nothing can come between the two
        self._leave_slot()
        self.wake_all()
        self._state.registry.release_once(self._held)

    def _leave_slot(self) -> None:
        from ebpf.vm.maps import PerfEventArrayMap

        map_ = self._map.map
        if not isinstance(map_, PerfEventArrayMap) or self._cpu is None:
            return
        with map_.lock:
            if map_.rings.get(self._cpu) is self._ring:
                map_.place(self._cpu, None)

    def wake_all(self) -> None:
        """Let producers that wait for space, and readers that wait for records, look again whether to go on."""
        self._ring.space.ring()
        for wake in list(self._ring.listeners):
            wake()

    def abandon(self) -> None:
        """Become closed in the child of a fork, where nothing is left to give back."""
        self._closed = True
        self._held.clear()

    def _check(self) -> None:
        if self._closed:
            raise ClosedError("the ring was closed; open it again")


def open_ring(state: State, obj: MapObject, *, cpu: int | None, size: int | None) -> EmbeddedRing:
    """Open a ring buffer, or make the perf ring of a CPU and put it into its slot."""
    from ebpf.vm.maps import PerfEventArrayMap, PerfRing, RingBufferMap

    map_ = obj.map
    if isinstance(map_, RingBufferMap):
        return EmbeddedRing(state, map_, obj)
    if not isinstance(map_, PerfEventArrayMap) or cpu is None:
        needs = "a CPU" if isinstance(map_, PerfEventArrayMap) else "a ring buffer or perf event array"
        raise ValueError(f"a ring needs {needs}, got a map of type {map_.type.name}")
    if cpu >= state.cpu_count:
        raise Rejected(EINVAL, f"there is no CPU {cpu}, only {state.cpu_count}")
    if cpu >= map_.max_entries:
        raise Rejected(E2BIG, f"{map_!r} has {map_.max_entries} slots, none for CPU {cpu}")
    pages = max(1, -(-(size or DEFAULT_PERF_SIZE) // PAGE_SIZE))
    ring = PerfRing(PAGE_SIZE << (pages - 1).bit_length(), cpu=cpu, identity=state.random_u32())
    ring.on_full = state.wait_for_space
    map_.place(cpu, ring)
    return EmbeddedRing(state, ring, obj, cpu=cpu)


class EmbeddedWaiter:
    """Waits for a bell that producers ring. Threads may share it; close() ends every wait."""

    def __init__(self, rings: Sequence[RingMemory]) -> None:
        self._rings = [ring for ring in rings if isinstance(ring, EmbeddedRing)]
        self._bell = Bell()
        self._woken = False
        self._closed = False
        self._notify = self._bell.ring
        for ring in self._rings:
            ring.ring.listeners.append(self._notify)
        open_waiters.add(self)

    def wait(self, timeout: float | None) -> bool:
        """Block up to `timeout` seconds (None: for ever); False when the time is over, True on data or wake().

        Raises ClosedError after close(), and where nothing can come any more because the kernel was closed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._bell.listening() as rung:
            if self._closed:
                raise ClosedError("the waiter was closed")
            while not (self._woken or self._closed or self._ready()):
                if any(ring.orphaned for ring in self._rings):
                    raise ClosedError("the kernel of the ring was closed")
                if not self._wait_until(deadline, rung):
                    return False
            self._woken = False  # one that comes between the look and this has ended this wait, too
            return True

    def _wait_until(self, deadline: float | None, rung: Callable[[float], bool]) -> bool:
        """Wait until the bell rings, or should have; False when the time is over."""
        while True:
            left = _PATIENCE if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            if rung(min(left, _PATIENCE)) or self._should_look():
                return True

    def _should_look(self) -> bool:
        if self._woken or self._closed:
            return True
        return any(ring.closed or ring.ring.wakeup_is_due for ring in self._rings)

    def wake(self) -> None:
        """End the wait of a thread, or the next one; does nothing after close()."""
        self._woken = True
        self._bell.ring()

    def fileno(self) -> int | None:
        """Return None: there is nothing to select on, use a thread."""
        return None

    def close(self) -> None:
        """End all waits; each returns True. Further waits raise ClosedError."""
        self._closed = True
        self._bell.ring()
        for ring in self._rings:
            if self._notify in ring.ring.listeners:
                ring.ring.listeners.remove(self._notify)

    def abandon(self) -> None:
        """Become closed in the child of a fork."""
        self._closed = True

    def _ready(self) -> bool:
        return any(ring.closed or ring.ring.ready() for ring in self._rings)
