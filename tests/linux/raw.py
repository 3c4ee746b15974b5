"""The bare bpf() call, without the code under test: loads code and runs it (include/uapi/linux/bpf.h)."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager

SYSCALL_NUMBER = {"x86_64": 321, "aarch64": 280}
MAP_CREATE, PROG_LOAD, PROG_TEST_RUN, OBJ_GET_INFO_BY_FD = 0, 5, 10, 15
SYSCALL_PROGRAM, SLEEPABLE = 31, 16

_libc = ctypes.CDLL(None, use_errno=True)


def bpf(cmd: int, attr: bytes) -> tuple[int, bytes]:
    """Make the call; return its result or the negative errno, and the attributes afterwards."""
    buffer = ctypes.create_string_buffer(attr, len(attr))
    result = _libc.syscall(SYSCALL_NUMBER[platform.machine()], cmd, buffer, len(attr))
    return (result if result >= 0 else -ctypes.get_errno()), buffer.raw


def load(
    code: bytes, type_: int, *, flags: int = 0, license: bytes = b"GPL", attach_type: int = 0, log_level: int = 1
) -> tuple[int, str]:
    """Load a program; return its descriptor or the negative errno, and the log."""
    insns = ctypes.create_string_buffer(code, len(code))
    text = ctypes.create_string_buffer(license)
    log = ctypes.create_string_buffer(1 << 20)
    head = struct.pack(
        "<IIQQIIQII", type_, len(code) // 8, ctypes.addressof(insns), ctypes.addressof(text), log_level, len(log),
        ctypes.addressof(log), 0, flags,
    )  # fmt: skip
    result, _ = bpf(PROG_LOAD, head + bytes(16) + struct.pack("<II", 0, attach_type) + bytes(64))
    return result, log.value.decode(errors="replace")


@contextmanager
def loaded(code: bytes, type_: int, *, flags: int = 0) -> Iterator[int]:
    """Load a program that the kernel accepts, for the time of the block."""
    fd, log = load(code, type_, flags=flags)
    assert fd >= 0, f"errno {-fd}: {log}"
    try:
        yield fd
    finally:
        os.close(fd)


def run_with_context(fd: int, context: bytes) -> bytes:
    """Run a syscall program with a context; return the context as the program left it."""
    buffer = ctypes.create_string_buffer(context, len(context))
    where = ctypes.addressof(buffer)
    attr = struct.pack("<IIIIQQIIIIQQIII", fd, 0, 0, 0, 0, 0, 0, 0, len(context), 0, where, 0, 0, 0, 0)
    result, _ = bpf(PROG_TEST_RUN, attr + bytes(4))
    assert result == 0, f"errno {-result}"
    return buffer.raw


def run_with_packet(fd: int, packet: bytes) -> int:
    """Run a program on a packet; return its 32-bit result."""
    buffer = ctypes.create_string_buffer(packet, len(packet))
    attr = struct.pack("<IIIIQQIIIIQQIII", fd, 0, len(packet), 0, ctypes.addressof(buffer), *[0] * 10)
    result, after = bpf(PROG_TEST_RUN, attr + bytes(4))
    assert result == 0, f"errno {-result}"
    retval: int = struct.unpack_from("<I", after, 4)[0]
    return retval


def array_map(value_size: int) -> int:
    """Create an array map of one element; the caller closes the descriptor."""
    result, _ = bpf(MAP_CREATE, struct.pack("<IIIII", 2, 4, value_size, 1, 0) + bytes(52))
    assert result >= 0, f"errno {-result}"
    return result


def program_tag(fd: int) -> bytes:
    """Return the tag that the kernel gave to a program."""
    info = ctypes.create_string_buffer(64)
    result, _ = bpf(OBJ_GET_INFO_BY_FD, struct.pack("<IIQ", fd, len(info), ctypes.addressof(info)) + bytes(8))
    assert result == 0, f"errno {-result}"
    return info.raw[8:16]
