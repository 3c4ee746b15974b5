"""Members of the commands on programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.types import Cmd
from ebpf.runtime.attrs.members import Attr, alias, name16, pointer, s32, string, u32

if TYPE_CHECKING:
    from typing_extensions import Buffer


class ProgLoad(Attr, commands=(Cmd.PROG_LOAD,)):
    """PROG_LOAD. `log_true_size` is written by Linux 6.4 and newer: the bytes that the whole log takes."""

    prog_type: int = u32(0, tagged="ProgramType")
    insn_cnt: int = u32(4)
    insns: Buffer | None = pointer(8, length=("insn_cnt", 8))
    license: bytes | None = string(16)
    log_level: int = u32(24)
    log_size: int = u32(28)
    log_buf: Buffer | None = pointer(32, length="log_size", written=True)
    kern_version: int = u32(40)
    prog_flags: int = u32(44)
    prog_name: bytes = name16(48)
    prog_ifindex: int = u32(64)
    expected_attach_type: int = u32(68, tagged="AttachType")
    prog_btf_fd: int = u32(72)
    func_info_rec_size: int = u32(76)
    func_info: Buffer | None = pointer(80, length=("func_info_cnt", "func_info_rec_size"))
    func_info_cnt: int = u32(88)
    line_info_rec_size: int = u32(92)
    line_info: Buffer | None = pointer(96, length=("line_info_cnt", "line_info_rec_size"))
    line_info_cnt: int = u32(104)
    attach_btf_id: int = u32(108)
    attach_prog_fd: int = u32(112)
    attach_btf_obj_fd: int = alias("attach_prog_fd")
    core_relo_cnt: int = u32(116)
    fd_array: Buffer | None = pointer(120, length=("fd_array_cnt", 4))
    core_relos: Buffer | None = pointer(128, length=("core_relo_cnt", "core_relo_rec_size"))
    core_relo_rec_size: int = u32(136)
    log_true_size: int = u32(140, written=True)
    prog_token_fd: int = s32(144)
    fd_array_cnt: int = u32(148)
    signature: Buffer | None = pointer(152, length="signature_size")
    signature_size: int = u32(160)
    keyring_id: int = s32(164)


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
