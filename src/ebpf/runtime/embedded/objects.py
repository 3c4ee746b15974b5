"""Kernel objects: ids, descriptors, counts, and what happens when the last reference goes (kernel/bpf/syscall.c).

Two counts, as in Linux: every holder is a reference; a descriptor or a pin is a user as well. A program array gives up
its programs when its last user goes, so that programs and arrays that hold each other end.

Descriptors are numbers from 1 << 28 on, far above every descriptor of an operating system, so that a stray os.close()
is EBADF instead of a disaster; they are not used again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, TypeVar

from ebpf.abi import types
from ebpf.abi.linux import EBADF, EINVAL, EMFILE
from ebpf.errors import ClosedError
from ebpf.lean import Lock, RLock, WeakSet, local
from ebpf.plain import NamedTuple
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from ebpf.btf import Btf
    from ebpf.runtime.embedded.runs import EmbeddedRunner
    from ebpf.vm.maps import Map
    from ebpf.vm.program import Program


FIRST = 1 << 28


def kernel_closed() -> ClosedError:
    """Make the error of every call on a kernel that has ended."""
    return ClosedError("the embedded kernel was closed")


class KernelObject:
    """What has an id and is counted. The registry alone changes the counts."""

    kind: ClassVar[str] = ""

    def __init__(self) -> None:
        self.id = 0
        self.references = 0
        self.users = 0

    def last_user_gone(self) -> None:
        """React to the last descriptor or pin going away, while references may remain."""

    def destroy(self) -> None:
        """Give up what this object holds; nobody refers to it any more."""


_T = TypeVar("_T", bound=KernelObject)


class Registry:
    """All objects of one kernel by kind and id. Ids count from 1 and are not used again. Threads may share it."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._tables: dict[str, dict[int, KernelObject]] = {}
        self._last: dict[str, int] = {}

    def add(self, obj: _T) -> _T:
        """Give a new object its id. It has no references yet."""
        with self.lock:
            obj.id = self._last.get(obj.kind, 0) + 1
            self._last[obj.kind] = obj.id
            self._tables.setdefault(obj.kind, {})[obj.id] = obj
        return obj

    def find(self, kind: type[_T], number: int) -> _T | None:
        """Return the object with this id, or None."""
        with self.lock:
            found = self._tables.get(kind.kind, {}).get(number)
            return found if isinstance(found, kind) else None

    def next_id(self, kind: str, number: int) -> int | None:
        """Return the lowest id above `number`, or None."""
        with self.lock:
            # A copy: the garbage collector may run in between and end objects of handles that were dropped.
            return min((i for i in list(self._tables.get(kind, ())) if i > number), default=None)

    def all(self, kind: type[_T]) -> list[_T]:
        """Return all objects of a kind."""
        with self.lock:
            return [obj for obj in list(self._tables.get(kind.kind, {}).values()) if isinstance(obj, kind)]

    def retain(self, obj: KernelObject, *, user: bool = False) -> None:
        """Count one more holder."""
        with self.lock:
            obj.references += 1
            obj.users += user

    def release(self, obj: KernelObject, *, user: bool = False) -> None:
        """Count one holder less; the last one takes the object with it. Never call it under a map's lock."""
        self.release_once([obj], user=user)

    def release_once(self, held: list[KernelObject], *, user: bool = False) -> None:
        """Release the object that a holder has in its list, and take it out: both or neither, wherever Ctrl-C comes.

        Does nothing if it was taken out before.
        """
        with self.lock:
            if not held:
                return
            obj = held[0]
            obj.references -= 1
            del held[0]  # nothing can come between the two
            obj.users -= user
            unused = user and not obj.users
            dead = not obj.references
            if dead:
                self._tables[obj.kind].pop(obj.id, None)
        # Outside of the lock, because this may release other objects.
        if unused:
            obj.last_user_gone()
        if dead:
            obj.destroy()


class BtfObject(KernelObject):
    """Loaded type information. `raw` are its bytes as they came."""

    kind = "btf"

    def __init__(self, btf: Btf, raw: bytes, *, free: Callable[[], None]) -> None:
        super().__init__()
        self.btf = btf
        self.raw = raw
        self.name = ""
        self._free = free

    def destroy(self) -> None:
        self._free()


class MapObject(KernelObject):
    """A map and what belongs to it beside its storage."""

    kind = "map"

    def __init__(self, map_: Map, *, free: Callable[[MapObject], None]) -> None:
        super().__init__()
        self.map = map_
        self.btf: BtfObject | None = None
        self.key_type = 0
        self.value_type = 0
        self.cost = 0
        self.writable_mappings = 0
        self._free = free

    def last_user_gone(self) -> None:
        if self.map.type is types.MapType.PROG_ARRAY:
            self.map.clear()

    def destroy(self) -> None:
        self.map.clear()
        self._free(self)


class ProgramObject(KernelObject):
    """A loaded program with its statistics. `holds` are the maps and type information that it keeps alive.

    `runners` keep lanes, and memory of maps with them, that are of use to nobody once the program has ended.
    """

    kind = "program"

    def __init__(
        self, program: Program, *, holds: Iterable[KernelObject], release: Callable[[KernelObject], None]
    ) -> None:
        super().__init__()
        self.program = program
        self.name = program.name
        self.btf: BtfObject | None = None
        self.func_info: list[bytes] = []
        self.line_info: list[bytes] = []
        self.load_time = 0
        self.uid = 0
        self.run_count = 0
        self.run_time_ns = 0
        self.recursion_misses = 0
        self.holds = list(holds)
        self.runners: WeakSet[EmbeddedRunner] = WeakSet()
        self.lock = Lock()
        self._release = release

    @property
    def map_ids(self) -> list[int]:
        """Ids of the maps that the program uses, in order of first use."""
        return [held.id for held in self.holds if isinstance(held, MapObject)]

    def count_run(self, runs: int, ns: int) -> None:
        """Add to the statistics."""
        with self.lock:
            self.run_count += runs
            self.run_time_ns += ns

    def destroy(self) -> None:
        for runner in self.runners:
            runner.forget()
        held, self.holds = self.holds, []
        for obj in held:
            self._release(obj)


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
    """Number → open file. Threads may share it.

    Once all are closed, as the kernel ends, whatever opens or looks for a number raises ClosedError.
    """

    def __init__(self, registry: Registry, *, limit: int) -> None:
        self._registry = registry
        self._limit = limit
        self._files: dict[int, OpenFile] = {}
        self._next = FIRST
        self._ended = False
        self.calls = local()
        """`held` of a thread: what its bpf() call looked up, which stays alive until the call ends; None outside."""

    def __len__(self) -> int:
        return len(self._files)

    def open(self, obj: KernelObject, *, readable: bool = True, writable: bool = True) -> int:
        """Return a new number for an object. Raises Rejected (EMFILE) beyond the limit."""
        with self._registry.lock:
            if self._ended:  # while the call was on: nobody would close this number
                raise kernel_closed()
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
        """Close every number; there are none afterwards."""
        with self._registry.lock:
            self._ended = True
        for number in list(self._files):
            self.close(number)

    def release(self, held: list[KernelObject]) -> None:
        """Let go of what a call looked up."""
        for obj in held:
            self._registry.release(obj)

    def file(self, number: int) -> OpenFile:
        """Return what a number stands for. Raises Rejected (EBADF), ClosedError once the kernel has ended."""
        with self._registry.lock:
            file = self._files.get(number)
            if file is None:
                if self._ended:
                    raise kernel_closed()
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
