"""Members of the commands on programs that are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.types import Cmd
from ebpf.runtime.attrs import Attr, pointer, u32

if TYPE_CHECKING:
    from typing_extensions import Buffer


class ProgTestRun(Attr, within="test", commands=(Cmd.PROG_TEST_RUN,)):
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


class ProgBindMap(Attr, within="prog_bind_map", commands=(Cmd.PROG_BIND_MAP,)):
    """PROG_BIND_MAP."""

    prog_fd: int = u32(0)
    map_fd: int = u32(4)
    flags: int = u32(8)


class ProgStreamRead(Attr, within="prog_stream_read", commands=(Cmd.PROG_STREAM_READ_BY_FD,)):
    """PROG_STREAM_READ_BY_FD (Linux 6.17)."""

    stream_buf: Buffer | None = pointer(0, length="stream_buf_len", written=True)
    stream_buf_len: int = u32(8)
    stream_id: int = u32(12)
    prog_fd: int = u32(16)


class ProgAssocStructOps(Attr, within="prog_assoc_struct_ops", commands=(Cmd.PROG_ASSOC_STRUCT_OPS,)):
    """PROG_ASSOC_STRUCT_OPS (Linux 7.0)."""

    map_fd: int = u32(0)
    prog_fd: int = u32(4)
    flags: int = u32(8)
