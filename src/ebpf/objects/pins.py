"""Pins: objects with a path in the BPF file system (OBJ_PIN, OBJ_GET)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from ebpf.abi.linux import ENOENT
from ebpf.abi.types import Cmd
from ebpf.errors import SystemCallError
from ebpf.runtime import attrs

Kind = Literal["map", "program", "link"]
_ROOM = 512
_MAP_INFO = 72
_PROGRAM_INFO = 152

if TYPE_CHECKING:
    from ebpf.runtime.base import Runtime
    from ebpf.runtime.handle import Handle


def pin(runtime: Runtime, handle: Handle, path: str | os.PathLike[str]) -> None:
    """Give an object a path."""
    with handle.borrow() as fd:
        runtime.bpf(Cmd.OBJ_PIN, attrs.ObjPin(pathname=os.fsencode(path), bpf_fd=fd))


def open_pinned(runtime: Runtime, path: str | os.PathLike[str], kind: Kind) -> Handle:
    """Open what is pinned at a path; the handle is the caller's. TypeError if that is another kind of object."""
    handle = runtime.own(runtime.bpf(Cmd.OBJ_GET, attrs.ObjPin(pathname=os.fsencode(path))))
    try:
        found = _kind_of(runtime, handle)
    except BaseException:
        handle.close()
        raise
    if found != kind:
        handle.close()
        raise TypeError(f"{os.fspath(path)} is a pinned {found}, not a {kind}")
    return handle


def remove(runtime: Runtime, path: str) -> None:
    """Take a path away again; fine if somebody else did."""
    try:
        runtime.pins.remove(path)
    except SystemCallError as error:
        if error.linux_errno != ENOENT:
            raise


def _kind_of(runtime: Runtime, handle: Handle) -> Kind:
    """Tell kinds of objects apart by how much the kernel knows of them: no command asks for it.

    struct bpf_map_info has 80 bytes and more since Linux 5.10, bpf_prog_info 216, bpf_link_info at most 64.
    """
    attr = attrs.ObjInfo(info=bytearray(_ROOM), info_len=_ROOM)
    with handle.borrow() as attr.bpf_fd:
        runtime.bpf(Cmd.OBJ_GET_INFO_BY_FD, attr)
    if attr.info_len >= _PROGRAM_INFO:
        return "program"
    return "map" if attr.info_len >= _MAP_INFO else "link"
