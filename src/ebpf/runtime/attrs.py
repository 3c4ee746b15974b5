"""Every command's part of `union bpf_attr` (include/uapi/linux/bpf.h, up to Linux 7.0).

This is the one table of members: the offset stands beside the name, `within` is the name of the struct inside the
union. A member of a nested struct is spelled with its struct's name in front (`link_create.tracing.cookie` is
`LinkCreate.tracing_cookie`). tests/linux compares it all with the running kernel's BTF.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ebpf.abi.types import AttachType, Cmd, MapType, ProgramType
from ebpf.runtime.members import (
    Attr,
    alias,
    name16,
    nested,
    pointer,
    s32,
    string,
    strings,
    text_of,
    u32,
    u64,
    untag,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "RECORDS", "Attr", "BtfLoad", "EnableStats", "GetId", "IterCreate", "LinkCreate", "LinkDetach", "LinkUpdate",
    "MapBatch", "MapCreate", "MapElem", "ObjInfo", "ObjPin", "ProgAssocStructOps", "ProgAttach", "ProgBindMap",
    "ProgLoad", "ProgQuery", "ProgStreamRead", "ProgTestRun", "RawTracepointOpen", "TaskFdQuery", "TokenCreate",
    "text_of", "untag",
]  # fmt: skip

_LOOKUPS = frozenset({Cmd.MAP_LOOKUP_ELEM, Cmd.MAP_LOOKUP_AND_DELETE_ELEM, Cmd.MAP_GET_NEXT_KEY})
_BATCH_LOOKUPS = frozenset({Cmd.MAP_LOOKUP_BATCH, Cmd.MAP_LOOKUP_AND_DELETE_BATCH})


class MapCreate(Attr):
    """MAP_CREATE."""

    map_type: int = u32(0, tagged=MapType)
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


class MapElem(Attr):
    """MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, MAP_DELETE_ELEM, MAP_GET_NEXT_KEY, MAP_LOOKUP_AND_DELETE_ELEM, MAP_FREEZE.

    Buffers are as long as the map's key and value (per-CPU values: all CPUs); the kernel can't check that they are.
    """

    map_fd: int = u32(0)
    key: Buffer | None = pointer(8)
    value: Buffer | None = pointer(16, written=_LOOKUPS)
    next_key: Buffer | None = alias("value")
    flags: int = u64(24)


class MapBatch(Attr, within="batch"):
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


class ProgLoad(Attr):
    """PROG_LOAD. `log_true_size` is written by Linux 6.4 and newer: the bytes that the whole log takes."""

    prog_type: int = u32(0, tagged=ProgramType)
    insn_cnt: int = u32(4)
    insns: Buffer | None = pointer(8, length=("insn_cnt", 8))
    license: bytes | None = string(16)
    log_level: int = u32(24)
    log_size: int = u32(28)
    log_buf: Buffer | None = pointer(32, length="log_size", written=True)
    kern_version: int = u32(40)
    prog_flags: int = u32(44)
    prog_name: bytes = name16(48)
    prog_ifindex: int = u32(64)
    expected_attach_type: int = u32(68, tagged=AttachType)
    prog_btf_fd: int = u32(72)
    func_info_rec_size: int = u32(76)
    func_info: Buffer | None = pointer(80, length=("func_info_cnt", "func_info_rec_size"))
    func_info_cnt: int = u32(88)
    line_info_rec_size: int = u32(92)
    line_info: Buffer | None = pointer(96, length=("line_info_cnt", "line_info_rec_size"))
    line_info_cnt: int = u32(104)
    attach_btf_id: int = u32(108)
    attach_prog_fd: int = u32(112)
    attach_btf_obj_fd: int = alias("attach_prog_fd")
    core_relo_cnt: int = u32(116)
    fd_array: Buffer | None = pointer(120, length=("fd_array_cnt", 4))
    core_relos: Buffer | None = pointer(128, length=("core_relo_cnt", "core_relo_rec_size"))
    core_relo_rec_size: int = u32(136)
    log_true_size: int = u32(140, written=True)
    prog_token_fd: int = s32(144)
    fd_array_cnt: int = u32(148)
    signature: Buffer | None = pointer(152, length="signature_size")
    signature_size: int = u32(160)
    keyring_id: int = s32(164)


class ObjPin(Attr):
    """OBJ_PIN, OBJ_GET."""

    pathname: bytes | None = string(0)
    bpf_fd: int = u32(8)
    file_flags: int = u32(12)
    path_fd: int = s32(16)


class ProgAttach(Attr):
    """PROG_ATTACH, PROG_DETACH."""

    target_fd: int = u32(0)
    target_ifindex: int = alias("target_fd")
    attach_bpf_fd: int = u32(4)
    attach_type: int = u32(8, tagged=AttachType)
    attach_flags: int = u32(12)
    replace_bpf_fd: int = u32(16)
    relative_fd: int = u32(20)
    relative_id: int = alias("relative_fd")
    expected_revision: int = u64(24)


class ProgTestRun(Attr, within="test"):
    """PROG_TEST_RUN. `duration` is nanoseconds, the mean of the repeats; the sizes out are capacity in, length out."""

    prog_fd: int = u32(0)
    retval: int = u32(4, written=True)
    data_size_in: int = u32(8)
    data_size_out: int = u32(12, written=True)
    data_in: Buffer | None = pointer(16, length="data_size_in")
    data_out: Buffer | None = pointer(24, length="data_size_out", written=True)
    repeat: int = u32(32)
    duration: int = u32(36, written=True)
    ctx_size_in: int = u32(40)
    ctx_size_out: int = u32(44, written=True)
    ctx_in: Buffer | None = pointer(48, length="ctx_size_in")
    ctx_out: Buffer | None = pointer(56, length="ctx_size_out", written=True)
    flags: int = u32(64)
    cpu: int = u32(68)
    batch_size: int = u32(72)


class GetId(Attr):
    """{PROG,MAP,BTF,LINK}_GET_NEXT_ID and {PROG,MAP,BTF,LINK}_GET_FD_BY_ID."""

    start_id: int = u32(0)
    prog_id: int = alias("start_id")
    map_id: int = alias("start_id")
    btf_id: int = alias("start_id")
    link_id: int = alias("start_id")
    next_id: int = u32(4, written=True)
    open_flags: int = u32(8)
    fd_by_id_token_fd: int = s32(12)


class ObjInfo(Attr, within="info"):
    """OBJ_GET_INFO_BY_FD. `info_len` is capacity in, length out; layouts are in abi/linux/info.py.

    `pointers` gives the arrays that pointers inside `info` stand for: {byte offset of the pointer: buffer}. Packing
    writes their addresses into `info`.
    """

    bpf_fd: int = u32(0)
    info_len: int = u32(4, written=True)
    info: Buffer | None = pointer(8, length="info_len", written=True)
    pointers: Mapping[int, Buffer] | None = nested("info")


class ProgQuery(Attr, within="query"):
    """PROG_QUERY. `count` is capacity in, number of programs out."""

    target_fd: int = u32(0)
    target_ifindex: int = alias("target_fd")
    attach_type: int = u32(4, tagged=AttachType)
    query_flags: int = u32(8)
    attach_flags: int = u32(12, written=True)
    prog_ids: Buffer | None = pointer(16, length=("count", 4), written=True)
    count: int = u32(24, written=True)
    prog_cnt: int = alias("count")
    prog_attach_flags: Buffer | None = pointer(32, length=("count", 4), written=True)
    link_ids: Buffer | None = pointer(40, length=("count", 4), written=True)
    link_attach_flags: Buffer | None = pointer(48, length=("count", 4), written=True)
    revision: int = u64(56, written=True)


class RawTracepointOpen(Attr, within="raw_tracepoint"):
    """RAW_TRACEPOINT_OPEN."""

    name: bytes | None = string(0)
    prog_fd: int = u32(8)
    cookie: int = u64(16)


class BtfLoad(Attr):
    """BTF_LOAD. `btf_log_true_size` is written by Linux 6.4 and newer."""

    btf: Buffer | None = pointer(0, length="btf_size")
    btf_log_buf: Buffer | None = pointer(8, length="btf_log_size", written=True)
    btf_size: int = u32(16)
    btf_log_size: int = u32(20)
    btf_log_level: int = u32(24)
    btf_log_true_size: int = u32(28, written=True)
    btf_flags: int = u32(32)
    btf_token_fd: int = s32(36)


class TaskFdQuery(Attr, within="task_fd_query"):
    """TASK_FD_QUERY. `buf_len` is capacity in, length of the name out."""

    pid: int = u32(0)
    fd: int = u32(4)
    flags: int = u32(8)
    buf_len: int = u32(12, written=True)
    buf: Buffer | None = pointer(16, length="buf_len", written=True)
    prog_id: int = u32(24, written=True)
    fd_type: int = u32(28, written=True)
    probe_offset: int = u64(32, written=True)
    probe_addr: int = u64(40, written=True)


class LinkCreate(Attr, within="link_create"):
    """LINK_CREATE. Members from `target_btf_id` on belong to one hook family each and overlap."""

    prog_fd: int = u32(0)
    map_fd: int = alias("prog_fd")
    target_fd: int = u32(4)
    target_ifindex: int = alias("target_fd")
    attach_type: int = u32(8, tagged=AttachType)
    flags: int = u32(12)
    target_btf_id: int = u32(16)
    iter_info: Buffer | None = pointer(16, length="iter_info_len")
    iter_info_len: int = u32(24)
    perf_event_bpf_cookie: int = u64(16)
    kprobe_multi_flags: int = u32(16)
    kprobe_multi_cnt: int = u32(20)
    kprobe_multi_syms: Sequence[bytes] | None = strings(24)
    kprobe_multi_addrs: Buffer | None = pointer(32, length=("kprobe_multi_cnt", 8))
    kprobe_multi_cookies: Buffer | None = pointer(40, length=("kprobe_multi_cnt", 8))
    tracing_target_btf_id: int = u32(16)
    tracing_cookie: int = u64(24)
    netfilter_pf: int = u32(16)
    netfilter_hooknum: int = u32(20)
    netfilter_priority: int = s32(24)
    netfilter_flags: int = u32(28)
    tcx_relative_fd: int = u32(16)
    tcx_relative_id: int = alias("tcx_relative_fd")
    tcx_expected_revision: int = u64(24)
    uprobe_multi_path: bytes | None = string(16)
    uprobe_multi_offsets: Buffer | None = pointer(24, length=("uprobe_multi_cnt", 8))
    uprobe_multi_ref_ctr_offsets: Buffer | None = pointer(32, length=("uprobe_multi_cnt", 8))
    uprobe_multi_cookies: Buffer | None = pointer(40, length=("uprobe_multi_cnt", 8))
    uprobe_multi_cnt: int = u32(48)
    uprobe_multi_flags: int = u32(52)
    uprobe_multi_pid: int = u32(56)
    netkit_relative_fd: int = u32(16)
    netkit_relative_id: int = alias("netkit_relative_fd")
    netkit_expected_revision: int = u64(24)
    cgroup_relative_fd: int = u32(16)
    cgroup_relative_id: int = alias("cgroup_relative_fd")
    cgroup_expected_revision: int = u64(24)


class LinkUpdate(Attr, within="link_update"):
    """LINK_UPDATE."""

    link_fd: int = u32(0)
    new_prog_fd: int = u32(4)
    new_map_fd: int = alias("new_prog_fd")
    flags: int = u32(8)
    old_prog_fd: int = u32(12)
    old_map_fd: int = alias("old_prog_fd")


class LinkDetach(Attr, within="link_detach"):
    """LINK_DETACH."""

    link_fd: int = u32(0)


class EnableStats(Attr, within="enable_stats"):
    """ENABLE_STATS."""

    type: int = u32(0)


class IterCreate(Attr, within="iter_create"):
    """ITER_CREATE."""

    link_fd: int = u32(0)
    flags: int = u32(4)


class ProgBindMap(Attr, within="prog_bind_map"):
    """PROG_BIND_MAP."""

    prog_fd: int = u32(0)
    map_fd: int = u32(4)
    flags: int = u32(8)


class TokenCreate(Attr, within="token_create"):
    """TOKEN_CREATE."""

    flags: int = u32(0)
    bpffs_fd: int = u32(4)


class ProgStreamRead(Attr, within="prog_stream_read"):
    """PROG_STREAM_READ_BY_FD (Linux 6.17)."""

    stream_buf: Buffer | None = pointer(0, length="stream_buf_len", written=True)
    stream_buf_len: int = u32(8)
    stream_id: int = u32(12)
    prog_fd: int = u32(16)


class ProgAssocStructOps(Attr, within="prog_assoc_struct_ops"):
    """PROG_ASSOC_STRUCT_OPS (Linux 7.0)."""

    map_fd: int = u32(0)
    prog_fd: int = u32(4)
    flags: int = u32(8)


RECORDS: dict[Cmd, type[Attr]] = {
    Cmd.MAP_CREATE: MapCreate, Cmd.MAP_LOOKUP_ELEM: MapElem, Cmd.MAP_UPDATE_ELEM: MapElem,
    Cmd.MAP_DELETE_ELEM: MapElem, Cmd.MAP_GET_NEXT_KEY: MapElem, Cmd.MAP_LOOKUP_AND_DELETE_ELEM: MapElem,
    Cmd.MAP_FREEZE: MapElem, Cmd.MAP_LOOKUP_BATCH: MapBatch, Cmd.MAP_LOOKUP_AND_DELETE_BATCH: MapBatch,
    Cmd.MAP_UPDATE_BATCH: MapBatch, Cmd.MAP_DELETE_BATCH: MapBatch, Cmd.PROG_LOAD: ProgLoad, Cmd.OBJ_PIN: ObjPin,
    Cmd.OBJ_GET: ObjPin, Cmd.PROG_ATTACH: ProgAttach, Cmd.PROG_DETACH: ProgAttach, Cmd.PROG_TEST_RUN: ProgTestRun,
    Cmd.PROG_GET_NEXT_ID: GetId, Cmd.MAP_GET_NEXT_ID: GetId, Cmd.BTF_GET_NEXT_ID: GetId, Cmd.LINK_GET_NEXT_ID: GetId,
    Cmd.PROG_GET_FD_BY_ID: GetId, Cmd.MAP_GET_FD_BY_ID: GetId, Cmd.BTF_GET_FD_BY_ID: GetId,
    Cmd.LINK_GET_FD_BY_ID: GetId, Cmd.OBJ_GET_INFO_BY_FD: ObjInfo, Cmd.PROG_QUERY: ProgQuery,
    Cmd.RAW_TRACEPOINT_OPEN: RawTracepointOpen, Cmd.BTF_LOAD: BtfLoad, Cmd.TASK_FD_QUERY: TaskFdQuery,
    Cmd.LINK_CREATE: LinkCreate, Cmd.LINK_UPDATE: LinkUpdate, Cmd.ENABLE_STATS: EnableStats,
    Cmd.ITER_CREATE: IterCreate, Cmd.LINK_DETACH: LinkDetach, Cmd.PROG_BIND_MAP: ProgBindMap,
    Cmd.TOKEN_CREATE: TokenCreate, Cmd.PROG_STREAM_READ_BY_FD: ProgStreamRead,
    Cmd.PROG_ASSOC_STRUCT_OPS: ProgAssocStructOps,
}  # fmt: skip
"""The record that each command takes."""
