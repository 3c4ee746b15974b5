"""The bpf(2) system call (man 2 bpf; kernel/bpf/syscall.c)."""

from __future__ import annotations

import logging
import os
import struct
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from ebpf.abi.linux import EAGAIN, EINTR
from ebpf.abi.linux.errtexts import NAMES
from ebpf.abi.types import Cmd
from ebpf.abi.types.commands import command_name
from ebpf.errors import NotSupportedError
from ebpf.runtime.attrs import Attr
from ebpf.runtime.memory import pin

log = logging.getLogger("ebpf")

# arch/*/kernel/syscalls/*.tbl and include/uapi/asm-generic/unistd.h: machine → bpf, perf_event_open.
_GENERIC = (280, 241)
_NUMBERS = {
    "x86_64": (321, 298), "i686": (357, 336), "i386": (357, 336), "aarch64": _GENERIC, "riscv64": _GENERIC,
    "riscv32": _GENERIC, "loongarch64": _GENERIC, "armv6l": (386, 364), "armv7l": (386, 364), "armv8l": (386, 364),
    "ppc": (361, 319), "ppc64": (361, 319), "ppc64le": (361, 319), "s390x": (351, 331), "mips": (4355, 4333),
    "mips64": (5315, 5292), "sparc64": (349, 327),
}  # fmt: skip
_NARROW = {"x86_64": "i386", "aarch64": "armv8l", "mips64": "mips", "ppc64": "ppc"}

# The verifier gives up with EAGAIN when a signal is pending, a test run with EINTR. Python runs its signal handlers
# between two attempts, so that Ctrl-C ends this; the bounds end a storm of other signals.
_LOAD_ATTEMPTS = 30
_RUN_ATTEMPTS = 1000


def _machine() -> str:
    if sys.platform != "linux":
        raise NotSupportedError(f"the Linux kernel on {sys.platform}", alternative="use the embedded runtime")
    machine = os.uname().machine
    return _NARROW.get(machine, machine) if struct.calcsize("P") == 4 else machine


def _number(index: int, name: str) -> int:
    machine = _machine()
    if machine not in _NUMBERS:
        raise NotSupportedError(f"{name} on {machine} machines", runtime="linux")
    return _NUMBERS[machine][index]


@cache
def libc() -> Any:
    """Return the C library of this process; calls keep errno for `last_errno`."""
    import ctypes

    _machine()
    return ctypes.CDLL(None, use_errno=True)


def last_errno() -> int:
    """Return what the last call through `libc()` left in errno in this thread."""
    import ctypes

    return ctypes.get_errno()


@cache
def bpf_function() -> Callable[[int, int, int], int]:
    """Return a function of (command, address of the union, size) that makes the call and returns -1 on error."""
    import ctypes

    syscall = libc().syscall
    number = ctypes.c_long(_number(0, "bpf()"))
    unsigned, long_ = ctypes.c_uint, ctypes.c_void_p

    def call(cmd: int, address: int, size: int) -> int:
        return int(syscall(number, cmd, long_(address), unsigned(size)))

    return call


def perf_event_open(attr: bytes, *, pid: int, cpu: int) -> int:
    """Open a perf event (man 2 perf_event_open) with close-on-exec; return its descriptor or -errno."""
    import ctypes

    address = pin(attr, writable=False)
    flags = ctypes.c_ulong(8)  # PERF_FLAG_FD_CLOEXEC
    number = ctypes.c_long(_number(1, "perf_event_open()"))
    result = int(libc().syscall(number, ctypes.c_void_p(address.number), pid, cpu, -1, flags))
    return result if result >= 0 else -last_errno()


def bpf(cmd: int, attr: Attr) -> int:
    """Make the call and fill the members that the kernel writes; return what it returned, or -errno."""
    packed = attr.pack(cmd)
    union = pin(packed.buffer, writable=True)
    started = time.perf_counter_ns() if log.isEnabledFor(logging.DEBUG) else 0
    result = _attempt(cmd, packed.buffer, union.number, packed.size)
    attr.unpack(cmd, packed.buffer)
    if started:
        _log_call(cmd, attr, result, time.perf_counter_ns() - started)
    return result


def _attempt(cmd: int, buffer: bytearray, address: int, size: int) -> int:
    call, pristine = bpf_function(), bytes(buffer)
    attempts = _RUN_ATTEMPTS
    while True:
        result = call(cmd, address, size)
        if result >= 0:
            return result
        errno = last_errno()
        if errno == EAGAIN and cmd == Cmd.PROG_LOAD:
            attempts = min(attempts, _LOAD_ATTEMPTS)
        elif errno != EINTR:
            return -errno
        attempts -= 1
        if not attempts:
            return -errno
        buffer[:] = pristine


def _log_call(cmd: int, attr: Attr, result: int, ns: int) -> None:
    outcome = str(result) if result >= 0 else NAMES.get(-result, str(result))
    log.debug("bpf(%s, %r) = %s, %d ns", command_name(cmd), attr, outcome, ns)
