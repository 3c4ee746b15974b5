"""Members of the commands that attach programs, and of those on links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ebpf.abi.types import Cmd
from ebpf.runtime.attrs import Attr, alias, pointer, s32, string, strings, u32, u64

if TYPE_CHECKING:
    from typing_extensions import Buffer


class ProgAttach(Attr, commands=(Cmd.PROG_ATTACH, Cmd.PROG_DETACH)):
    """PROG_ATTACH, PROG_DETACH."""

    target_fd: int = u32(0)
    target_ifindex: int = alias("target_fd")
    attach_bpf_fd: int = u32(4)
    attach_type: int = u32(8, tagged="AttachType")
    attach_flags: int = u32(12)
    replace_bpf_fd: int = u32(16)
    relative_fd: int = u32(20)
    relative_id: int = alias("relative_fd")
    expected_revision: int = u64(24)


class ProgQuery(Attr, within="query", commands=(Cmd.PROG_QUERY,)):
    """PROG_QUERY. `count` is capacity in, number of programs out."""

    target_fd: int = u32(0)
    target_ifindex: int = alias("target_fd")
    attach_type: int = u32(4, tagged="AttachType")
    query_flags: int = u32(8)
    attach_flags: int = u32(12, written=True)
    prog_ids: Buffer | None = pointer(16, length=("count", 4), written=True)
    count: int = u32(24, written=True)
    prog_cnt: int = alias("count")
    prog_attach_flags: Buffer | None = pointer(32, length=("count", 4), written=True)
    link_ids: Buffer | None = pointer(40, length=("count", 4), written=True)
    link_attach_flags: Buffer | None = pointer(48, length=("count", 4), written=True)
    revision: int = u64(56, written=True)


class RawTracepointOpen(Attr, within="raw_tracepoint", commands=(Cmd.RAW_TRACEPOINT_OPEN,)):
    """RAW_TRACEPOINT_OPEN."""

    name: bytes | None = string(0)
    prog_fd: int = u32(8)
    cookie: int = u64(16)


class LinkCreate(Attr, within="link_create", commands=(Cmd.LINK_CREATE,)):
    """LINK_CREATE. Members from `target_btf_id` on belong to one hook family each and overlap."""

    prog_fd: int = u32(0)
    map_fd: int = alias("prog_fd")
    target_fd: int = u32(4)
    target_ifindex: int = alias("target_fd")
    attach_type: int = u32(8, tagged="AttachType")
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


class LinkUpdate(Attr, within="link_update", commands=(Cmd.LINK_UPDATE,)):
    """LINK_UPDATE."""

    link_fd: int = u32(0)
    new_prog_fd: int = u32(4)
    new_map_fd: int = alias("new_prog_fd")
    flags: int = u32(8)
    old_prog_fd: int = u32(12)
    old_map_fd: int = alias("old_prog_fd")


class LinkDetach(Attr, within="link_detach", commands=(Cmd.LINK_DETACH,)):
    """LINK_DETACH."""

    link_fd: int = u32(0)


class IterCreate(Attr, within="iter_create", commands=(Cmd.ITER_CREATE,)):
    """ITER_CREATE."""

    link_fd: int = u32(0)
    flags: int = u32(4)


class TaskFdQuery(Attr, within="task_fd_query", commands=(Cmd.TASK_FD_QUERY,)):
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
