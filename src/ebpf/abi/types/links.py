"""Types of links."""

from __future__ import annotations

from ebpf.abi.types import TaggedEnum


class LinkType(TaggedEnum):
    """Kind of a link (`BPF_LINK_TYPE_*`)."""

    UNSPEC = 0
    RAW_TRACEPOINT = 1
    TRACING = 2
    CGROUP = 3
    ITER = 4
    NETNS = 5
    XDP = 6
    PERF_EVENT = 7
    KPROBE_MULTI = 8
    STRUCT_OPS = 9
    NETFILTER = 10
    TCX = 11
    UPROBE_MULTI = 12
    NETKIT = 13
    SOCKMAP = 14
