"""bpf_spin_lock and bpf_spin_unlock: a real lock in the map value, with a bounded wait (kernel/bpf/helpers.c).

The lock word is 1 while a run holds it. What the verifier proves (one lock at a time, the same one unlocked, none
held at exit) is checked while the program runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ebpf.abi.helpers import Helper
from ebpf.vm.fault import Fault
from ebpf.vm.machine import Run
from ebpf.vm.maps.base import Map
from ebpf.vm.maps.storage import functions
from ebpf.vm.memory import ATOMIC

PATIENCE = 5.0
"""Seconds that a run waits for a lock before it faults."""
_HELD = b"\1\0\0\0"
_FREE = bytes(4)


def _lock(run: Run, address: int) -> None:
    word = run.memory.view(address, 4, write=True)
    deadline = time.monotonic() + PATIENCE
    take = _taker(run.memory.region(address).map, word)
    while not take():
        if time.monotonic() > deadline:
            raise Fault("helper", f"the lock was not free within {PATIENCE:g} s", address=address)
        time.sleep(0)
    run.locks[address] = word


def _taker(map_: Map | None, word: memoryview) -> Callable[[], int]:
    """Return what takes a lock if it is free: native code, where that takes it, too, which is only an aligned one."""
    if map_ is not None and map_.native is not None:
        from ebpf.codegen.image import address_of

        at = address_of(word)
        if at % 4 == 0:
            return lambda: functions().take_spin_lock(at)
    return lambda: _take(word)


def _take(word: memoryview) -> bool:
    with ATOMIC:
        if word.tobytes() != _FREE:
            return False
        word[:] = _HELD
        return True


def _unlock(run: Run, address: int) -> None:
    if run.locks.pop(address, None) is None:
        raise Fault("helper", "the program does not hold this lock", address=address)
    run.memory.view(address, 4, write=True)[:] = _FREE


def release_all(run: Run) -> int:
    """Free the locks that a run left held; return how many there were."""
    held = len(run.locks)
    for address in list(run.locks):
        run.locks[address][:] = _FREE
        del run.locks[address]  # no interrupt comes between the two: who frees again would free another run's
    return held


BODIES: dict[Helper, Callable[..., Any]] = {Helper.SPIN_LOCK: _lock, Helper.SPIN_UNLOCK: _unlock}
