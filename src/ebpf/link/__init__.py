"""Attach points: one function a hook, `(program, target, *, options) -> Link`.

A link detaches when it is closed. `packets()` needs no network device: it feeds a program from a capture file.
"""

from __future__ import annotations

from ebpf.link.cgroup import cgroup
from ebpf.link.link import Link
from ebpf.link.links import Links
from ebpf.link.packets import PacketsLink, packets
from ebpf.link.raw_tracepoint import raw_tracepoint
from ebpf.link.sections import Packets, attach_by_section, attach_collection
from ebpf.link.socket_filter import SocketFilterLink, socket_filter
from ebpf.link.tcx import tcx
from ebpf.link.tracepoint import tracepoint
from ebpf.link.xdp import xdp

__all__ = [
    "Link",
    "Links",
    "Packets",
    "PacketsLink",
    "SocketFilterLink",
    "attach_by_section",
    "attach_collection",
    "cgroup",
    "packets",
    "raw_tracepoint",
    "socket_filter",
    "tcx",
    "tracepoint",
    "xdp",
]
