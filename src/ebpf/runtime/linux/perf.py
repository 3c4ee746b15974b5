"""Perf events (include/uapi/linux/perf_event.h `struct perf_event_attr`)."""

from __future__ import annotations

import struct
import sys

from ebpf.abi.linux import EACCES, EPERM
from ebpf.errors import NotSupportedError
from ebpf.runtime.errors import system_call_error
from ebpf.runtime.linux.call import perf_event_open
from ebpf.runtime.linux.privileges import explain

TYPE_SOFTWARE = 1
TYPE_TRACEPOINT = 2
COUNT_SW_BPF_OUTPUT = 10
SAMPLE_RAW = 1 << 10
IOC_ENABLE = 0x2400
IOC_DISABLE = 0x2401
IOC_SET_BPF = 0x40042408

# type, size, config, sample_period, sample_type, read_format, flags, wakeup, bp_type, config1: PERF_ATTR_SIZE_VER0.
_ATTR = struct.Struct("=IIQQQQQIIQ")


def open_event(
    kind: int, config: int, *, cpu: int, pid: int = -1, sample_type: int = 0, wakeup: int = 0, period: int = 1
) -> int:
    """Open an event; return its descriptor. Raises MissingPrivilegeError or SystemCallError (ENODEV: CPU offline)."""
    attr = _ATTR.pack(kind, _ATTR.size, config, period, sample_type, 0, 0, wakeup, 0, 0)
    result = perf_event_open(attr, pid=pid, cpu=cpu)
    if result < 0:
        privilege = explain("perf_event_open") if -result in (EPERM, EACCES) else None
        raise system_call_error("perf_event_open", -result, privilege=privilege)
    return result


def control(fd: int, request: int, argument: int = 0) -> None:
    """Call ioctl on an event; raises SystemCallError."""
    if sys.platform != "linux":
        raise NotSupportedError("perf events", runtime=sys.platform)
    import fcntl

    try:
        fcntl.ioctl(fd, request, argument)
    except OSError as error:
        raise system_call_error("ioctl", error.errno or 0) from error
