"""Commands of the bpf() system call."""

from __future__ import annotations

from enum import IntEnum

from ebpf.abi import linux


class Cmd(IntEnum):
    """Command of the bpf() system call (`enum bpf_cmd`)."""

    MAP_CREATE = linux.BPF_MAP_CREATE
    MAP_LOOKUP_ELEM = linux.BPF_MAP_LOOKUP_ELEM
    MAP_UPDATE_ELEM = linux.BPF_MAP_UPDATE_ELEM
    MAP_DELETE_ELEM = linux.BPF_MAP_DELETE_ELEM
    MAP_GET_NEXT_KEY = linux.BPF_MAP_GET_NEXT_KEY
    PROG_LOAD = linux.BPF_PROG_LOAD
    OBJ_PIN = linux.BPF_OBJ_PIN
    OBJ_GET = linux.BPF_OBJ_GET
    PROG_ATTACH = linux.BPF_PROG_ATTACH
    PROG_DETACH = linux.BPF_PROG_DETACH
    PROG_TEST_RUN = linux.BPF_PROG_TEST_RUN
    PROG_GET_NEXT_ID = linux.BPF_PROG_GET_NEXT_ID
    MAP_GET_NEXT_ID = linux.BPF_MAP_GET_NEXT_ID
    PROG_GET_FD_BY_ID = linux.BPF_PROG_GET_FD_BY_ID
    MAP_GET_FD_BY_ID = linux.BPF_MAP_GET_FD_BY_ID
    OBJ_GET_INFO_BY_FD = linux.BPF_OBJ_GET_INFO_BY_FD
    PROG_QUERY = linux.BPF_PROG_QUERY
    RAW_TRACEPOINT_OPEN = linux.BPF_RAW_TRACEPOINT_OPEN
    BTF_LOAD = linux.BPF_BTF_LOAD
    BTF_GET_FD_BY_ID = linux.BPF_BTF_GET_FD_BY_ID
    TASK_FD_QUERY = linux.BPF_TASK_FD_QUERY
    MAP_LOOKUP_AND_DELETE_ELEM = linux.BPF_MAP_LOOKUP_AND_DELETE_ELEM
    MAP_FREEZE = linux.BPF_MAP_FREEZE
    BTF_GET_NEXT_ID = linux.BPF_BTF_GET_NEXT_ID
    MAP_LOOKUP_BATCH = linux.BPF_MAP_LOOKUP_BATCH
    MAP_LOOKUP_AND_DELETE_BATCH = linux.BPF_MAP_LOOKUP_AND_DELETE_BATCH
    MAP_UPDATE_BATCH = linux.BPF_MAP_UPDATE_BATCH
    MAP_DELETE_BATCH = linux.BPF_MAP_DELETE_BATCH
    LINK_CREATE = linux.BPF_LINK_CREATE
    LINK_UPDATE = linux.BPF_LINK_UPDATE
    LINK_GET_FD_BY_ID = linux.BPF_LINK_GET_FD_BY_ID
    LINK_GET_NEXT_ID = linux.BPF_LINK_GET_NEXT_ID
    ENABLE_STATS = linux.BPF_ENABLE_STATS
    ITER_CREATE = linux.BPF_ITER_CREATE
    LINK_DETACH = linux.BPF_LINK_DETACH
    PROG_BIND_MAP = linux.BPF_PROG_BIND_MAP
    TOKEN_CREATE = linux.BPF_TOKEN_CREATE
    PROG_STREAM_READ_BY_FD = linux.BPF_PROG_STREAM_READ_BY_FD
    PROG_ASSOC_STRUCT_OPS = linux.BPF_PROG_ASSOC_STRUCT_OPS


def command_name(cmd: int | str) -> str:
    """Return a command's name; numbers that are no command stay numbers, names of other calls names."""
    if isinstance(cmd, str):
        return cmd
    known = cmd in Cmd._value2member_map_
    return Cmd(cmd).name if known else str(cmd)
