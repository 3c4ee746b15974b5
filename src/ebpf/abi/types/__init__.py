"""The numbered types of the eBPF system call: maps, programs, attach points, links and commands.

Linux numbers are those of include/uapi/linux/bpf.h, Windows numbers those of efW's ebpf_structs.h. The tag
in bits 28-30 keeps the two apart, so that a constant of one platform is never sent to the other.

Each name is imported on first use: Python makes an enumeration in 8 µs a member, and a program needs few of the 240.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.lazy import lazy_names

if TYPE_CHECKING:
    from ebpf.abi.types.attach import AttachType
    from ebpf.abi.types.commands import Cmd
    from ebpf.abi.types.links import LinkType
    from ebpf.abi.types.maps import MapFlag, MapType, UpdateFlag
    from ebpf.abi.types.programs import ProgramFlag, ProgramType

__all__ = [
    "AttachType",
    "Cmd",
    "LinkType",
    "MapFlag",
    "MapType",
    "ProgramFlag",
    "ProgramType",
    "UpdateFlag",
]

__getattr__ = lazy_names(__name__, {
    "attach": ("AttachType",),
    "commands": ("Cmd",),
    "links": ("LinkType",),
    "maps": ("MapFlag", "MapType", "UpdateFlag"),
    "programs": ("ProgramFlag", "ProgramType"),
})  # fmt: skip
