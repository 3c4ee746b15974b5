"""MAP_CREATE, the element commands and MAP_FREEZE (kernel/bpf/syscall.c).

The order of the checks is the kernel's, because it decides which errno a call with several mistakes gets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ebpf.abi.linux import EBUSY, EINVAL, ENOMEM, EPERM
from ebpf.abi.types import MapFlag, MapType, UpdateFlag
from ebpf.plain import NamedTuple
from ebpf.runtime.embedded.buffers import given, object_name, put, take
from ebpf.runtime.embedded.objects import BtfObject, MapObject, OpenFile, ProgramObject, access
from ebpf.vm.fault import Rejected
from ebpf.vm.maps.base import FILE_FLAGS, Map, MapShape

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.runtime.attrs import MapCreate, MapElem
    from ebpf.runtime.embedded.state import State
    from ebpf.vm.maps import ArrayOfMapsMap, HashOfMapsMap, ProgramArrayMap, RingBufferMap

_LOCK = int(UpdateFlag.LOCK)
_NESTED = (MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS)
_OVERHEAD = 256
"""Bytes that a map takes beside its elements."""


def check(error: int, what: str) -> None:
    """Raise for a negative errno; `what` says what was being done."""
    if error < 0:
        raise _failed(error, what)


def _failed(error: int, what: str) -> Rejected:
    from ebpf.abi.linux.errtexts import TEXTS

    return Rejected(-error, f"{what}: {TEXTS[-error]}")


class MapTypes(NamedTuple):
    """What BTF says about a map; ids are 0 without."""

    btf: BtfObject | None = None
    key: int = 0
    value: int = 0
    lock_offset: int | None = None


_NO_TYPES = MapTypes()


class MapCommands:
    """The commands that work on one map and one element."""

    def __init__(self, state: State) -> None:
        self._state = state

    # Creation.

    def create(self, attr: MapCreate) -> int:
        """MAP_CREATE."""
        from ebpf.vm.maps import cost_of

        readable, writable = access(attr.map_flags)
        shape = self._shape(attr)
        template = self._template(attr) if shape.type in _NESTED else None
        name = object_name(attr.map_name)
        types = self._types(attr, shape)
        shape = MapShape(
            shape.type, shape.key_size, shape.value_size, shape.max_entries, shape.flags & ~FILE_FLAGS,
            map_extra=shape.map_extra, name=name, numa_node=attr.numa_node, lock_offset=types.lock_offset,
        )  # fmt: skip
        cost = _OVERHEAD + cost_of(shape, cpus=self._state.cpu_count)
        self._state.charge(cost, "map")
        try:
            obj = MapObject(self._make(shape, template), free=self._state.refund_object)
        except BaseException:
            self._state.refund(cost)
            raise
        obj.cost = cost
        obj.btf, obj.key_type, obj.value_type = types.btf, types.key, types.value
        if obj.btf is not None:
            self._state.registry.retain(obj.btf)
            obj.holds.append(obj.btf)
        self._state.registry.add(obj)
        obj.map.id = obj.id
        return self._state.open_new(obj, readable=readable, writable=writable)

    def _shape(self, attr: MapCreate) -> MapShape:
        kind = MapType(attr.number("map_type", runtime="embedded"))
        if attr.map_flags & MapFlag.TOKEN_FD:
            raise Rejected(EINVAL, "there are no tokens in the embedded kernel")
        if attr.btf_vmlinux_value_type_id or (attr.btf_key_type_id and not attr.btf_value_type_id):
            raise Rejected(EINVAL, "a key type needs a value type, and struct_ops maps do not exist here")
        if attr.map_extra and kind not in (MapType.BLOOM_FILTER, MapType.ARENA):
            raise Rejected(EINVAL, f"map_extra means nothing to a {kind.label} map")
        if attr.map_flags & MapFlag.NUMA_NODE and attr.numa_node:
            raise Rejected(EINVAL, f"there is no NUMA node {attr.numa_node}, only 0")
        if attr.map_ifindex or attr.excl_prog_hash_size:
            raise Rejected(EINVAL, "the embedded kernel offloads no maps and gives none to one program alone")
        from ebpf.vm.maps import check_shape

        shape = MapShape(
            kind, attr.key_size, attr.value_size, attr.max_entries, attr.map_flags, map_extra=attr.map_extra
        )
        error = check_shape(shape)
        if error:
            sizes = f"key_size={shape.key_size} value_size={shape.value_size} max_entries={shape.max_entries}"
            check(error, f"a {kind.label} map can't have {sizes} map_flags={shape.flags:#x}")
        return shape

    def _types(self, attr: MapCreate, shape: MapShape) -> MapTypes:
        if not attr.btf_key_type_id and not attr.btf_value_type_id:
            return _NO_TYPES
        from ebpf.runtime.embedded.maptypes import describe_types

        return describe_types(self._state, attr, shape)

    def _template(self, attr: MapCreate) -> MapShape:
        from ebpf.vm.maps import check_template

        _, inner = self._state.handles.map_file(attr.inner_map_fd)
        check(check_template(inner.map.shape), f"a {inner.map.type.label} map can't be inside another")
        return inner.map.shape

    def _make(self, shape: MapShape, template: MapShape | None) -> Map:
        from ebpf.vm.maps import create_map

        state = self._state
        try:
            map_ = create_map(shape, cpus=state.cpu_count, seed=state.seed_of(shape), template=template)
        except (MemoryError, OverflowError):
            raise Rejected(ENOMEM, "this machine has not that much memory") from None
        self._bind(map_)
        return map_

    def _bind(self, map_: Map) -> None:
        """Give a map what it calls the kernel for."""
        state = self._state
        map_.charge = state.try_charge
        if map_.type is MapType.RINGBUF:
            cast("RingBufferMap", map_).on_full = state.wait_for_space
        elif map_.type is MapType.PROG_ARRAY:
            array = cast("ProgramArrayMap", map_)
            array.retain, array.release = state.registry.retain, state.registry.release
        elif map_.type in _NESTED:
            nested = cast("ArrayOfMapsMap | HashOfMapsMap", map_)
            nested.retain, nested.release = state.retain_map, state.release_map

    # Elements, as the system call gives them.

    def lookup(self, attr: MapElem) -> int:
        """MAP_LOOKUP_ELEM."""
        if attr.flags & ~_LOCK:
            raise Rejected(EINVAL, f"flags {attr.flags:#x} mean nothing to a look-up")
        file, obj = self._state.handles.map_file(attr.map_fd)
        put(attr.value, self.read(file, obj, attr.key, attr.flags, attr.value), "value")
        return 0

    def update(self, attr: MapElem) -> int:
        """MAP_UPDATE_ELEM."""
        file, obj = self._state.handles.map_file(attr.map_fd)
        self.write(file, obj, attr.key, attr.value, attr.flags)
        return 0

    def delete(self, attr: MapElem) -> int:
        """MAP_DELETE_ELEM."""
        if attr.flags or given(attr.value):
            raise Rejected(EINVAL, "a deletion takes a key only")
        file, obj = self._state.handles.map_file(attr.map_fd)
        self.remove(file, obj, attr.key)
        return 0

    def next_key(self, attr: MapElem) -> int:
        """MAP_GET_NEXT_KEY."""
        if attr.flags:
            raise Rejected(EINVAL, "the command takes no flags")
        file, obj = self._state.handles.map_file(attr.map_fd)
        put(attr.value, self.key_after(file, obj, attr.key), "next_key")
        return 0

    def take(self, attr: MapElem) -> int:
        """MAP_LOOKUP_AND_DELETE_ELEM."""
        if attr.flags & ~_LOCK:
            raise Rejected(EINVAL, f"flags {attr.flags:#x} mean nothing to a look-up")
        file, obj = self._state.handles.map_file(attr.map_fd)
        put(attr.value, self.pop(file, obj, attr.key, attr.flags), "value")
        return 0

    def freeze(self, attr: MapElem) -> int:
        """MAP_FREEZE: no more writes by the system call."""
        if given(attr.key) or given(attr.value) or attr.flags:
            raise Rejected(EINVAL, "the command takes a map only")
        file, obj = self._state.handles.map_file(attr.map_fd)
        self.need_write(file, obj)
        if obj.writable_mappings:
            raise Rejected(EBUSY, "the map is mapped for writing")
        obj.map.frozen = True
        return 0

    # Elements, for everyone who has the map at hand. Each raises Rejected.

    def read(self, file: OpenFile, obj: MapObject, key: Buffer | None, flags: int, value: Buffer | None) -> bytes:
        """Return a value in the form of the system call."""
        self.need_read(file)
        self._check_lock(obj.map, flags)
        raw = key_of(obj.map, key)
        wanted = take(value, obj.map.value_size, "value") if obj.map.type is MapType.BLOOM_FILTER else b""
        return _bytes(obj.map.read(raw, flags, wanted), obj.map, "look up")

    def write(self, file: OpenFile, obj: MapObject, key: Buffer | None, value: Buffer | None, flags: int) -> None:
        """Insert or replace a value in the form of the system call."""
        self.need_write(file, obj)
        self._check_lock(obj.map, flags)
        raw = key_of(obj.map, key)
        self.put_value(obj.map, raw, take(value, obj.map.system_value_size, "value"), flags)

    def remove(self, file: OpenFile, obj: MapObject, key: Buffer | None) -> None:
        """Delete an element."""
        self.need_write(file, obj)
        check(obj.map.delete(key_of(obj.map, key)), f"delete from {obj.map!r}")

    def key_after(self, file: OpenFile, obj: MapObject, key: Buffer | None) -> bytes:
        """Return the next key."""
        self.need_read(file)
        raw = key_of(obj.map, key) if given(key) else None
        return _bytes(obj.map.next_key(raw), obj.map, "find the next key of")

    def pop(self, file: OpenFile, obj: MapObject, key: Buffer | None, flags: int) -> bytes:
        """Return a value and delete its element."""
        self.need_read(file)
        self.need_write(file, obj)
        self._check_lock(obj.map, flags)
        return _bytes(obj.map.take(key_of(obj.map, key), flags), obj.map, "take from")

    def put_value(self, map_: Map, key: bytes, value: bytes, flags: int) -> None:
        """Store a value; a descriptor becomes the object that it stands for."""
        from ebpf.vm.maps import ArrayOfMapsMap, HashOfMapsMap, ProgramArrayMap

        number = int.from_bytes(value[:4], "little")
        if isinstance(map_, ProgramArrayMap):
            check(map_.check_hold(key, flags), f"update {map_!r}")
            error = map_.hold(key, self._program_for(map_, number), flags)
        elif isinstance(map_, ArrayOfMapsMap | HashOfMapsMap):
            check(map_.check_hold(key, flags), f"update {map_!r}")
            error = map_.hold(key, self._inner_for(map_, number), flags)
        else:
            error = map_.write(key, value, flags)
        check(error, f"update {map_!r}")

    def _program_for(self, map_: ProgramArrayMap, number: int) -> ProgramObject:
        program = self._state.handles.program(number)
        if not map_.accepts(program.program.type):
            raise Rejected(EINVAL, f"{map_!r} holds programs of another type than {program.program.type.label}")
        return program

    def _inner_for(self, map_: ArrayOfMapsMap | HashOfMapsMap, number: int) -> Map:
        _, inner = self._state.handles.map_file(number)
        if not map_.accepts(inner.map):
            raise Rejected(EINVAL, f"{inner.map!r} differs from the inner map that {map_!r} was made with")
        return inner.map

    def need_read(self, file: OpenFile) -> None:
        """Check that the descriptor may read."""
        if not file.readable:
            raise Rejected(EPERM, "the map was opened for writing only (BPF_F_WRONLY)")

    def need_write(self, file: OpenFile, obj: MapObject) -> None:
        """Check that the descriptor may write and that the map is not frozen."""
        if not file.writable:
            raise Rejected(EPERM, "the map was opened for reading only (BPF_F_RDONLY)")
        if obj.map.frozen:
            raise Rejected(EPERM, "the map is frozen")

    def _check_lock(self, map_: Map, flags: int) -> None:
        if flags & _LOCK and map_.lock_offset is None:
            raise Rejected(EINVAL, "BPF_F_LOCK needs a bpf_spin_lock in the value")


def key_of(map_: Map, key: Buffer | None) -> bytes:
    """Copy a key in; maps without keys want none."""
    if map_.key_size:
        return take(key, map_.key_size, "key")
    if given(key):
        raise Rejected(EINVAL, f"{map_!r} has no keys")
    return b""


def _bytes(result: bytes | int, map_: Map, what: str) -> bytes:
    if isinstance(result, int):
        raise _failed(result, f"{what} {map_!r}")
    return result
