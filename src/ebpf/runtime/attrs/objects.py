"""Members of the commands on objects of any kind, on type information, statistics and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ebpf.abi.types import Cmd
from ebpf.runtime.attrs import Attr, alias, nested, pointer, s32, string, u32

if TYPE_CHECKING:
    from typing_extensions import Buffer

_OF_IDS = (
    Cmd.PROG_GET_NEXT_ID, Cmd.MAP_GET_NEXT_ID, Cmd.BTF_GET_NEXT_ID, Cmd.LINK_GET_NEXT_ID,
    Cmd.PROG_GET_FD_BY_ID, Cmd.MAP_GET_FD_BY_ID, Cmd.BTF_GET_FD_BY_ID, Cmd.LINK_GET_FD_BY_ID,
)  # fmt: skip


class ObjPin(Attr, commands=(Cmd.OBJ_PIN, Cmd.OBJ_GET)):
    """OBJ_PIN, OBJ_GET."""

    pathname: bytes | None = string(0)
    bpf_fd: int = u32(8)
    file_flags: int = u32(12)
    path_fd: int = s32(16)


class GetId(Attr, commands=_OF_IDS):
    """{PROG,MAP,BTF,LINK}_GET_NEXT_ID and {PROG,MAP,BTF,LINK}_GET_FD_BY_ID."""

    start_id: int = u32(0)
    prog_id: int = alias("start_id")
    map_id: int = alias("start_id")
    btf_id: int = alias("start_id")
    link_id: int = alias("start_id")
    next_id: int = u32(4, written=True)
    open_flags: int = u32(8)
    fd_by_id_token_fd: int = s32(12)


class ObjInfo(Attr, within="info", commands=(Cmd.OBJ_GET_INFO_BY_FD,)):
    """OBJ_GET_INFO_BY_FD. `info_len` is capacity in, length out; layouts are in abi/linux/info.py.

    `pointers` gives the arrays that pointers inside `info` stand for: {byte offset of the pointer: buffer}. Packing
    writes their addresses into `info`.
    """

    bpf_fd: int = u32(0)
    info_len: int = u32(4, written=True)
    info: Buffer | None = pointer(8, length="info_len", written=True)
    pointers: Mapping[int, Buffer] | None = nested("info")


class BtfLoad(Attr, commands=(Cmd.BTF_LOAD,)):
    """BTF_LOAD. `btf_log_true_size` is written by Linux 6.4 and newer."""

    btf: Buffer | None = pointer(0, length="btf_size")
    btf_log_buf: Buffer | None = pointer(8, length="btf_log_size", written=True)
    btf_size: int = u32(16)
    btf_log_size: int = u32(20)
    btf_log_level: int = u32(24)
    btf_log_true_size: int = u32(28, written=True)
    btf_flags: int = u32(32)
    btf_token_fd: int = s32(36)


class EnableStats(Attr, within="enable_stats", commands=(Cmd.ENABLE_STATS,)):
    """ENABLE_STATS."""

    type: int = u32(0)


class TokenCreate(Attr, within="token_create", commands=(Cmd.TOKEN_CREATE,)):
    """TOKEN_CREATE."""

    flags: int = u32(0)
    bpffs_fd: int = u32(4)
