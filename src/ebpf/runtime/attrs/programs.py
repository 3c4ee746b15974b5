"""Members of PROG_LOAD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.linux import BPF_PROG_LOAD
from ebpf.runtime.attrs import Attr, alias, name16, pointer, s32, string, u32

if TYPE_CHECKING:
    from typing_extensions import Buffer


class ProgLoad(Attr, commands=(BPF_PROG_LOAD,)):
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
