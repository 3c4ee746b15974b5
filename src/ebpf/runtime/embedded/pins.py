"""OBJ_PIN and OBJ_GET: names for objects (kernel/bpf/inode.c).

Pins live in memory, below the root "/" of this kernel, or in a directory of the host (`pin_dir`): there a pin is a
small JSON file that names the object of this very kernel. Other kernels, and this one after a restart, find such a file
stale (ENOENT); the object it named ended with its kernel.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from errno import errorcode
from typing import TYPE_CHECKING, Protocol

from ebpf.abi.linux import (
    EACCES,
    EEXIST,
    EFAULT,
    EINVAL,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    EPERM,
)
from ebpf.abi.linux.errtexts import NAMES
from ebpf.runtime.attrs import text_of
from ebpf.runtime.embedded.linkobjects import LinkObject
from ebpf.runtime.embedded.objects import KernelObject, MapObject, ProgramObject, access_only
from ebpf.runtime.errors import system_call_error
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from ebpf.runtime.attrs import ObjPin
    from ebpf.runtime.embedded.state import State

_NUMBERS = {name: number for number, name in NAMES.items()}
_PINNABLE = (MapObject, ProgramObject, LinkObject)


class Tree(Protocol):
    """Names: a key stands for an object. Paths are normalised and absolute. Each method raises Rejected."""

    def create(self, path: str, key: str) -> None: ...
    def find(self, path: str) -> str: ...
    def make_directory(self, path: str) -> None: ...
    def remove(self, path: str) -> str | None:
        """Remove a pin (returns its key) or an empty directory (None)."""

    def list(self, path: str) -> list[str]: ...
    def exists(self, path: str) -> bool: ...


class MemoryTree:
    """Names that live as long as the kernel."""

    def __init__(self) -> None:
        self._directories = {"/"}
        self._pins: dict[str, str] = {}

    def create(self, path: str, key: str) -> None:
        self._check_parent(path)
        if self.exists(path):
            raise Rejected(EEXIST, f"{path} exists")
        self._pins[path] = key

    def find(self, path: str) -> str:
        if path in self._pins:
            return self._pins[path]
        if path in self._directories:
            raise Rejected(EACCES, f"{path} is a directory")
        self._check_parent(path)
        raise Rejected(ENOENT, f"there is no pin {path}")

    def make_directory(self, path: str) -> None:
        if path in self._pins:
            raise Rejected(EEXIST, f"{path} is a pin")
        while path not in self._directories:
            self._directories.add(path)
            path = posixpath.dirname(path)

    def remove(self, path: str) -> str | None:
        if path in self._pins:
            return self._pins.pop(path)
        if path not in self._directories or path == "/":
            raise Rejected(ENOENT, f"{path} does not exist")
        if self.list(path):
            raise Rejected(ENOTEMPTY, f"{path} is not empty")
        self._directories.remove(path)
        return None

    def list(self, path: str) -> list[str]:
        if path not in self._directories:
            raise Rejected(ENOTDIR if path in self._pins else ENOENT, f"there is no directory {path}")
        below = (self._pins.keys() | self._directories) - {"/"}
        return sorted(posixpath.basename(name) for name in below if posixpath.dirname(name) == path)

    def exists(self, path: str) -> bool:
        return path in self._pins or path in self._directories

    def _check_parent(self, path: str) -> None:
        parent = posixpath.dirname(path)
        if parent in self._pins:
            raise Rejected(ENOTDIR, f"{parent} is no directory")
        if parent not in self._directories:
            raise Rejected(ENOENT, f"there is no directory {parent}")


class DirectoryTree:
    """Names as files below a directory of the host: `/a` is the file `a` in it, a path inside it is itself."""

    def __init__(self, root: str) -> None:
        self._root = os.path.abspath(root).replace(os.sep, "/")

    def create(self, path: str, key: str) -> None:
        import json  # pins in memory need none of it

        with _host_errors(), open(self._host(path), "x", encoding="utf-8") as file:
            json.dump({"ebpf embedded pin": key}, file)

    def find(self, path: str) -> str:
        import json

        with _host_errors(), open(self._host(path), encoding="utf-8") as file:
            text = file.read(4096)
        try:
            return str(json.loads(text)["ebpf embedded pin"])
        except (ValueError, KeyError, TypeError):
            raise Rejected(EPERM, f"{path} is a file, but no pin") from None

    def make_directory(self, path: str) -> None:
        with _host_errors():
            os.makedirs(self._host(path), mode=0o700, exist_ok=True)

    def remove(self, path: str) -> str | None:
        host = self._host(path)
        with _host_errors():
            if os.path.isdir(host):
                os.rmdir(host)
                return None
            key = self.find(path)
            os.unlink(host)
            return key

    def list(self, path: str) -> list[str]:
        with _host_errors():
            return sorted(os.listdir(self._host(path)))

    def exists(self, path: str) -> bool:
        return os.path.lexists(self._host(path))

    def _host(self, path: str) -> str:
        if path == self._root or path.startswith(self._root + "/"):
            return path
        return posixpath.join(self._root, path.lstrip("/"))


@contextmanager
def _host_errors() -> Iterator[None]:
    """Turn an error of the host's file system into the errno of the call."""
    try:
        yield
    except OSError as error:
        # Systems number them differently, beyond the first few.
        name = errorcode.get(error.errno or 0, "EINVAL")
        raise Rejected(_NUMBERS.get(name, EINVAL), str(error)) from None


class PinCommands:
    """Pins as commands and as `Runtime.pins`. A pin keeps its object alive. Threads may share it."""

    def __init__(self, state: State, *, pin_dir: str | os.PathLike[str] | None) -> None:
        self._state = state
        self._tree: Tree = MemoryTree() if pin_dir is None else DirectoryTree(os.fspath(pin_dir))
        self._kernel = os.urandom(16).hex()
        self._pinned: dict[str, KernelObject] = {}
        self._count = 0

    def pin(self, attr: ObjPin) -> int:
        """OBJ_PIN."""
        if attr.file_flags:
            raise Rejected(EINVAL, "OBJ_PIN takes no file_flags but BPF_F_PATH_FD, which needs a host directory")
        path = _path(attr)
        obj = self._pinnable(attr.bpf_fd)
        _check_name(path)
        with self._state.registry.lock:
            key = f"{self._kernel}/{self._count}"
            self._tree.create(path, key)
            self._count += 1
            self._pinned[key] = obj
            self._state.registry.retain(obj, user=True)
        return 0

    def _pinnable(self, number: int) -> KernelObject:
        try:
            obj = self._state.handles.file(number).obj
        except Rejected as error:
            raise Rejected(EINVAL, error.message) from None
        if not isinstance(obj, _PINNABLE):
            raise Rejected(EINVAL, f"a {obj.kind} can't be pinned")
        return obj

    def get(self, attr: ObjPin) -> int:
        """OBJ_GET; maps may be opened for one direction only."""
        readable, writable = access_only(attr.file_flags)
        with self._state.registry.lock:
            path = _path(attr)
            obj = self._pinned.get(self._tree.find(path))
            if obj is None:
                raise Rejected(ENOENT, f"{path} is the stale pin of a kernel that has ended")
            if not (readable and writable) and isinstance(obj, LinkObject):
                raise Rejected(EINVAL, "only maps are opened for one direction")
            return self._state.handles.open(obj, readable=readable, writable=writable)

    def release_all(self) -> None:
        """Forget all pins; files in a directory stay, stale."""
        for key in list(self._pinned):
            self._state.registry.release_once(self._pinned, key, user=True)

    # Runtime.pins.

    def make_directory(self, path: str) -> None:
        """Make a directory for pins and its parents; one that exists is fine."""
        with _system_errors("mkdir"), self._state.registry.lock:
            _check_name(_normal(path))
            self._tree.make_directory(_normal(path))

    def remove(self, path: str) -> None:
        """Remove a pin or an empty directory; the object lives on while somebody else holds it."""
        with _system_errors("unlink"):
            with self._state.registry.lock:
                key = self._tree.remove(_normal(path))
                obj = self._pinned.pop(key, None) if key is not None else None
            if obj is not None:
                self._state.registry.release(obj, user=True)

    def list(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        with _system_errors("readdir"), self._state.registry.lock:
            return self._tree.list(_normal(path))

    def exists(self, path: str) -> bool:
        """Whether there is a pin or directory."""
        return self._tree.exists(_normal(path))


@contextmanager
def _system_errors(call: str) -> Iterator[None]:
    """Turn Rejected into the public exception, for calls that are not bpf()."""
    try:
        yield
    except Rejected as error:
        raise system_call_error(call, error.errno, message=error.message) from None


def _path(attr: ObjPin) -> str:
    if not attr.pathname:
        raise Rejected(EFAULT, "the path is missing")
    if not text_of(attr.pathname):
        raise Rejected(ENOENT, "the path is empty")
    return _normal(text_of(attr.pathname))


def _check_name(path: str) -> None:
    if "." in posixpath.basename(path):
        raise Rejected(EPERM, "dots in names of pins are reserved")


def _normal(path: str) -> str:
    """Make a path absolute, with slashes whatever the host writes, and free of `.`, `..` and doubled ones."""
    slashed = path.replace(os.sep, "/")
    absolute = posixpath.normpath(slashed if os.path.isabs(path) or slashed.startswith("/") else "/" + slashed)
    return "/" + absolute.lstrip("/") if absolute.startswith("//") else absolute
