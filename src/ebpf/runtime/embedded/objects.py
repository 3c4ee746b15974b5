"""Kernel objects: ids, descriptors, counts, and what happens when the last reference goes (kernel/bpf/syscall.c).

Two counts, as in Linux: every holder is a reference; a descriptor or a pin is a user as well. A program array gives up
its programs when its last user goes, so that programs and arrays that hold each other end.

Descriptors are numbers from 1 << 28 on, far above every descriptor of an operating system, so that a stray os.close()
is EBADF instead of a disaster; they are not used again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

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
    """What has an id and is counted. The registry alone changes the counts.

    `holds` are the objects that it keeps alive: the registry releases them after `destroy`. `cost` are the bytes that
    it takes of the memory account.
    """

    kind: ClassVar[str] = ""

    def __init__(self) -> None:
        self.id = 0
        self.references = 0
        self.users = 0
        self.cost = 0
        self.holds: list[KernelObject] = []

    def last_user_gone(self) -> None:
        """React to there being no descriptor and no pin, while references may remain; may be called again."""

    def destroy(self) -> None:
        """Give up what belongs to this object, which nobody refers to any more; may be called again."""


_T = TypeVar("_T", bound=KernelObject)
Held = list[KernelObject] | dict[str, KernelObject] | dict[int, "OpenFile"]
"""What a holder has: all of them lists or dictionaries."""


class Registry:
    """All objects of one kernel by kind and id. Ids count from 1 and are not used again. Threads may share it."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._tables: dict[str, dict[int, KernelObject]] = {}
        self._last: dict[str, int] = {}
        self._ending: list[KernelObject] = []
        """Objects that were let go of, where Ctrl-C came before what follows from that was done."""

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

    def release_once(self, held: Held, key: int | str = 0, *, user: bool = False) -> None:
        """Release what a holder has at a key, and take it out: both or neither, wherever Ctrl-C comes.

        Does nothing if it was taken out before. What Ctrl-C kept another call from is done, too.
        """
        obj = None
        try:
            with self.lock:
                obj = self._take_out(held, key, user)
            if obj is not None:
                self._let_go(obj)  # outside of the lock, because this may release other objects
        except BaseException:
            self._ending += () if obj is None else (obj,)
            raise
        self.complete()

    def _take_out(self, held: Any, key: int | str, user: bool) -> KernelObject | None:
        try:
            found = held[key]
        except LookupError:
            return None
        obj: KernelObject = found.obj if isinstance(found, OpenFile) else found
        table = self._tables.get(obj.kind, {})
        # Nothing can come between these lines, nor between them and the caller's next.
        del held[key]
        obj.references -= 1
        obj.users -= user
        if not obj.references and obj.id in table:
            del table[obj.id]
        return obj

    def _let_go(self, obj: KernelObject) -> None:
        """Do what follows from an object having no user, or no holder; each step may be done again."""
        if not obj.users:
            obj.last_user_gone()
        if not obj.references:
            obj.destroy()
            while obj.holds:
                self.release_once(obj.holds)

    def end(self, obj: KernelObject) -> None:
        """Let go of an object that nobody has held yet."""
        self.retain(obj)
        self.release(obj)

    def complete(self) -> None:
        """Do what Ctrl-C kept earlier calls from."""
        while self._ending:
            obj = self._ending[0]
            del self._ending[0]  # nothing can come between the two
            try:
                self._let_go(obj)
            except BaseException:
                self._ending += (obj,)
                raise


class BtfObject(KernelObject):
    """Loaded type information. `raw` are its bytes as they came."""

    kind = "btf"

    def __init__(self, btf: Btf, raw: bytes, *, free: Callable[[KernelObject], None]) -> None:
        super().__init__()
        self.btf = btf
        self.raw = raw
        self.name = ""
        self.cost = len(raw)
        self._free = free

    def destroy(self) -> None:
        self._free(self)


class MapObject(KernelObject):
    """A map and what belongs to it beside its storage."""

    kind = "map"

    def __init__(self, map_: Map, *, free: Callable[[KernelObject], None]) -> None:
        super().__init__()
        self.map = map_
        self.btf: BtfObject | None = None
        self.key_type = 0
        self.value_type = 0
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

    def __init__(self, program: Program, *, holds: Iterable[KernelObject]) -> None:
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
        self._registry.release_once(self._files, number, user=True)

    def close_all(self) -> None:
        """Close every number; there are none afterwards. If Ctrl-C ends it, another call does the rest."""
        with self._registry.lock:
            self._ended = True
        for number in list(self._files):
            self.close(number)
        self._registry.complete()

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
