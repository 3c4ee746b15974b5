"""Pins: objects with a path in the BPF file system (OBJ_PIN, OBJ_GET)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ebpf.abi.types import Cmd
from ebpf.runtime import attrs

if TYPE_CHECKING:
    from ebpf.runtime.base import Runtime
    from ebpf.runtime.handle import Handle


def pin(runtime: Runtime, handle: Handle, path: str | os.PathLike[str]) -> None:
    """Give an object a path."""
    with handle.borrow() as fd:
        runtime.bpf(Cmd.OBJ_PIN, attrs.ObjPin(pathname=os.fsencode(path), bpf_fd=fd))


def open_pinned(runtime: Runtime, path: str | os.PathLike[str]) -> Handle:
    """Open what is pinned at a path; the handle is the caller's."""
    return runtime.own(runtime.bpf(Cmd.OBJ_GET, attrs.ObjPin(pathname=os.fsencode(path))))
