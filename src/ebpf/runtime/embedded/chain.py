"""The ordered programs of one attach point (kernel/bpf/mprog.c), of TCX and of cgroups."""

from __future__ import annotations

from collections.abc import Callable

from ebpf.abi.linux import EEXIST, EINVAL, ENOENT, ERANGE, ESTALE
from ebpf.plain import NamedTuple
from ebpf.runtime.embedded.linkobjects import LinkObject
from ebpf.runtime.embedded.objects import ProgramObject
from ebpf.vm.fault import Rejected

LIMIT = 64
"""How many programs fit (BPF_MPROG_MAX)."""

REPLACE = 1 << 2
BEFORE = 1 << 3
AFTER = 1 << 4
ID = 1 << 5
LINK = 1 << 13
_ORDER = BEFORE | AFTER


class Entry:
    """One program, attached by itself or by a link."""

    __slots__ = ("link", "program")

    def __init__(self, program: ProgramObject, link: LinkObject | None = None) -> None:
        self.program = program
        self.link = link


class Place(NamedTuple):
    """Where to insert: `flags` of the call, `relative` a handle or id (0: no anchor), the `revision` expected or 0."""

    flags: int = 0
    relative: int = 0
    revision: int = 0


class Chain:
    """Programs in the order in which they run. The caller holds the kernel's lock."""

    def __init__(self, anchor: Callable[[int, int], ProgramObject | LinkObject], *, is_cgroup: bool) -> None:
        self.entries: list[Entry] = []
        self.revision = 1
        self.mode = 0
        """A cgroup's BPF_F_ALLOW_*, the same for all its programs."""
        self._is_cgroup = is_cgroup
        self._anchor = anchor

    def find(self, program: ProgramObject) -> Entry | None:
        """Return the entry of a program that is attached by itself."""
        return next((e for e in self.entries if e.program is program and e.link is None), None)

    def insert(self, entry: Entry, place: Place) -> None:
        """Add a program at a place; at the end without one."""
        self._check_revision(place)
        self.check_new(entry)
        if place.flags & REPLACE:
            raise Rejected(ENOENT, "there is nothing to replace")
        if place.flags & ~(_ORDER | ID | LINK):
            raise Rejected(EINVAL, f"flags {place.flags:#x} are not known")
        at = self._position(place)
        if len(self.entries) >= LIMIT:
            raise Rejected(ERANGE, f"{LIMIT} programs are attached here already")
        self.entries.insert(at, entry)
        self.revision += 1

    def check_new(self, entry: Entry) -> None:
        """Refuse a program that is here: in a cgroup, by itself; in TCX, in any way."""
        if self._is_cgroup and entry.link is None and self.find(entry.program) is not None:
            raise Rejected(EINVAL, "the program is attached here already")
        if not self._is_cgroup and any(e.program is entry.program for e in self.entries):
            raise Rejected(EEXIST, "the program is attached here already")

    def remove(self, entry: Entry) -> None:
        """Take an entry out."""
        self.entries.remove(entry)
        self.revision += 1

    def entry_of(self, link: LinkObject) -> Entry | None:
        """Return a link's entry."""
        return next((e for e in self.entries if e.link is link), None)

    def _check_revision(self, place: Place) -> None:
        if place.revision and place.revision != self.revision:
            raise Rejected(ESTALE, f"the revision is {self.revision}, expected {place.revision}")

    def _position(self, place: Place) -> int:
        before, after = bool(place.flags & BEFORE), bool(place.flags & AFTER)
        if before and after and self.entries:
            raise Rejected(ERANGE, "no place is before and after the others")
        if not place.relative and not place.flags & (ID | LINK):
            return 0 if before else len(self.entries)
        anchor = self._anchor(place.relative, place.flags)
        if before == after:
            raise Rejected(EINVAL, "an anchor needs BPF_F_BEFORE or BPF_F_AFTER")
        at = next((i for i, e in enumerate(self.entries) if anchor in (e.link, e.program)), None)
        if at is None:
            raise Rejected(ENOENT, "the anchor is not attached here")
        return at if before else at + 1
