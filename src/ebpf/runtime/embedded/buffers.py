"""Copying from and to the caller's buffers, with EFAULT where Linux would meet an unmapped page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.linux import EFAULT, EINVAL
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from typing_extensions import Buffer

_NAME = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._")


def take(buffer: Buffer | None, size: int, what: str) -> bytes:
    """Copy `size` bytes in."""
    if buffer is None and size:
        raise Rejected(EFAULT, f"{what} is missing")
    data = bytes(memoryview(buffer or b"").cast("B")[:size])
    if len(data) < size:
        raise Rejected(EFAULT, f"{what} holds {len(data)} bytes, {size} are needed")
    return data


def put(buffer: Buffer | None, data: bytes, what: str, *, at: int = 0) -> None:
    """Copy bytes out. Raises TypeError for a buffer that can't be written."""
    if not data:
        return
    if buffer is None:
        raise Rejected(EFAULT, f"{what} is missing")
    view = memoryview(buffer).cast("B")
    if view.readonly:
        raise TypeError(f"{what} is written to: expected a bytearray or a writable memoryview, got read-only memory")
    if len(view) < at + len(data):
        raise Rejected(EFAULT, f"{what} holds {len(view)} bytes, {at + len(data)} are needed")
    view[at : at + len(data)] = data


def given(buffer: Buffer | None) -> bool:
    """Whether there is a buffer at all: an empty one is a null pointer."""
    return buffer is not None and memoryview(buffer).nbytes > 0


def object_name(raw: bytes) -> str:
    """Check and decode an object's name (bpf_obj_name_cpy): letters, digits, dot and underscore."""
    name = bytes(raw).partition(b"\0")[0]
    if not _NAME.issuperset(name) or len(name) > 15:
        raise Rejected(EINVAL, f"name {name!r} is not made of up to 15 letters, digits, dots and underscores")
    return name.decode("ascii")
