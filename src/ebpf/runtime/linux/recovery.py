"""What is tried again after a refusal that is not the caller's fault: old kernels' MEMLOCK limit and nameless objects.

Both are probed, and only after an errno that they cause; conclusive answers are kept for the process.
"""

from __future__ import annotations

import os
import struct
import sys

from ebpf.abi.linux import E2BIG, EINVAL, EPERM
from ebpf.abi.types import Cmd, MapType, ProgramType
from ebpf.runtime.attrs import Attr, MapCreate, ProgLoad
from ebpf.runtime.linux import call

_known: dict[str, bool] = {}

# r0 = bpf_ktime_get_coarse_ns(): the helper came in the same release as accounting of BPF memory to the cgroup (5.11).
_COARSE_TIME = struct.pack("=BBhiBBhi", 0x85, 0, 0, 160, 0x95, 0, 0, 0)


def recover(cmd: int, attr: Attr, errno: int) -> int:
    """Return the result of a second attempt, or -errno where there is no reason for one."""
    if errno == EPERM and isinstance(attr, MapCreate | ProgLoad) and not _memory_is_accounted() and _raise_memlock():
        return call.bpf(cmd, attr)
    if errno in (EINVAL, E2BIG):
        return _without_name(cmd, attr, errno)
    return -errno


def memlock_is_to_blame() -> bool:
    """Say whether EPERM may come from RLIMIT_MEMLOCK: only where a probe showed a kernel older than 5.11."""
    return _known.get("accounted") is False


def _memory_is_accounted() -> bool:
    if "accounted" not in _known:
        result = _try(
            Cmd.PROG_LOAD,
            ProgLoad(prog_type=ProgramType.SOCKET_FILTER, insns=_COARSE_TIME, insn_cnt=2, license=b"GPL"),
        )
        if result == -EPERM:
            # No privilege at all, or an old kernel whose limit is used up. Unprivileged users can't raise it either.
            return False
        _known["accounted"] = result >= 0
    return _known["accounted"]


def _raise_memlock() -> bool:
    """Raise RLIMIT_MEMLOCK as far as this process may; say whether that changed it."""
    if sys.platform != "linux":
        return False
    import resource

    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    unlimited = resource.RLIM_INFINITY
    for wanted in ((unlimited, unlimited), (limit[1], limit[1])):
        if wanted == limit:
            continue
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, wanted)
        except (ValueError, OSError):
            # CAP_SYS_RESOURCE is missing; the hard limit is still allowed.
            continue
        call.log.info("raised RLIMIT_MEMLOCK from %s to %s: this kernel charges BPF memory to it", limit, wanted)
        return True
    return False


def _without_name(cmd: int, attr: Attr, errno: int) -> int:
    """Try again without the object's name on kernels that know none (before 4.15)."""
    if isinstance(attr, MapCreate) and attr.map_name and not _has_names():
        name, attr.map_name = attr.map_name, b""
        result = call.bpf(cmd, attr)
        attr.map_name = name
        return result
    if isinstance(attr, ProgLoad) and attr.prog_name and not _has_names():
        name, attr.prog_name = attr.prog_name, b""
        result = call.bpf(cmd, attr)
        attr.prog_name = name
        return result
    return -errno


def _has_names() -> bool:
    if "names" not in _known:
        plain = MapCreate(map_type=MapType.ARRAY, key_size=4, value_size=4, max_entries=1)
        if _try(Cmd.MAP_CREATE, plain) < 0:
            return True  # not the name's fault, and nothing learnt
        plain.map_name = b"probe"
        _known["names"] = _try(Cmd.MAP_CREATE, plain) >= 0
    return _known["names"]


def _try(cmd: int, attr: Attr) -> int:
    result = call.bpf(cmd, attr)
    if result >= 0:
        os.close(result)
    return result
