"""Ring buffer in native storage (support/map_ring.c): native code writes whole records without Python.

It can't wake readers. It counts how often one was to be woken; who runs programs calls `wake_due` when a run returns.
A record that finds no room it drops itself, unless the run waits, or a reader that was to be woken may still sleep.
"""

from __future__ import annotations

from array import array

from ebpf.vm.maps.base import MapShape
from ebpf.vm.maps.ring import HEADER_SIZE, Reservation, RingBufferMap
from ebpf.vm.maps.storage import COUNT, HEAD, NONE, WAKEUPS, WOKEN, NativeStorage, functions, patiently


class NativeReservation(Reservation):
    """Room for a record; native code says where it is, in the moment in which it is placed."""

    __slots__ = ("where",)

    def __init__(self, ring: NativeRingBufferMap, size: int) -> None:
        self.ring = ring
        self.size = size
        self.done = False
        self.where = array("Q", [NONE])
        self.by_native_code = False

    @property
    def placed(self) -> bool:  # type: ignore[override]  # nobody sets it
        """Whether the ring counts on it."""
        return self.where[0] != NONE

    @property
    def position(self) -> int:  # type: ignore[override]  # nobody sets it
        """Where the record begins."""
        return self.where[0]

    @property
    def view(self) -> memoryview:  # type: ignore[override]  # nobody sets it
        """The record's data."""
        at = self.position % self.ring.size + HEADER_SIZE
        return self.ring.data[at : at + self.size]


class NativeRingBufferMap(RingBufferMap):
    """A ring that native code writes to."""

    native: NativeStorage

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self._functions = functions()
        self.native = NativeStorage(self, self.data, stride=0, numbers=0)

    @classmethod
    def fits(cls, shape: MapShape, *, cpus: int) -> bool:
        """Whether there can be such a map: always."""
        return True

    def reserved(self, position: int, size: int) -> Reservation:
        """Return the reservation that native code has made."""
        reservation = NativeReservation(self, size)
        reservation.where[0], reservation.by_native_code = position, True
        return reservation

    def discard_busy(self, position: int, size: int) -> None:
        """Discard a record that native code has reserved, unless that is done: it is not busy then, or read already."""
        # In this order: where it is read already, another record may be busy in its place.
        if self.data[position % self.size + 3] & 0x80 and position >= self.consumer():
            self.discard(self.reserved(position, size))

    def producer(self) -> int:
        return self.native.words[COUNT]

    def consumer(self) -> int:
        return self.native.words[HEAD]

    def _move_consumer(self, position: int) -> None:
        self.native.words[HEAD] = position

    @property
    def wakeup_is_due(self) -> bool:
        return self.native.words[WAKEUPS] != self.native.words[WOKEN]

    def wake_due(self) -> None:
        """Wake the readers that native code could not wake."""
        words = self.native.words
        due = words[WAKEUPS]
        if due != words[WOKEN]:
            for wake in list(self.listeners):
                wake()
            words[WOKEN] = due  # after that: an interrupt must not leave a reader asleep

    def _try_reserve(self, size: int, kept: list[Reservation]) -> Reservation | None:
        reservation = NativeReservation(self, size)
        kept.append(reservation)
        if not patiently(self._functions.ring_reserve, self.native.pointer, size, reservation.where.buffer_info()[0]):
            return reservation
        kept.remove(reservation)
        self.wake_due()  # who waits for space waits for a reader
        return None

    def _commit(self, reservation: Reservation, length: int, flags: int) -> None:
        commit, pointer, position = self._functions.ring_commit, self.native.pointer, reservation.position
        if reservation.done:
            return
        reservation.done = True  # nothing can come between this and the call
        commit(pointer, position, length, flags)
        self.wake_due()
