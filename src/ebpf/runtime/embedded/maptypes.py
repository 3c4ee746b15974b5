"""BTF of a map's key and value: what MAP_CREATE checks (map_check_btf in kernel/bpf/syscall.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.linux import EINVAL, ENOTSUPP, EOPNOTSUPP
from ebpf.abi.types import MapType
from ebpf.btf import Datasec, Int, Struct, Type, size_of, strip
from ebpf.errors import BtfError
from ebpf.runtime.embedded.maps import MapTypes
from ebpf.runtime.embedded.objects import BtfObject
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from ebpf.runtime.attrs import MapCreate
    from ebpf.runtime.embedded.state import State
    from ebpf.vm.maps import MapShape

SPIN_LOCK = "bpf_spin_lock"
_LOCKABLE = frozenset({MapType.HASH, MapType.ARRAY})
_UNTYPED = frozenset(
    {
        MapType.PERF_EVENT_ARRAY, MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS, MapType.DEVMAP, MapType.CPUMAP,
        MapType.XSKMAP, MapType.DEVMAP_HASH,
    }
)  # fmt: skip
"""Types that take no BTF at all (map_check_no_btf)."""
_KEYLESS = frozenset({MapType.ARRAY, MapType.BLOOM_FILTER}) | _UNTYPED
"""Types that look at a missing key type themselves."""


def describe_types(state: State, attr: MapCreate, shape: MapShape) -> MapTypes:
    """Check the types that MAP_CREATE names against the map's sizes."""
    obj = state.handles.btf(attr.btf_fd)
    try:
        key = _sized(obj, attr.btf_key_type_id, shape.key_size) if attr.btf_key_type_id else None
        if key is None and shape.type not in _KEYLESS:
            raise Rejected(EINVAL, f"a {shape.type.label} map needs a key type")
        value = _sized(obj, attr.btf_value_type_id, shape.value_size)
        lock = _lock_offset(value)
    except BtfError as error:
        raise Rejected(EINVAL, str(error)) from None
    if lock is not None and shape.type not in _LOCKABLE:
        raise Rejected(EOPNOTSUPP, f"a {shape.type.label} map can't have a {SPIN_LOCK} in its values")
    _check_kind(shape, key, value)
    return MapTypes(obj, attr.btf_key_type_id, attr.btf_value_type_id, lock)


def _sized(obj: BtfObject, number: int, size: int) -> Type:
    found = obj.btf.by_id(number)
    if size_of(found) != size:
        raise Rejected(EINVAL, f"type {number} takes {size_of(found)} bytes, the map has {size}")
    return strip(found)  # as btf_type_id_size() does: __u32 is a typedef


def _check_kind(shape: MapShape, key: Type | None, value: Type) -> None:
    if shape.type in _UNTYPED:
        raise Rejected(ENOTSUPP, f"a {shape.type.label} map takes no types")
    if shape.type in (MapType.ARRAY, MapType.PERCPU_ARRAY):
        whole_section = key is None and shape.max_entries == 1 and isinstance(value, Datasec)
        number = isinstance(key, Int) and key.bits == 32 and not key.bit_offset
        if not (whole_section or number):
            raise Rejected(EINVAL, "the key of an array is a 32-bit integer")
    if shape.type is MapType.LPM_TRIE and not isinstance(key, Struct):
        raise Rejected(EINVAL, "the key of a trie is a struct")


def _lock_offset(value: Type) -> int | None:
    """Return where the spin lock lies: a direct member, or a variable of a data section."""
    found: list[int] = []
    if isinstance(value, Struct):
        found = [m.offset for m in value.members if _is_lock(m.type)]
    elif isinstance(value, Datasec):
        found = [e.offset for e in value.entries if _is_lock(_of_variable(e.type))]
    if len(found) > 1:
        raise Rejected(EINVAL, f"a value can have one {SPIN_LOCK}, not {len(found)}")
    return found[0] if found else None


def _of_variable(type_: Type) -> Type:
    from ebpf.btf import Var

    return type_.target if isinstance(type_, Var) else type_


def _is_lock(type_: Type) -> bool:
    plain = strip(type_)
    return isinstance(plain, Struct) and plain.name == SPIN_LOCK
