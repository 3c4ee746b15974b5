"""Ring buffer helpers (kernel/bpf/ringbuf.c). A record that was submitted or discarded is gone: its pointer faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpf.abi.helpers import Helper
from ebpf.abi.types import MapType
from ebpf.vm.helpers.map import require
from ebpf.vm.machine import Run
from ebpf.vm.maps import Map
from ebpf.vm.maps.ring import Reservation, RingBufferMap

_RINGS = frozenset((MapType.RINGBUF,))


def _ring(map_: Map) -> RingBufferMap:
    require(map_, _RINGS)
    assert isinstance(map_, RingBufferMap)
    return map_


def _output(run: Run, map_: Map, data: memoryview, size: int, flags: int) -> int:
    return _ring(map_).output(data, flags, run.reservations.values())


def _reserve(run: Run, map_: Map, size: int, flags: int) -> int:
    ring = _ring(map_)
    kept = run.unclaimed
    reservation = None if flags else ring.reserve(size, kept, run.reservations.values())
    if reservation is None:
        return 0
    address = run.memory.add(reservation.view, f"record of {ring.name}")
    run.reservations[address] = reservation
    kept.clear()
    return address


def _submit(run: Run, address: int, flags: int) -> None:
    reservation: Reservation = run.reservations[address]
    reservation.ring.submit(reservation, flags)
    _forget(run, address)


def _discard(run: Run, address: int, flags: int) -> None:
    reservation: Reservation = run.reservations[address]
    reservation.ring.discard(reservation, flags)
    _forget(run, address)


def _forget(run: Run, address: int) -> None:
    del run.reservations[address]
    run.memory.discard(address)  # an interrupt may have come before there was a region


def discard_all(run: Run) -> int:
    """Give up the records that a run left reserved; return how many there were."""
    left = list(run.reservations)
    for address in left:
        _discard(run, address, 0)
    for reservation in run.unclaimed:
        reservation.ring.give_up([reservation])
    return len(left)


def _query(run: Run, map_: Map, what: int) -> int:
    return _ring(map_).query(what)


BODIES: dict[Helper, Callable[..., Any]] = {
    Helper.RINGBUF_OUTPUT: _output,
    Helper.RINGBUF_RESERVE: _reserve,
    Helper.RINGBUF_SUBMIT: _submit,
    Helper.RINGBUF_DISCARD: _discard,
    Helper.RINGBUF_QUERY: _query,
}
