"""Pins in the BPF filesystem (kernel/bpf/inode.c)."""

from __future__ import annotations

import os
import struct
import sys

from ebpf.abi.linux import EPERM
from ebpf.errors import NotSupportedError, SystemCallError
from ebpf.runtime.errors import system_call_error
from ebpf.runtime.linux.call import last_errno, libc
from ebpf.runtime.memory import pin

BPF_FS_MAGIC = 0xCAFE4A11
REMEDY = "mount one: mount -t bpf bpf /sys/fs/bpf"


def is_bpffs(path: str) -> bool:
    """Say whether `path` lies in a BPF filesystem; for a path that does not exist its nearest parent counts."""
    if sys.platform != "linux":
        raise NotSupportedError("the BPF filesystem", runtime=sys.platform)
    import ctypes

    while not os.path.lexists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    buffer = bytearray(256)
    address = pin(buffer, writable=True)
    if libc().statfs(ctypes.c_char_p(os.fsencode(path)), ctypes.c_void_p(address.number)) < 0:
        errno = last_errno()
        raise system_call_error("statfs", errno, message=f"look at the filesystem of {path}")
    # f_type is the first member: a long, on s390x an unsigned int.
    kind: int = struct.unpack_from("=I" if os.uname().machine == "s390x" else "@L", buffer)[0]
    return kind & 0xFFFFFFFF == BPF_FS_MAGIC


def check(path: str, cmd: str) -> None:
    """Raise SystemCallError with the remedy unless `path` lies in a BPF filesystem."""
    if not is_bpffs(path):
        raise SystemCallError(
            f"{cmd} failed with EPERM: {path} is not in a BPF filesystem; {REMEDY}",
            cmd=cmd,
            errno=EPERM,
            errno_name="EPERM",
        )


class BpfFilesystem:
    """Directories and names of pins, which OBJ_PIN and OBJ_GET make and open. Threads may share it."""

    def make_directory(self, path: str) -> None:
        """Make a directory for pins and its parents; one that exists is fine. The filesystem must be mounted."""
        check(path, "mkdir")
        with _errors("mkdir", path):
            os.makedirs(path, mode=0o700, exist_ok=True)

    def remove(self, path: str) -> None:
        """Remove a pin or an empty directory; the object lives on while somebody else holds it."""
        check(path, "unlink")
        with _errors("unlink", path):
            if os.path.isdir(path):
                os.rmdir(path)
            else:
                os.unlink(path)

    def list(self, path: str) -> list[str]:
        """Return the sorted names in a directory."""
        with _errors("readdir", path):
            return sorted(os.listdir(path))

    def exists(self, path: str) -> bool:
        """Say whether there is a pin or directory of this path."""
        return os.path.lexists(path)


class _errors:  # noqa: N801 - used like a function
    """Turn an OSError of the filesystem into the SystemCallError of its errno."""

    def __init__(self, call: str, path: str) -> None:
        self._call, self._path = call, path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, SystemCallError):
            reason = f"{os.strerror(error.errno or 0).lower()}: {self._path}"
            raise system_call_error(self._call, error.errno or 0, message=reason) from error
