"""OBJ_GET_INFO_BY_FD (kernel/bpf/syscall.c; layouts in abi/linux/info.py)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ebpf.abi.linux import E2BIG, EBADFD, EINVAL
from ebpf.abi.linux.info import (
    BTF_INFO,
    LINK_DETAILS,
    LINK_INFO,
    LINK_INFO_SIZE,
    MAP_INFO,
    PROG_INFO,
    InfoField,
    Layout,
)
from ebpf.runtime.embedded.linkobjects import LinkObject
from ebpf.runtime.embedded.objects import BtfObject, KernelObject, MapObject, ProgramObject
from ebpf.runtime.info import answer_info
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from ebpf.runtime.attrs import ObjInfo
    from ebpf.runtime.embedded.state import State

_PAGE = 4096


def _whole(layout: Layout, size: int) -> Layout:
    """Extend a layout to the size of the C struct, whose end is padded."""
    return (*layout, InfoField("", size - 4, 4))


_MAP = _whole(MAP_INFO, 104)
_PROGRAM = _whole(PROG_INFO, 232)


def answer(state: State, attr: ObjInfo) -> int:
    """Describe the object behind a handle."""
    obj = _object(state, attr.bpf_fd)
    _check_tail(attr)
    if attr.info_len == 0:
        return 0
    if isinstance(obj, MapObject):
        error = answer_info(attr, _MAP, _map(obj), {})
    elif isinstance(obj, ProgramObject):
        error = answer_info(attr, _PROGRAM, _program(obj), _program_arrays(obj))
    elif isinstance(obj, BtfObject):
        arrays = {"btf": obj.raw, "name": obj.name.encode() + b"\0"}
        error = answer_info(attr, BTF_INFO, {"id": obj.id}, arrays)
    elif isinstance(obj, LinkObject):
        layout = _whole(LINK_INFO + LINK_DETAILS.get(obj.type, ()), LINK_INFO_SIZE)
        error = answer_info(attr, layout, _link(obj), obj.texts())
    else:
        raise Rejected(EINVAL, f"a {obj.kind} has no information")
    if error:
        raise Rejected(-error, "info is missing or shorter than info_len")
    return 0


def _object(state: State, number: int) -> KernelObject:
    """Find the object; this command alone says EBADFD for a number that is not open."""
    try:
        return state.handles.file(number).obj
    except Rejected as error:
        raise Rejected(EBADFD, error.message) from None


def _check_tail(attr: ObjInfo) -> None:
    """Refuse what this kernel does not know: bytes beyond every layout must be zero (bpf_check_uarg_tail_zero)."""
    if attr.info_len > _PAGE:
        raise Rejected(E2BIG, f"info_len {attr.info_len} exceeds a page")
    known = max(f.offset + f.size for f in PROG_INFO)
    if attr.info is not None and any(memoryview(attr.info).cast("B")[max(known, LINK_INFO_SIZE) : attr.info_len]):
        raise Rejected(E2BIG, "info has members that this kernel does not know")


def _map(obj: MapObject) -> dict[str, int | str | bytes]:
    map_ = obj.map
    return {
        "type": int(map_.type), "id": obj.id, "key_size": map_.key_size, "value_size": map_.value_size,
        "max_entries": map_.max_entries, "map_flags": map_.flags, "name": map_.name, "map_extra": map_.map_extra,
        "btf_id": obj.btf.id if obj.btf is not None else 0,
        "btf_key_type_id": obj.key_type, "btf_value_type_id": obj.value_type,
    }  # fmt: skip


def _program(obj: ProgramObject) -> dict[str, int | str | bytes]:
    program = obj.program
    return {
        "type": int(program.type), "id": obj.id, "tag": program.tag, "load_time": obj.load_time,
        "created_by_uid": obj.uid, "name": obj.name, "gpl_compatible": int(program.gpl_compatible),
        "btf_id": obj.btf.id if obj.btf is not None else 0,
        "func_info_rec_size": 8 if obj.func_info else 0, "line_info_rec_size": 16 if obj.line_info else 0,
        "nr_prog_tags": 1, "run_time_ns": obj.run_time_ns, "run_cnt": obj.run_count,
        "recursion_misses": obj.recursion_misses, "verified_insns": len(program.lowered),
    }  # fmt: skip


def _program_arrays(obj: ProgramObject) -> dict[str, bytes]:
    return {
        "xlated_prog_insns": obj.program.xlated,
        "map_ids": struct.pack(f"={len(obj.map_ids)}I", *obj.map_ids),
        "func_info": b"".join(obj.func_info),
        "line_info": b"".join(obj.line_info),
        "prog_tags": obj.program.tag,
    }


def _link(obj: LinkObject) -> dict[str, int | str | bytes]:
    return {"type": int(obj.type), "id": obj.id, "prog_id": obj.program.id, **obj.details()}
