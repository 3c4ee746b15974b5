"""Helpers that call back into the program (kernel/bpf/bpf_iter.c, map_for_each_callback)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpf.abi.helpers import Helper
from ebpf.abi.linux import E2BIG, EINVAL
from ebpf.abi.types import MapType
from ebpf.vm import M32
from ebpf.vm.helpers.map import require
from ebpf.vm.machine import Run
from ebpf.vm.maps import Map

MAX_LOOPS = 8 << 20
_ITERABLE = frozenset(
    (
        MapType.ARRAY,
        MapType.HASH,
        MapType.LRU_HASH,
        MapType.PERCPU_ARRAY,
        MapType.PERCPU_HASH,
        MapType.LRU_PERCPU_HASH,
    )
)


def _for_each(run: Run, map_: Map, callback: int, context: int, flags: int) -> int:
    require(map_, _ITERABLE)
    if flags:
        return -EINVAL
    address = run.memory.object(map_, f"map {map_.name}")
    visited = 0
    for key, _, value in map_.elements_on(run.cpu):
        visited += 1
        # The callback may only read the key, which is gone when it returns.
        at = run.memory.add(key, f"key of {map_.name}", writable=False)
        stop = run.call(callback, (address, at, run.memory.value(value, map_), context))
        run.memory.remove(at)
        if stop:
            break
    return visited


def _loop(run: Run, count: int, callback: int, context: int, flags: int) -> int:
    count &= M32
    if flags:
        return -EINVAL
    if count > MAX_LOOPS:
        return -E2BIG
    for index in range(count):
        if run.call(callback, (index, context)):
            return index + 1
    return count


BODIES: dict[Helper, Callable[..., Any]] = {Helper.FOR_EACH_MAP_ELEM: _for_each, Helper.LOOP: _loop}
