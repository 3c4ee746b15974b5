"""Helpers on XDP frames (net/core/filter.c): the frame's bounds and its bytes, fragments included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpf.abi.helpers import Helper
from ebpf.abi.linux import EACCES, EFAULT, EINVAL
from ebpf.vm.context.xdp import ETH_HLEN, FRAME_SIZE, HARD_END, PAGE_SIZE, XdpContext, metadata_length_invalid
from ebpf.vm.machine import Run

_MAX_RANGE = 0xFFFF


def signed32(value: int) -> int:
    """Read the low 32 bits as a signed number, as the kernel does with `int` arguments."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _adjust_head(run: Run, frame: XdpContext, delta: int) -> int:
    meta_size = frame.data - frame.data_meta
    delta = signed32(delta)
    data = frame.data + delta
    if data < FRAME_SIZE + meta_size or data > frame.data_end - ETH_HLEN:
        return -EINVAL
    metadata = bytes(frame.page[frame.data_meta : frame.data])
    frame.data_meta += delta
    frame.data = data
    frame.write_metadata(metadata)
    return 0


def _adjust_meta(run: Run, frame: XdpContext, delta: int) -> int:
    meta = frame.data_meta + signed32(delta)
    if meta < FRAME_SIZE or meta > frame.data:
        return -EINVAL
    if metadata_length_invalid(frame.data - meta):
        return -EACCES
    frame.data_meta = meta
    return 0


def _adjust_tail(run: Run, frame: XdpContext, delta: int) -> int:
    delta = signed32(delta)
    if frame.fragments:
        return _shrink_fragments(frame, -delta) if delta < 0 else _grow_fragment(frame, delta)
    end = frame.data_end + delta
    if end > HARD_END or end < frame.data + ETH_HLEN:
        return -EINVAL
    if delta > 0:
        memoryview(frame.page)[frame.data_end : end] = bytes(delta)
    frame.data_end = end
    return 0


def _shrink_fragments(frame: XdpContext, size: int) -> int:
    if size > len(frame) - ETH_HLEN:
        return -EINVAL
    while frame.fragments and size:
        last = frame.fragments[-1]
        cut = min(size, len(last))
        size -= cut
        del last[len(last) - cut :]
        if not last:
            frame.fragments.pop()
    if not frame.fragments:
        frame.data_end -= size
    return 0


def _grow_fragment(frame: XdpContext, size: int) -> int:
    last = frame.fragments[-1]
    if size > PAGE_SIZE - len(last):
        return -EINVAL
    last.extend(bytes(size))
    return 0


def _length(run: Run, frame: XdpContext) -> int:
    return len(frame)


def _check_range(frame: XdpContext, offset: int, size: int) -> int:
    if offset > _MAX_RANGE or size > _MAX_RANGE:
        return -EFAULT
    return -EINVAL if offset + size > len(frame) else 0


def _load(run: Run, frame: XdpContext, offset: int, buffer: memoryview, size: int) -> int:
    offset &= 0xFFFFFFFF
    error = _check_range(frame, offset, size)
    if not error:
        buffer[:] = frame.read(offset, size)
    return error


def _store(run: Run, frame: XdpContext, offset: int, content: memoryview, size: int) -> int:
    offset &= 0xFFFFFFFF
    error = _check_range(frame, offset, size)
    if not error:
        frame.write(offset, content.tobytes())
    return error


BODIES: dict[Helper, Callable[..., Any]] = {
    Helper.XDP_ADJUST_HEAD: _adjust_head,
    Helper.XDP_ADJUST_META: _adjust_meta,
    Helper.XDP_ADJUST_TAIL: _adjust_tail,
    Helper.XDP_GET_BUFF_LEN: _length,
    Helper.XDP_LOAD_BYTES: _load,
    Helper.XDP_STORE_BYTES: _store,
}
