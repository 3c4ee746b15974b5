"""Members of the commands on maps and their elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.linux import (
    BPF_MAP_CREATE,
    BPF_MAP_DELETE_BATCH,
    BPF_MAP_DELETE_ELEM,
    BPF_MAP_FREEZE,
    BPF_MAP_GET_NEXT_KEY,
    BPF_MAP_LOOKUP_AND_DELETE_BATCH,
    BPF_MAP_LOOKUP_AND_DELETE_ELEM,
    BPF_MAP_LOOKUP_BATCH,
    BPF_MAP_LOOKUP_ELEM,
    BPF_MAP_UPDATE_BATCH,
    BPF_MAP_UPDATE_ELEM,
)
from ebpf.runtime.attrs import Attr, alias, name16, pointer, s32, u32, u64

if TYPE_CHECKING:
    from typing_extensions import Buffer

_LOOKUPS = (BPF_MAP_LOOKUP_ELEM, BPF_MAP_LOOKUP_AND_DELETE_ELEM, BPF_MAP_GET_NEXT_KEY)
_OF_ELEMENTS = (*_LOOKUPS, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM, BPF_MAP_FREEZE)
_BATCH_LOOKUPS = (BPF_MAP_LOOKUP_BATCH, BPF_MAP_LOOKUP_AND_DELETE_BATCH)
_OF_BATCHES = (*_BATCH_LOOKUPS, BPF_MAP_UPDATE_BATCH, BPF_MAP_DELETE_BATCH)


class MapCreate(Attr, commands=(BPF_MAP_CREATE,)):
    """MAP_CREATE."""

    map_type: int = u32(0, tagged="MapType")
    key_size: int = u32(4)
    value_size: int = u32(8)
    max_entries: int = u32(12)
    map_flags: int = u32(16)
    inner_map_fd: int = u32(20)
    numa_node: int = u32(24)
    map_name: bytes = name16(28)
    map_ifindex: int = u32(44)
    btf_fd: int = u32(48)
    btf_key_type_id: int = u32(52)
    btf_value_type_id: int = u32(56)
    btf_vmlinux_value_type_id: int = u32(60)
    map_extra: int = u64(64)
    value_type_btf_obj_fd: int = s32(72)
    map_token_fd: int = s32(76)
    excl_prog_hash: Buffer | None = pointer(80, length="excl_prog_hash_size")
    excl_prog_hash_size: int = u32(88)


class MapElem(Attr, commands=_OF_ELEMENTS):
    """MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, MAP_DELETE_ELEM, MAP_GET_NEXT_KEY, MAP_LOOKUP_AND_DELETE_ELEM, MAP_FREEZE.

    Buffers are as long as the map's key and value (per-CPU values: all CPUs); the kernel can't check that they are.
    """

    map_fd: int = u32(0)
    key: Buffer | None = pointer(8)
    value: Buffer | None = pointer(16, written=_LOOKUPS)
    next_key: Buffer | None = alias("value")
    flags: int = u64(24)


class MapBatch(Attr, within="batch", commands=_OF_BATCHES):
    """MAP_LOOKUP_BATCH, MAP_LOOKUP_AND_DELETE_BATCH, MAP_UPDATE_BATCH, MAP_DELETE_BATCH (Linux 5.6).

    `count` is the number of elements, in and out. A batch position is as long as a key, at least 4 bytes.
    """

    in_batch: Buffer | None = pointer(0)
    out_batch: Buffer | None = pointer(8, written=_BATCH_LOOKUPS)
    keys: Buffer | None = pointer(16, written=_BATCH_LOOKUPS)
    values: Buffer | None = pointer(24, written=_BATCH_LOOKUPS)
    count: int = u32(32, written=True)
    map_fd: int = u32(36)
    elem_flags: int = u64(40)
    flags: int = u64(48)
