"""Layouts of what OBJ_GET_INFO_BY_FD tells (include/uapi/linux/bpf.h `struct bpf_map_info` and its siblings)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ebpf.abi.types import LinkType


@dataclass(frozen=True, slots=True)
class InfoField:
    """One member: `offset` and `size` in bytes.

    A pointer stands for an array of `item` bytes an element, of as many elements as the member `count` says; where
    `item` is a name, that member holds the size of an element. A "string" is a pointer to text that ends in NUL.
    """

    name: str
    offset: int
    size: int
    kind: Literal["int", "text", "bytes", "pointer", "string"] = "int"
    count: str = ""
    item: int | str = 1


def _int(name: str, offset: int, size: int = 4) -> InfoField:
    return InfoField(name, offset, size)


def _array(name: str, offset: int, count: str, item: int | str = 1) -> InfoField:
    return InfoField(name, offset, 8, "pointer", count, item)


def _string(name: str, offset: int, count: str) -> InfoField:
    return InfoField(name, offset, 8, "string", count)


Layout = tuple[InfoField, ...]

MAP_INFO: Layout = (
    _int("type", 0),
    _int("id", 4),
    _int("key_size", 8),
    _int("value_size", 12),
    _int("max_entries", 16),
    _int("map_flags", 20),
    InfoField("name", 24, 16, "text"),
    _int("ifindex", 40),
    _int("btf_vmlinux_value_type_id", 44),
    _int("netns_dev", 48, 8),
    _int("netns_ino", 56, 8),
    _int("btf_id", 64),
    _int("btf_key_type_id", 68),
    _int("btf_value_type_id", 72),
    _int("btf_vmlinux_id", 76),
    _int("map_extra", 80, 8),
    _array("hash", 88, "hash_size"),
    _int("hash_size", 96),
)

# Bit 0 of `gpl_compatible` is the flag, the rest is padding.
PROG_INFO: Layout = (
    _int("type", 0),
    _int("id", 4),
    InfoField("tag", 8, 8, "bytes"),
    _int("jited_prog_len", 16),
    _int("xlated_prog_len", 20),
    _array("jited_prog_insns", 24, "jited_prog_len"),
    _array("xlated_prog_insns", 32, "xlated_prog_len"),
    _int("load_time", 40, 8),
    _int("created_by_uid", 48),
    _int("nr_map_ids", 52),
    _array("map_ids", 56, "nr_map_ids", 4),
    InfoField("name", 64, 16, "text"),
    _int("ifindex", 80),
    _int("gpl_compatible", 84),
    _int("netns_dev", 88, 8),
    _int("netns_ino", 96, 8),
    _int("nr_jited_ksyms", 104),
    _int("nr_jited_func_lens", 108),
    _array("jited_ksyms", 112, "nr_jited_ksyms", 8),
    _array("jited_func_lens", 120, "nr_jited_func_lens", 4),
    _int("btf_id", 128),
    _int("func_info_rec_size", 132),
    _array("func_info", 136, "nr_func_info", "func_info_rec_size"),
    _int("nr_func_info", 144),
    _int("nr_line_info", 148),
    _array("line_info", 152, "nr_line_info", "line_info_rec_size"),
    _array("jited_line_info", 160, "nr_jited_line_info", "jited_line_info_rec_size"),
    _int("nr_jited_line_info", 168),
    _int("line_info_rec_size", 172),
    _int("jited_line_info_rec_size", 176),
    _int("nr_prog_tags", 180),
    _array("prog_tags", 184, "nr_prog_tags", 8),
    _int("run_time_ns", 192, 8),
    _int("run_cnt", 200, 8),
    _int("recursion_misses", 208, 8),
    _int("verified_insns", 216),
    _int("attach_btf_obj_id", 220),
    _int("attach_btf_id", 224),
)

BTF_INFO: Layout = (
    _array("btf", 0, "btf_size"),
    _int("btf_size", 8),
    _int("id", 12),
    _string("name", 16, "name_len"),
    _int("name_len", 24),
    _int("kernel_btf", 28),
)

LINK_INFO: Layout = (_int("type", 0), _int("id", 4), _int("prog_id", 8))
"""What every link has; the rest depends on the type."""

LINK_DETAILS: dict[LinkType, Layout] = {
    LinkType.RAW_TRACEPOINT: (
        _string("tp_name", 16, "tp_name_len"),
        _int("tp_name_len", 24),
        _int("cookie", 32, 8),
    ),
    LinkType.TRACING: (
        _int("attach_type", 16),
        _int("target_obj_id", 20),
        _int("target_btf_id", 24),
        _int("cookie", 32, 8),
    ),
    LinkType.CGROUP: (_int("cgroup_id", 16, 8), _int("attach_type", 24)),
    LinkType.ITER: (
        _string("target_name", 16, "target_name_len"),
        _int("target_name_len", 24),
        _int("map_id", 28),
        _int("cgroup_id", 32, 8),
        _int("order", 40),
    ),
    LinkType.NETNS: (_int("netns_ino", 16), _int("attach_type", 20)),
    LinkType.XDP: (_int("ifindex", 16),),
    LinkType.STRUCT_OPS: (_int("map_id", 16),),
    LinkType.NETFILTER: (_int("pf", 16), _int("hooknum", 20), _int("priority", 24), _int("flags", 28)),
    LinkType.KPROBE_MULTI: (
        _array("addrs", 16, "count", 8),
        _int("count", 24),
        _int("flags", 28),
        _int("missed", 32, 8),
        _array("cookies", 40, "count", 8),
    ),
    LinkType.UPROBE_MULTI: (
        _string("path", 16, "path_size"),
        _array("offsets", 24, "count", 8),
        _array("ref_ctr_offsets", 32, "count", 8),
        _array("cookies", 40, "count", 8),
        _int("path_size", 48),
        _int("count", 52),
        _int("flags", 56),
        _int("pid", 60),
    ),
    LinkType.PERF_EVENT: (_int("type", 16),),
    LinkType.TCX: (_int("ifindex", 16), _int("attach_type", 20)),
    LinkType.NETKIT: (_int("ifindex", 16), _int("attach_type", 20)),
    LinkType.SOCKMAP: (_int("map_id", 16), _int("attach_type", 20)),
}
"""Members of the union in `struct bpf_link_info`, by the link's type."""

_UPROBE: Layout = (
    _string("file_name", 24, "name_len"),
    _int("name_len", 32),
    _int("offset", 36),
    _int("cookie", 40, 8),
    _int("ref_ctr_offset", 48, 8),
)
_KPROBE: Layout = (
    _string("func_name", 24, "name_len"),
    _int("name_len", 32),
    _int("offset", 36),
    _int("addr", 40, 8),
    _int("missed", 48, 8),
    _int("cookie", 56, 8),
)

PERF_EVENT_DETAILS: dict[int, tuple[str, Layout]] = {
    1: ("uprobe", _UPROBE),
    2: ("uprobe", _UPROBE),
    3: ("kprobe", _KPROBE),
    4: ("kprobe", _KPROBE),
    5: ("tracepoint", (_string("tp_name", 24, "name_len"), _int("name_len", 32), _int("cookie", 40, 8))),
    6: ("event", (_int("config", 24, 8), _int("type", 32), _int("cookie", 40, 8))),
}
"""`enum bpf_perf_event_type` → name of the struct inside `perf_event`, and its members."""

LINK_INFO_SIZE = 64
"""Bytes of `struct bpf_link_info`."""
