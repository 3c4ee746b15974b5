"""Helpers on maps (kernel/bpf/helpers.c); which helper goes with which map: check_map_func_compatibility."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpf.abi.helpers import Helper
from ebpf.abi.types import MapType
from ebpf.vm.fault import Fault
from ebpf.vm.machine import Run
from ebpf.vm.maps import Map

_NESTED = frozenset((MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS))
_QUEUES = frozenset((MapType.QUEUE, MapType.STACK))
_PUSHABLE = _QUEUES | {MapType.BLOOM_FILTER}
_PER_CPU = frozenset((MapType.PERCPU_ARRAY, MapType.PERCPU_HASH, MapType.LRU_PERCPU_HASH))
_LOOKUP_ONLY = _NESTED | {MapType.DEVMAP, MapType.DEVMAP_HASH, MapType.XSKMAP}


def require(map_: Map, allowed: frozenset[MapType]) -> None:
    """Fault where the map is of another type than the helper works on."""
    if map_.type not in allowed:
        raise Fault("helper", f"can't be used on a map of type {map_.type.label}")


def require_writable(map_: Map) -> None:
    """Fault where programs may only read the map."""
    if not map_.program_writable:
        raise Fault("helper", f"write into map {map_.name} forbidden: it was created with BPF_F_RDONLY_PROG")


def _require_elements(map_: Map) -> None:
    if not map_.program_lookup or map_.type in _PUSHABLE:
        raise Fault("helper", f"can't be used on a map of type {map_.type.label}")


def _lookup(run: Run, map_: Map, key: bytes) -> int:
    if map_.type in _NESTED:
        inner: Map | None = map_.inner(key)  # type: ignore[attr-defined]  # only maps of these two types have inner maps
        return 0 if inner is None else run.memory.object(inner, f"map {inner.name}")
    _require_elements(map_)
    return _address(run, map_, map_.lookup(key, run.cpu))


def _address(run: Run, map_: Map, view: memoryview | None) -> int:
    return 0 if view is None else run.memory.value(view, map_)


def _update(run: Run, map_: Map, key: bytes, value: bytes, flags: int) -> int:
    _require_writable_elements(map_)
    return map_.update(key, value, flags, run.cpu)


def _delete(run: Run, map_: Map, key: bytes) -> int:
    _require_writable_elements(map_)
    return map_.delete(key)


def _require_writable_elements(map_: Map) -> None:
    _require_elements(map_)
    require_writable(map_)
    if map_.type in _LOOKUP_ONLY:
        raise Fault("helper", f"can't be used on a map of type {map_.type.label}")


def _push(run: Run, map_: Map, value: bytes, flags: int) -> int:
    require(map_, _PUSHABLE)
    require_writable(map_)
    return map_.push(value, flags)


def _pop(run: Run, map_: Map, value: memoryview) -> int:
    require(map_, _QUEUES)
    require_writable(map_)
    return _fill(value, map_.pop())


def _peek(run: Run, map_: Map, value: memoryview) -> int:
    require(map_, _PUSHABLE)
    result = map_.peek(value.tobytes())
    if map_.type == MapType.BLOOM_FILTER:
        return result if isinstance(result, int) else 0
    return _fill(value, result)


def _fill(value: memoryview, result: bytes | int) -> int:
    if isinstance(result, int):
        value[:] = bytes(len(value))
        return result
    value[:] = result
    return 0


def _lookup_percpu(run: Run, map_: Map, key: bytes, cpu: int) -> int:
    require(map_, _PER_CPU)
    return _address(run, map_, map_.lookup_percpu(key, cpu & 0xFFFFFFFF))


BODIES: dict[Helper, Callable[..., Any]] = {
    Helper.MAP_LOOKUP_ELEM: _lookup,
    Helper.MAP_UPDATE_ELEM: _update,
    Helper.MAP_DELETE_ELEM: _delete,
    Helper.MAP_PUSH_ELEM: _push,
    Helper.MAP_POP_ELEM: _pop,
    Helper.MAP_PEEK_ELEM: _peek,
    Helper.MAP_LOOKUP_PERCPU_ELEM: _lookup_percpu,
}
