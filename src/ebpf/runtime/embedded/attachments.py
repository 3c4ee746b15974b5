"""PROG_ATTACH, PROG_DETACH and PROG_QUERY of cgroups and TCX (kernel/bpf/cgroup.c, kernel/bpf/tcx.c)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ebpf.abi.linux import EBUSY, EINVAL, ENOENT, ENOSPC, EPERM
from ebpf.abi.types import AttachType, ProgramType
from ebpf.runtime.embedded.buffers import put
from ebpf.runtime.embedded.chain import AFTER, BEFORE, ID, LINK, REPLACE, Chain, Entry, Place
from ebpf.runtime.embedded.links import ALLOW_MULTI, PROGRAMS, LinkCommands, cgroup, device
from ebpf.runtime.embedded.objects import ProgramObject
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from ebpf.runtime.attrs import ProgAttach, ProgQuery
    from ebpf.runtime.embedded.state import State

_ALLOW_OVERRIDE = 1 << 0
_ANCHORED = BEFORE | AFTER | ID | LINK


class AttachCommands:
    """Programs on attach points without a link; the point keeps the program alive."""

    def __init__(self, state: State, links: LinkCommands) -> None:
        self._state = state
        self._links = links

    def attach(self, attr: ProgAttach) -> int:
        """PROG_ATTACH."""
        point = self._point(attr)
        program = self._state.handles.program(attr.attach_bpf_fd)
        if program.program.type != PROGRAMS[point]:
            raise Rejected(EINVAL, f"{point.name} takes {PROGRAMS[point].label} programs")
        chain, is_cgroup = self._chain(point, attr.target_fd)
        with self._state.registry.lock:
            self._state.registry.retain(program)
            try:
                gone = self._insert(chain, program, attr, multi=not is_cgroup)
            except Rejected:
                gone = program
                raise
            finally:
                if gone is not None:
                    self._state.registry.release(gone)
        return 0

    def detach(self, attr: ProgAttach) -> int:
        """PROG_DETACH."""
        point = self._point(attr)
        chain, is_cgroup = self._chain(point, attr.target_fd)
        with self._state.registry.lock:
            entry = self._named(chain, attr, is_cgroup=is_cgroup)
            chain.remove(entry)
            if not chain.entries:
                chain.mode = 0
        self._state.registry.release(entry.program)
        return 0

    def query(self, attr: ProgQuery) -> int:
        """PROG_QUERY: the ids of the programs in order; ENOSPC after filling a buffer that is too small."""
        point = AttachType(attr.number("attach_type", runtime="embedded"))
        if point not in PROGRAMS or attr.query_flags & ~1:
            raise Rejected(EINVAL, f"{point.name} can't be queried here")
        chain, _ = self._chain(point, attr.target_fd)
        room, total = attr.count, len(chain.entries)
        attr.count, attr.revision = total, chain.revision
        attr.attach_flags = chain.mode
        if attr.prog_ids is None or not room:
            return 0
        shown = chain.entries[:room]
        put(attr.prog_ids, struct.pack(f"={len(shown)}I", *(e.program.id for e in shown)), "prog_ids")
        if attr.link_ids is not None:
            ids = [0 if e.link is None else e.link.id for e in shown]
            put(attr.link_ids, struct.pack(f"={len(ids)}I", *ids), "link_ids")
        if room < total:
            raise Rejected(ENOSPC, f"{total} programs are attached, there is room for {room}")
        return 0

    def _point(self, attr: ProgAttach) -> AttachType:
        point = AttachType(attr.number("attach_type", runtime="embedded"))
        if point not in PROGRAMS:
            raise Rejected(EINVAL, f"nothing attaches to {point.name} without a link here")
        return point

    def _chain(self, point: AttachType, target: int) -> tuple[Chain, bool]:
        is_cgroup = PROGRAMS[point] == ProgramType.CGROUP_SKB
        number = cgroup(target) if is_cgroup else device(target)
        return self._links.chain(point, number), is_cgroup

    def _insert(self, chain: Chain, program: ProgramObject, attr: ProgAttach, *, multi: bool) -> ProgramObject | None:
        """Add or replace; return the program that went."""
        if not multi:
            multi = self._check_mode(chain, attr.attach_flags)
        if multi:
            chain.check_new(Entry(program))
        if attr.attach_flags & REPLACE:
            return self._swap(chain, self._state.handles.program(attr.replace_bpf_fd), program)
        if not multi and chain.entries:
            return self._swap(chain, chain.entries[0].program, program)
        chain.insert(Entry(program), Place(attr.attach_flags & _ANCHORED, attr.relative_fd, attr.expected_revision))
        return None

    def _check_mode(self, chain: Chain, flags: int) -> bool:
        """Check a cgroup's flags: one mode for all its programs. Return whether several may be there."""
        mode = flags & (_ALLOW_OVERRIDE | ALLOW_MULTI)
        bad = mode == _ALLOW_OVERRIDE | ALLOW_MULTI or flags & ~(mode | REPLACE | _ANCHORED)
        if bad or (flags & REPLACE and not mode & ALLOW_MULTI):
            raise Rejected(EINVAL, f"attach_flags {flags:#x} do not go together")
        if chain.entries and chain.mode != mode:
            raise Rejected(EPERM, "the programs here were attached with other flags")
        chain.mode = mode
        return bool(mode & ALLOW_MULTI)

    def _swap(self, chain: Chain, old: ProgramObject, new: ProgramObject) -> ProgramObject:
        entry = chain.find(old)
        if entry is None:
            raise Rejected(ENOENT, "the program to replace is not attached here")
        entry.program = new
        chain.revision += 1
        return old

    def _outermost(self, chain: Chain, flags: int) -> Entry | None:
        """Return what a TCX detach without a program means: the last one, or the first with BPF_F_BEFORE."""
        if not chain.entries:
            return None
        found = chain.entries[0 if flags & BEFORE else -1]
        if found.link is not None:
            raise Rejected(EBUSY, "the program here belongs to a link")
        return found

    def _named(self, chain: Chain, attr: ProgAttach, *, is_cgroup: bool) -> Entry:
        """Find what to detach: the program given, or the only one of a cgroup that allows only one."""
        if not attr.attach_bpf_fd and is_cgroup:
            if chain.mode & ALLOW_MULTI:
                raise Rejected(EINVAL, "several programs may be here: say which one to detach")
            found = next((e for e in chain.entries if e.link is None), None)
        elif not attr.attach_bpf_fd:
            found = self._outermost(chain, attr.attach_flags) if not is_cgroup else None
        else:
            found = chain.find(self._state.handles.program(attr.attach_bpf_fd))
        if found is None:
            raise Rejected(ENOENT, "the program is not attached here")
        return found
