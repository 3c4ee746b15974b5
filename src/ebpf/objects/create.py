"""Create a map from its spec: fix-ups, then MAP_CREATE (kernel/bpf/syscall.c `map_create`)."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ebpf.abi.linux import BPF_MAP_CREATE, EACCES, EINVAL, ENOTSUPP, EPERM
from ebpf.abi.types import LINUX, TAG_SHIFT, WINDOWS, MapFlag, MapType
from ebpf.errors import LoadError, MissingPrivilegeError, NotSupportedError, SystemCallError
from ebpf.objects.classes import class_of
from ebpf.objects.collection import Sources
from ebpf.runtime import attrs
from ebpf.runtime.load import object_name

if TYPE_CHECKING:
    from ebpf.btf import Btf, Type
    from ebpf.objects.map import Map
    from ebpf.runtime.base import Runtime
    from ebpf.runtime.handle import Handle
    from ebpf.spec import MapSpec

_NESTED = (MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS)
_SIZELESS = (MapType.RINGBUF, MapType.USER_RINGBUF, MapType.ARENA)
"""The kernel wants key and value sizes of 0; an object may give types for decoding."""
_KEYLESS = (MapType.QUEUE, MapType.STACK, MapType.BLOOM_FILTER)
_UNTYPED = frozenset(
    {
        MapType.PERF_EVENT_ARRAY, MapType.CGROUP_ARRAY, MapType.STACK_TRACE, MapType.ARRAY_OF_MAPS,
        MapType.HASH_OF_MAPS, MapType.DEVMAP, MapType.DEVMAP_HASH, MapType.CPUMAP, MapType.XSKMAP, MapType.SOCKMAP,
        MapType.SOCKHASH, MapType.QUEUE, MapType.STACK, MapType.RINGBUF, MapType.USER_RINGBUF, MapType.ARENA,
        MapType.PROG_ARRAY,
    }
)  # fmt: skip
"""Types that refuse BTF for keys and values (no `map_check_btf` that allows it)."""
_DROPPABLE = (EINVAL, ENOTSUPP)


def effective_spec(spec: MapSpec, *, cpus: int) -> MapSpec:
    """Return the spec as it will be created, with what an object may leave open filled in; the given one stays."""
    changes: dict[str, object] = {}
    if spec.type in _NESTED:
        changes["value_size"] = 4
    elif spec.type in (MapType.PERF_EVENT_ARRAY, MapType.CPUMAP):
        if spec.type is MapType.PERF_EVENT_ARRAY:
            changes["key_size"] = changes["value_size"] = 4
        if not 0 < spec.max_entries <= cpus:
            changes["max_entries"] = cpus
    elif spec.type in _SIZELESS:
        changes["key_size"] = changes["value_size"] = 0
    elif spec.type in _KEYLESS:
        changes["key_size"] = 0
    elif spec.type is MapType.LPM_TRIE:
        changes["flags"] = spec.flags | MapFlag.NO_PREALLOC  # the kernel takes no trie without it
    return spec._replace(**changes)


def create_map(
    spec: MapSpec,
    *,
    runtime: Runtime,
    types: Btf | None = None,
    btf: Handle | None = None,
    token: int | None = None,
    sources: Sources | None = None,
) -> Map:
    """Create one map and fill it with its contents, except for those that name other objects.

    `btf` is the loaded form of `types`; without it a spec with types has its own loaded for the call. Raises
    LoadError whose `map` is the name, MissingPrivilegeError, NotSupportedError.
    """
    _refuse_unsupported(spec, runtime)
    spec = effective_spec(spec, cpus=runtime.cpus)
    with ExitStack() as held:
        if types is None and btf is None:
            types, btf = _own_types(spec, runtime, held)
        inner = held.enter_context(_template(spec, runtime, types, btf, token)) if spec.inner is not None else None
        handle, spec = _create(spec, runtime, _Typing.of(spec, btf), inner, token)
    map_ = class_of(spec.type)(runtime, handle, spec, types=types, sources=sources)
    try:
        fill(map_, spec)
    except BaseException:
        map_.close()
        raise
    return map_


def fill(map_: Map, spec: MapSpec) -> None:
    """Write the contents that are bytes, and freeze a section that only programs of later times may read."""
    contents = spec.contents
    if isinstance(contents, (bytes, bytearray)):
        map_.io.update((0).to_bytes(4, sys.byteorder), bytes(contents).ljust(map_.value_size, b"\0"))
    elif contents is not None:
        pairs = [(key, value) for key, value in contents if isinstance(value, bytes)]
        if pairs:
            map_.io.update_many(pairs)
    if isinstance(contents, (bytes, bytearray)) and spec.flags & MapFlag.RDONLY_PROG:
        map_.freeze()


class _Typing:
    """The BTF of a map's keys and values, or none."""

    def __init__(self, btf: Handle | None, key: int, value: int) -> None:
        self.btf = btf
        self.key = key
        self.value = value

    @classmethod
    def of(cls, spec: MapSpec, btf: Handle | None) -> _Typing:
        if btf is None or spec.value is None or spec.type in _UNTYPED:
            return cls(None, 0, 0)
        return cls(btf, _type_id(spec.key), _type_id(spec.value))

    @property
    def absent(self) -> _Typing:
        return _Typing(None, 0, 0)


def _type_id(type_: Type | None) -> int:
    return 0 if type_ is None else type_.id


def _own_types(spec: MapSpec, runtime: Runtime, held: ExitStack) -> tuple[Btf | None, Handle | None]:
    """Load the BTF that a lone spec's types come from, for the time of the creation."""
    if spec.value is None or spec.type in _UNTYPED:
        return None if spec.value is None else spec.value.btf, None
    from ebpf.objects.blobs import load_btf

    btf = load_btf(runtime, spec.value.btf)
    if btf is not None:
        held.callback(btf.close)
    return spec.value.btf, btf


def _template(spec: MapSpec, runtime: Runtime, types: Btf | None, btf: Handle | None, token: int | None) -> Map:
    """Create the map that shows the kernel what a map of maps will hold; closed right after."""
    assert spec.inner is not None
    inner = spec.inner._replace(contents=None)
    return create_map(inner, runtime=runtime, types=types, btf=btf, token=token)


def _create(
    spec: MapSpec, runtime: Runtime, typing: _Typing, inner: Map | None, token: int | None
) -> tuple[Handle, MapSpec]:
    """Call MAP_CREATE; give up, in this order, MMAPABLE (data sections only, Linux 5.5) and the types."""
    attempts = [(spec, typing)]
    if isinstance(spec.contents, (bytes, bytearray)) and spec.type is MapType.ARRAY:
        mapped = spec._replace(flags=spec.flags | MapFlag.MMAPABLE)
        attempts.insert(0, (mapped, typing))
    if typing.btf is not None:
        attempts += [(one, typing.absent) for one, _ in attempts]
    for number, (attempt, types) in enumerate(attempts, start=1):
        try:
            return runtime.own(_map_create(attempt, runtime, types, inner, token)), attempt
        except SystemCallError as error:
            if number == len(attempts) or error.linux_errno not in _DROPPABLE:
                raise _explained(spec, error) from error
            from ebpf.log import logger

            logger().debug("map %s: %s; trying with less", spec.name, error)
    raise AssertionError("the last attempt returns or raises")


def _map_create(spec: MapSpec, runtime: Runtime, typing: _Typing, inner: Map | None, token: int | None) -> int:
    attr = attrs.MapCreate(
        map_type=spec.type,
        key_size=spec.key_size,
        value_size=spec.value_size,
        max_entries=spec.max_entries,
        map_flags=spec.flags,
        numa_node=spec.numa_node,
        map_name=object_name(spec.name),
        map_extra=spec.map_extra,
        btf_key_type_id=typing.key,
        btf_value_type_id=typing.value,
    )
    if token is not None:
        attr.map_token_fd = token
        attr.map_flags |= MapFlag.TOKEN_FD
    with ExitStack() as held:
        if typing.btf is not None:
            attr.btf_fd = held.enter_context(typing.btf.borrow())
        if inner is not None:
            attr.inner_map_fd = held.enter_context(inner.handle.borrow())
        return runtime.bpf(BPF_MAP_CREATE, attr)


def _refuse_unsupported(spec: MapSpec, runtime: Runtime) -> None:
    if not isinstance(spec.type, MapType):
        raise TypeError(f"the type of map {spec.name} is a MapType, got {spec.type!r}")
    if spec.type >> TAG_SHIFT != (WINDOWS if runtime.personality == "windows" else LINUX):
        raise NotSupportedError(
            f"map {spec.name} of {spec.type.platform.name.lower()} type {spec.type.label}", runtime=runtime.name
        )
    if spec.type is MapType.STRUCT_OPS:
        raise NotSupportedError(f"creating struct_ops map {spec.name}", alternative="remove it from the spec")
    if any(spec.extra):
        raise LoadError(f"create map {spec.name}: its legacy definition has fields that nobody reads", map=spec.name)


def _explained(spec: MapSpec, error: SystemCallError) -> LoadError | SystemCallError:
    """Say which map, and what is likely wrong with it."""
    if isinstance(error, MissingPrivilegeError) or error.linux_errno in (EPERM, EACCES):
        return error
    hint = ""
    if error.linux_errno == EINVAL:
        hint = _hint(spec)
    return LoadError(f"create map {spec.name} ({spec.type.label}): {error}{hint}", map=spec.name)


def _hint(spec: MapSpec) -> str:
    if spec.max_entries == 0:
        return "; max_entries is 0: set it in the spec"
    if spec.type in (MapType.RINGBUF, MapType.USER_RINGBUF):
        return "; max_entries of a ring buffer is its size in bytes: a power of two and a multiple of the page size"
    if spec.type in _NESTED and spec.inner is None:
        return "; a map of maps needs an inner map"
    return f"; key {spec.key_size} bytes, value {spec.value_size} bytes, flags {spec.flags!r}"
