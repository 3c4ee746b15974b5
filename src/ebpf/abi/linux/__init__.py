"""Linux's eBPF interface: its commands and error numbers here, its larger tables in modules of their own.

The commands are numbers (include/uapi/linux/bpf.h, `enum bpf_cmd`); `ebpf.abi.types.Cmd` is their enumeration.

The errors are those that kernels answer with here, or that this library looks at. The standard library's `errno` counts
as the machine it runs on does; the embedded kernel answers with Linux numbers everywhere, so they are written out here
(include/uapi/asm-generic/errno.h, include/linux/errno.h). ENOTSUPP (524) never leaves the kernel by design, but bpf()
returns it. Names and texts of all numbers are in errtexts.py.
"""

from __future__ import annotations

BPF_MAP_CREATE = 0
BPF_MAP_LOOKUP_ELEM = 1
BPF_MAP_UPDATE_ELEM = 2
BPF_MAP_DELETE_ELEM = 3
BPF_MAP_GET_NEXT_KEY = 4
BPF_PROG_LOAD = 5
BPF_OBJ_PIN = 6
BPF_OBJ_GET = 7
BPF_PROG_ATTACH = 8
BPF_PROG_DETACH = 9
BPF_PROG_TEST_RUN = 10
BPF_PROG_GET_NEXT_ID = 11
BPF_MAP_GET_NEXT_ID = 12
BPF_PROG_GET_FD_BY_ID = 13
BPF_MAP_GET_FD_BY_ID = 14
BPF_OBJ_GET_INFO_BY_FD = 15
BPF_PROG_QUERY = 16
BPF_RAW_TRACEPOINT_OPEN = 17
BPF_BTF_LOAD = 18
BPF_BTF_GET_FD_BY_ID = 19
BPF_TASK_FD_QUERY = 20
BPF_MAP_LOOKUP_AND_DELETE_ELEM = 21
BPF_MAP_FREEZE = 22
BPF_BTF_GET_NEXT_ID = 23
BPF_MAP_LOOKUP_BATCH = 24
BPF_MAP_LOOKUP_AND_DELETE_BATCH = 25
BPF_MAP_UPDATE_BATCH = 26
BPF_MAP_DELETE_BATCH = 27
BPF_LINK_CREATE = 28
BPF_LINK_UPDATE = 29
BPF_LINK_GET_FD_BY_ID = 30
BPF_LINK_GET_NEXT_ID = 31
BPF_ENABLE_STATS = 32
BPF_ITER_CREATE = 33
BPF_LINK_DETACH = 34
BPF_PROG_BIND_MAP = 35
BPF_TOKEN_CREATE = 36
BPF_PROG_STREAM_READ_BY_FD = 37
BPF_PROG_ASSOC_STRUCT_OPS = 38

EPERM = 1
ENOENT = 2
EINTR = 4
ENXIO = 6
E2BIG = 7
EBADF = 9
EAGAIN = 11
ENOMEM = 12
EACCES = 13
EFAULT = 14
EBUSY = 16
EEXIST = 17
ENODEV = 19
ENOTDIR = 20
EINVAL = 22
EMFILE = 24
ENOSPC = 28
ERANGE = 34
ENOSYS = 38
ENOTEMPTY = 39
ENOLINK = 67
EBADMSG = 74
EOVERFLOW = 75
EBADFD = 77
EOPNOTSUPP = 95
ESTALE = 116
ENOTSUPP = 524
