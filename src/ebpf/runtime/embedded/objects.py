"""Kernel objects: ids, reference counts, and what happens when the last reference goes (kernel/bpf/syscall.c).

Two counts, as in Linux: every holder is a reference; a descriptor or a pin is a user as well. A program array gives up
its programs when its last user goes, so that programs and arrays that hold each other end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, TypeVar

from ebpf.abi import types
from ebpf.lean import Lock, RLock

if TYPE_CHECKING:
    from ebpf.btf import Btf
    from ebpf.vm.maps import Map
    from ebpf.vm.program import Program


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
        with self.lock:
            obj.references -= 1
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
    """A loaded program with its statistics. `holds` are the maps and type information that it keeps alive."""

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
        held, self.holds = self.holds, []
        for obj in held:
            self._release(obj)
