"""Descriptors of the embedded kernel: numbers that stand for objects.

Numbers start at 1 << 28, far above every descriptor of an operating system, so that a stray os.close() is EBADF
instead of a disaster; they are not used again.
"""

from __future__ import annotations

from typing import TypeVar

from ebpf.abi import types
from ebpf.abi.linux.errno import EBADF, EINVAL, EMFILE
from ebpf.lean import local
from ebpf.plain import NamedTuple
from ebpf.runtime.embedded.objects import BtfObject, KernelObject, MapObject, ProgramObject, Registry
from ebpf.vm.fault import Rejected

FIRST = 1 << 28
_T = TypeVar("_T", bound=KernelObject)


class OpenFile(NamedTuple):
    """An object as one descriptor sees it. `readable` and `writable` are what BPF_F_RDONLY and BPF_F_WRONLY left."""

    obj: KernelObject
    readable: bool = True
    writable: bool = True


def access(flags: int) -> tuple[bool, bool]:
    """Turn BPF_F_RDONLY and BPF_F_WRONLY into readable, writable; both together are EINVAL."""
    read_only, write_only = bool(flags & types.MapFlag.RDONLY), bool(flags & types.MapFlag.WRONLY)
    if read_only and write_only:
        raise Rejected(EINVAL, "BPF_F_RDONLY and BPF_F_WRONLY exclude each other")
    return not write_only, not read_only


def access_only(flags: int) -> tuple[bool, bool]:
    """Like `access`, where no other flag is allowed (EINVAL)."""
    if flags & ~int(types.MapFlag.RDONLY | types.MapFlag.WRONLY):
        raise Rejected(EINVAL, f"flags {flags:#x} are not BPF_F_RDONLY or BPF_F_WRONLY")
    return access(flags)


class HandleTable:
    """Number → open file. Threads may share it."""

    def __init__(self, registry: Registry, *, limit: int) -> None:
        self._registry = registry
        self._limit = limit
        self._files: dict[int, OpenFile] = {}
        self._next = FIRST
        self.calls = local()
        """`held` of a thread: what its bpf() call looked up, which stays alive until the call ends; None outside."""

    def __len__(self) -> int:
        return len(self._files)

    def open(self, obj: KernelObject, *, readable: bool = True, writable: bool = True) -> int:
        """Return a new number for an object. Raises Rejected (EMFILE) beyond the limit."""
        with self._registry.lock:
            if len(self._files) >= self._limit:
                raise Rejected(EMFILE, f"{self._limit} handles are open: close some or raise Limits.handles")
            number = self._next
            self._next += 1
            self._files[number] = OpenFile(obj, readable, writable)
            self._registry.retain(obj, user=True)
        return number

    def close(self, number: int) -> None:
        """Close a number; one that is not open is ignored, as the process may be ending."""
        with self._registry.lock:
            file = self._files.pop(number, None)
        if file is not None:
            self._registry.release(file.obj, user=True)

    def close_all(self) -> None:
        """Close every number."""
        for number in list(self._files):
            self.close(number)

    def release(self, held: list[KernelObject]) -> None:
        """Let go of what a call looked up."""
        for obj in held:
            self._registry.release(obj)

    def file(self, number: int) -> OpenFile:
        """Return what a number stands for. Raises Rejected (EBADF)."""
        with self._registry.lock:
            file = self._files.get(number)
            if file is None:
                raise Rejected(EBADF, f"{number} is no open handle of this kernel")
            held: list[KernelObject] | None = getattr(self.calls, "held", None)
            if held is not None:
                self._registry.retain(file.obj)
                held.append(file.obj)
            return file

    def find(self, number: int, kind: type[_T]) -> _T:
        """Return the object behind a number. Raises Rejected (EBADF, EINVAL for another kind)."""
        obj = self.file(number).obj
        if not isinstance(obj, kind):
            raise Rejected(EINVAL, f"handle {number} is a {obj.kind}, expected a {kind.kind}")
        return obj

    def map_file(self, number: int) -> tuple[OpenFile, MapObject]:
        """Return a map with the access that this number gives."""
        file = self.file(number)
        if not isinstance(file.obj, MapObject):
            raise Rejected(EINVAL, f"handle {number} is a {file.obj.kind}, expected a map")
        return file, file.obj

    def program(self, number: int) -> ProgramObject:
        """Return the program behind a number."""
        return self.find(number, ProgramObject)

    def btf(self, number: int) -> BtfObject:
        """Return the type information behind a number."""
        return self.find(number, BtfObject)
