"""The batch commands (generic_map_*_batch of kernel/bpf/syscall.c, *_batch of kernel/bpf/hashtab.c).

`count` is how many elements there is room for, and after the call how many were done. Hash tables are walked by slot:
the position is a u32, every slot holds one element, so ENOSPC (a bucket that does not fit) never happens here. The
others are walked by key: the position is the last key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.linux import EFAULT, EINVAL, ENOENT, ENOTSUPP
from ebpf.abi.types import Cmd, MapType, UpdateFlag
from ebpf.abi.types.commands import command_name
from ebpf.runtime.embedded.buffers import given, put, take
from ebpf.runtime.embedded.maps import MapCommands, check
from ebpf.runtime.embedded.objects import MapObject, OpenFile
from ebpf.vm.fault import Rejected
from ebpf.vm.maps import ArrayOfMapsMap, HashMap, HashOfMapsMap, Map

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.runtime.attrs import MapBatch
    from ebpf.runtime.embedded.state import State

_LOCK = int(UpdateFlag.LOCK)
_HASHES = frozenset(
    {MapType.HASH, MapType.PERCPU_HASH, MapType.LRU_HASH, MapType.LRU_PERCPU_HASH, MapType.HASH_OF_MAPS}
)
_BY_KEY = frozenset({MapType.ARRAY, MapType.PERCPU_ARRAY, MapType.ARRAY_OF_MAPS, MapType.LPM_TRIE})
SUPPORTED: dict[int, frozenset[MapType]] = {
    Cmd.MAP_LOOKUP_BATCH: _HASHES | _BY_KEY,
    Cmd.MAP_UPDATE_BATCH: _HASHES | _BY_KEY,
    Cmd.MAP_DELETE_BATCH: _HASHES | {MapType.LPM_TRIE},
    Cmd.MAP_LOOKUP_AND_DELETE_BATCH: _HASHES,
}
"""Which types have which command; the others answer ENOTSUPP (524)."""

_OF_OBJECTS = (ArrayOfMapsMap, HashOfMapsMap)
"""Maps whose values are descriptors, each of which becomes an object."""
_MAX_BUCKETS = 1 << 31


class BatchCommands:
    """Many elements in one call. Not atomic: other threads may come in between."""

    def __init__(self, state: State, maps: MapCommands) -> None:
        self._state = state
        self._maps = maps

    def lookup(self, attr: MapBatch) -> int:
        """MAP_LOOKUP_BATCH."""
        obj = self._open(Cmd.MAP_LOOKUP_BATCH, attr, reads=True, writes=False)
        if isinstance(obj.map, HashMap):
            return self._walk_slots(obj.map, attr, delete=False)
        return self._walk_keys(obj.map, attr)

    def take(self, attr: MapBatch) -> int:
        """MAP_LOOKUP_AND_DELETE_BATCH."""
        obj = self._open(Cmd.MAP_LOOKUP_AND_DELETE_BATCH, attr, reads=True, writes=True)
        assert isinstance(obj.map, HashMap)
        return self._walk_slots(obj.map, attr, delete=True)

    def update(self, attr: MapBatch) -> int:
        """MAP_UPDATE_BATCH."""
        map_ = self._open(Cmd.MAP_UPDATE_BATCH, attr, reads=False, writes=True).map
        self._check_flags(map_, attr.elem_flags)
        wanted, attr.count = attr.count, 0
        if not wanted:
            return 0
        keys, values = _bytes(attr.keys, "keys"), _bytes(attr.values, "values")
        key_size, value_size = map_.key_size, map_.system_value_size
        if not isinstance(map_, _OF_OBJECTS):
            whole = min(wanted, len(keys) // key_size, len(values) // value_size)
            attr.count, error = map_.write_many(keys, values, whole, attr.elem_flags)
            check(error, f"update {map_!r}")
        for at in range(attr.count, wanted):
            # Element by element, so that a buffer that is too short fails where it ends.
            key, value = _part(keys, at, key_size, "keys"), _part(values, at, value_size, "values")
            self._maps.put_value(map_, key, value, attr.elem_flags)
            attr.count += 1
        return 0

    def delete(self, attr: MapBatch) -> int:
        """MAP_DELETE_BATCH; stops at the first key that is not there."""
        map_ = self._open(Cmd.MAP_DELETE_BATCH, attr, reads=False, writes=True).map
        self._check_flags(map_, attr.elem_flags)
        wanted, attr.count = attr.count, 0
        if not wanted:
            return 0
        keys = _bytes(attr.keys, "keys")
        attr.count, error = map_.delete_many(keys, min(wanted, len(keys) // map_.key_size))
        check(error, f"delete from {map_!r}")
        if attr.count < wanted:
            _part(keys, attr.count, map_.key_size, "keys")
        return 0

    def _open(self, cmd: int, attr: MapBatch, *, reads: bool, writes: bool) -> MapObject:
        file: OpenFile
        file, obj = self._state.handles.map_file(attr.map_fd)
        if reads:
            self._maps.need_read(file)
        if writes:
            self._maps.need_write(file, obj)
        if obj.map.type not in SUPPORTED[cmd]:
            raise Rejected(ENOTSUPP, f"a {obj.map.type.label} map has no {command_name(cmd)}")
        return obj

    def _check_flags(self, map_: Map, flags: int) -> None:
        if flags & ~_LOCK or (flags & _LOCK and map_.lock_offset is None):
            raise Rejected(EINVAL, f"elem_flags {flags:#x} mean nothing to {map_!r}")

    def _walk_keys(self, map_: Map, attr: MapBatch) -> int:
        self._check_flags(map_, attr.elem_flags)
        wanted = attr.count
        if not wanted:
            return 0
        attr.count = 0
        last = take(attr.in_batch, map_.key_size, "in_batch") if given(attr.in_batch) else None
        copied, error = 0, 0
        while copied < wanted:
            key = map_.next_key(last)
            if isinstance(key, int):
                error = -key
                break
            last = key
            value = map_.read(key)
            if isinstance(value, int):
                continue  # an empty slot, or gone since
            put(attr.keys, key, "keys", at=copied * map_.key_size)
            put(attr.values, value, "values", at=copied * map_.system_value_size)
            copied += 1
        attr.count = copied
        if copied and last is not None:
            put(attr.out_batch, last, "out_batch")
        if error:
            raise Rejected(error, "that was the last element")
        return 0

    def _walk_slots(self, map_: HashMap, attr: MapBatch, *, delete: bool) -> int:
        self._check_flags(map_, attr.elem_flags)
        if attr.flags:
            raise Rejected(EINVAL, f"flags {attr.flags:#x} mean nothing to {map_!r}")
        wanted = attr.count
        if not wanted:
            return 0
        attr.count = 0
        start = int.from_bytes(take(attr.in_batch, 4, "in_batch"), "little") if given(attr.in_batch) else 0
        if start >= _MAX_BUCKETS:
            raise Rejected(ENOENT, f"position {start} lies behind the last bucket")
        keys, values, following = map_.walk(start, wanted)
        copied = len(keys) // map_.key_size
        put(attr.keys, keys, "keys")
        put(attr.values, values, "values")
        if delete:
            gone, left = 0, memoryview(keys)
            while gone < copied:
                # What another thread has deleted meanwhile is passed over.
                gone += map_.delete_many(left[gone * map_.key_size :], copied - gone)[0]
                gone += gone < copied
        put(attr.out_batch, (following or 0).to_bytes(4, "little"), "out_batch")
        attr.count = copied
        if following is None:
            raise Rejected(ENOENT, "that was the last element")
        return 0


def _bytes(buffer: Buffer | None, what: str) -> memoryview:
    if buffer is None:
        raise Rejected(EFAULT, f"{what} are missing")
    return memoryview(buffer).cast("B")


def _part(view: memoryview, at: int, size: int, what: str) -> bytes:
    part = view[at * size : (at + 1) * size].tobytes()
    if len(part) < size:
        raise Rejected(EFAULT, f"{what} hold {len(view)} bytes, element {at} needs {(at + 1) * size}")
    return part
