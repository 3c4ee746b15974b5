"""Ring buffer (kernel/bpf/ringbuf.c, `BPF_MAP_TYPE_RINGBUF`).

Positions are free-running byte counts. A record is an 8-byte header (u32 length with two flag bits, u32 page offset)
and its data, padded to 8 bytes. The data area is twice the ring's size, so a record that begins near the end lies in
one piece. The kernel maps the same pages twice there; here the second half is memory of its own, which nobody can
tell apart, because a record is written and read at the same place (its position modulo the size).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection

from ebpf.abi.linux import EAGAIN, EINVAL, ENOTSUPP
from ebpf.lean import Bell
from ebpf.vm.maps.base import PAGE_SIZE, Map, MapShape, round_up
from ebpf.vm.maps.storage import zeroed

HEADER_SIZE = 8
BUSY = 1 << 31
DISCARD = 1 << 30
NO_WAKEUP = 1 << 0
FORCE_WAKEUP = 1 << 1
_MAX_RECORD = 0xFFFFFFFF // 4
_FIRST_DATA_PAGE = 3  # struct bpf_ringbuf: its own page, the consumer's, the producer's


def _drop(_ring: object, _seen: int) -> bool:
    return False


class Reservation:
    """Room for a record that its producer is still writing. `view` is the record's data.

    `placed` says that the ring counts on it, `done` that it was submitted or discarded. `by_native_code` says who has
    made it, and may hand it over without saying so.
    """

    __slots__ = ("by_native_code", "done", "placed", "position", "ring", "size", "view")

    def __init__(self, ring: RingBufferMap, position: int, size: int, view: memoryview) -> None:
        self.ring = ring
        self.position = position
        self.size = size
        self.view = view
        self.placed = False
        self.by_native_code = False
        self.done = False


class RingBufferMap(Map):
    """Many producers, one consumer. Threads may share it."""

    program_lookup = False

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self.size = shape.max_entries
        self.data = zeroed(2 * self.size)
        self.on_full: Callable[[RingBufferMap, int], bool] = _drop
        """Asked when a record does not fit, without the lock: True means to try again.

        Its second argument is where the consumer was before that try: it may have moved since. Native code asks only
        where the run's kernel waits (`Kernel.waits`): elsewhere the answer has to be False.
        """
        self.listeners: list[Callable[[], None]] = []
        self.readers = 0
        self.space = Bell()
        """Rung when there may be room again, or nobody makes any."""
        self._producer = 0
        self._consumer = 0

    def renew_lock(self) -> None:
        super().renew_lock()
        self.space = Bell()
        self.listeners = []
        self.readers = 0
        self._discard_abandoned()

    def _discard_abandoned(self) -> None:
        """Discard, in the child of a fork, the records that runs of other threads have not handed over there."""
        position = self.consumer()
        while position < self.producer():
            at = position % self.size
            word = int.from_bytes(self.data[at : at + 4], "little")
            length = word & ~(BUSY | DISCARD)
            if word & BUSY:
                self.data[at : at + 4] = (length | DISCARD).to_bytes(4, "little")
            position += round_up(length + HEADER_SIZE, 8)

    @classmethod
    def cost(cls, shape: MapShape, *, cpus: int) -> int:
        return shape.max_entries + _FIRST_DATA_PAGE * PAGE_SIZE

    @property
    def wakeup_is_due(self) -> bool:
        """Whether readers were to be woken, and nobody has: native code can't, and Ctrl-C may come before who can."""
        return False

    # Program side.

    def reserve(
        self, size: int, kept: list[Reservation] | None = None, held: Collection[Reservation] = ()
    ) -> Reservation | None:
        """Make room for `size` bytes; None when they don't fit now or ever.

        The reservation is put into `kept` before it is placed: who is interrupted finds it there, for `give_up`. `held`
        is what the caller still has to submit: no reader gets past that, so nobody waits for one who has come to it.
        """
        if size > _MAX_RECORD or round_up(size + HEADER_SIZE, 8) > self.size:
            return None
        while True:
            seen = self.consumer()
            reservation = self._try_reserve(size, [] if kept is None else kept)
            if reservation is not None or self._held_at(seen, held) or not self.on_full(self, seen):
                return reservation

    def submit(self, reservation: Reservation, flags: int = 0) -> None:
        """Hand a record over to the consumer."""
        self._commit(reservation, reservation.size, flags)

    def discard(self, reservation: Reservation, flags: int = 0) -> None:
        """Give a record up; the consumer skips it."""
        self._commit(reservation, reservation.size | DISCARD, flags)

    def give_up(self, kept: list[Reservation]) -> None:
        """Discard what was placed and is not done."""
        for reservation in kept:
            if reservation.placed:
                self.discard(reservation)

    def output(self, data: bytes | memoryview, flags: int = 0, held: Collection[Reservation] = ()) -> int:
        """Copy a whole record in; `held` as in `reserve`."""
        if flags & ~(NO_WAKEUP | FORCE_WAKEUP):
            return -EINVAL
        kept: list[Reservation] = []
        try:
            reservation = self.reserve(len(data), kept, held)
            if reservation is None:
                return -EAGAIN
            reservation.view[:] = data
            self.submit(reservation, flags)
            return 0
        finally:
            self.give_up(kept)

    def query(self, what: int) -> int:
        """Answer bpf_ringbuf_query: 0 unread bytes, 1 size, 2 consumer position, 3 producer position."""
        with self.lock:
            consumer, producer = self.consumer(), self.producer()
        answers = (producer - consumer, self.size, consumer, producer)
        return answers[what] if what < len(answers) else 0

    # Consumer side.

    def producer(self) -> int:
        """Position after the last reservation."""
        return self._producer

    def consumer(self) -> int:
        """Position of the next unread record."""
        return self._consumer

    def set_consumer(self, position: int) -> None:
        """Free everything before `position`."""
        with self.lock:
            self._move_consumer(position)
        self.space.ring()

    def ready(self) -> bool:
        """Whether the next record is there and complete."""
        with self.lock:
            consumer = self.consumer()
            return consumer != self.producer() and not self.data[consumer % self.size + 3] & 0x80

    def _held_at(self, position: int, held: Collection[Reservation]) -> bool:
        return any(one.ring is self and one.position == position for one in held)

    def _move_consumer(self, position: int) -> None:
        self._consumer = position

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        return -ENOTSUPP

    def delete(self, key: bytes) -> int:
        return -ENOTSUPP

    def read(self, key: bytes, flags: int = 0, value: bytes = b"") -> bytes | int:
        return -ENOTSUPP

    def _try_reserve(self, size: int, kept: list[Reservation]) -> Reservation | None:
        length = round_up(size + HEADER_SIZE, 8)
        with self.lock:
            position = self._producer
            # The kernel keeps one byte free: a record of exactly the whole size never fits.
            if position + length - self._consumer > self.size - 1:
                return None
            at = position % self.size
            struct.pack_into("<II", self.data, at, size | BUSY, at // PAGE_SIZE + _FIRST_DATA_PAGE)
            reservation = Reservation(self, position, size, self.data[at + HEADER_SIZE : at + HEADER_SIZE + size])
            kept.append(reservation)
            self._producer = position + length
            reservation.placed = True
            return reservation

    def _commit(self, reservation: Reservation, length: int, flags: int) -> None:
        with self.lock:
            if reservation.done:
                return
            at, word = reservation.position % self.size, length.to_bytes(4, "little")
            reservation.done = True
            self.data[at : at + 4] = word
            caught_up = self._consumer % self.size == reservation.position % self.size
        if flags & FORCE_WAKEUP or (caught_up and not flags & NO_WAKEUP):
            for wake in list(self.listeners):
                wake()
