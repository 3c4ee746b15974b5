"""LINK_CREATE, LINK_UPDATE, LINK_DETACH and RAW_TRACEPOINT_OPEN.

The embedded kernel has one network interface (number 1, "lo"), one cgroup of its own (target 0; a descriptor of a
directory names another) and the raw tracepoints in TRACEPOINTS. No event of theirs ever fires: a link here is the
object with its rules, and packets come from PacketsHook or PROG_TEST_RUN.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from ebpf.abi.linux import (
    EBADF,
    EBUSY,
    EFAULT,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOLINK,
    EOPNOTSUPP,
    EPERM,
)
from ebpf.abi.types import AttachType, LinkType, ProgramType
from ebpf.runtime.attrs import text_of
from ebpf.runtime.embedded.chain import ID, LINK, REPLACE, Chain, Entry, Place
from ebpf.runtime.embedded.linkobjects import LinkObject
from ebpf.runtime.embedded.objects import ProgramObject
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from ebpf.runtime.attrs import LinkCreate, LinkDetach, LinkUpdate, RawTracepointOpen
    from ebpf.runtime.embedded.state import State

DEVICE = 1
"""The only interface's number."""
ROOT_CGROUP = 1
"""Number of the embedded kernel's own cgroup."""
TRACEPOINTS = frozenset(
    {
        "sys_enter", "sys_exit", "sched_switch", "sched_wakeup", "sched_wakeup_new", "sched_process_exec",
        "sched_process_exit", "sched_process_fork", "task_newtask", "task_rename", "netif_receive_skb", "net_dev_xmit",
        "kfree_skb", "signal_generate", "cpu_idle", "irq_handler_entry", "bpf_test_finish",
    }
)  # fmt: skip
"""Names that RAW_TRACEPOINT_OPEN finds; a fixed selection of those that every Linux has."""

XDP_MODES = 1 << 1 | 1 << 2 | 1 << 3
_CGROUP_SKB = frozenset({AttachType.CGROUP_INET_INGRESS, AttachType.CGROUP_INET_EGRESS})
_TCX = frozenset({AttachType.TCX_INGRESS, AttachType.TCX_EGRESS})
PROGRAMS: dict[AttachType, ProgramType] = {
    AttachType.CGROUP_INET_INGRESS: ProgramType.CGROUP_SKB,
    AttachType.CGROUP_INET_EGRESS: ProgramType.CGROUP_SKB,
    AttachType.TCX_INGRESS: ProgramType.SCHED_CLS,
    AttachType.TCX_EGRESS: ProgramType.SCHED_CLS,
}
"""Attach points with several programs in order, and the type that they take."""
ALLOW_MULTI = 1 << 1
Point = tuple[AttachType, int]


class LinkCommands:
    """Links and the attach points behind them. The registry's lock covers the points."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._chains: dict[Point, Chain] = {}
        self._xdp: LinkObject | None = None

    def chain(self, attach_type: AttachType, target: int) -> Chain:
        """Return the programs on an attach point, in order."""
        found = self._chains.get((attach_type, target))
        if found is None:
            found = Chain(
                lambda number, flags: self._anchor(number, flags, attach_type), is_cgroup=attach_type in _CGROUP_SKB
            )
            self._chains[attach_type, target] = found
        return found

    # Commands.

    def create(self, attr: LinkCreate) -> int:
        """LINK_CREATE."""
        program = self._state.handles.program(attr.prog_fd)
        attach_type = AttachType(attr.number("attach_type", runtime="embedded"))
        kind = program.program.type
        if kind == ProgramType.XDP and attach_type == AttachType.XDP:
            link = self._create_xdp(attr, program)
        elif kind == ProgramType.SCHED_CLS and attach_type in _TCX:
            place = Place(attr.flags, attr.tcx_relative_fd, attr.tcx_expected_revision)
            link = self._create_chained(LinkType.TCX, program, attach_type, device(attr.target_ifindex), place)
        elif kind == ProgramType.CGROUP_SKB and attach_type in _CGROUP_SKB:
            if attr.flags and not attr.cgroup_relative_fd:
                raise Rejected(EINVAL, f"flags {attr.flags:#x} need an anchor")
            place = Place(attr.flags, attr.cgroup_relative_fd, attr.cgroup_expected_revision)
            link = self._create_chained(LinkType.CGROUP, program, attach_type, cgroup(attr.target_fd), place)
        else:
            raise Rejected(EINVAL, f"a {kind.label} program has no link for {attach_type.name} here")
        return self._state.open_new(link)

    def open_raw_tracepoint(self, attr: RawTracepointOpen) -> int:
        """RAW_TRACEPOINT_OPEN."""
        program = self._state.handles.program(attr.prog_fd)
        if program.program.type != ProgramType.RAW_TRACEPOINT:
            raise Rejected(EINVAL, f"a {program.program.type.label} program has no raw tracepoint")
        if attr.name is None:
            raise Rejected(EFAULT, "the name is missing")
        name = text_of(attr.name)
        if name not in TRACEPOINTS:
            raise Rejected(
                ENOENT, f"there is no raw tracepoint {name!r}; the embedded kernel has {sorted(TRACEPOINTS)}"
            )
        link = self._new(LinkType.RAW_TRACEPOINT, program, None, name, cookie=attr.cookie)
        return self._state.open_new(link)

    def update(self, attr: LinkUpdate) -> int:
        """LINK_UPDATE: put another program of the same type in place."""
        if attr.flags & ~REPLACE:
            raise Rejected(EINVAL, f"flags {attr.flags:#x} are not known")
        link = self._state.handles.find(attr.link_fd, LinkObject)
        new = self._state.handles.program(attr.new_prog_fd)
        old = self._state.handles.program(attr.old_prog_fd) if attr.flags & REPLACE else None
        if old is None and attr.old_prog_fd:
            raise Rejected(EINVAL, "old_prog_fd needs BPF_F_REPLACE")
        if link.type == LinkType.RAW_TRACEPOINT:
            raise Rejected(EINVAL, "the program of a raw tracepoint can't be replaced")
        with self._state.registry.lock:
            before = self._replace(link, new, old)
        self._state.registry.release(before)
        return 0

    def detach(self, attr: LinkDetach) -> int:
        """LINK_DETACH: the link stays, without its attach point."""
        link = self._state.handles.find(attr.link_fd, LinkObject)
        if link.type == LinkType.RAW_TRACEPOINT:
            raise Rejected(EOPNOTSUPP, "a raw tracepoint's link ends with its last handle")
        self._take_off(link)
        return 0

    # Attach points.

    def _create_xdp(self, attr: LinkCreate, program: ProgramObject) -> LinkObject:
        if attr.target_ifindex != DEVICE:
            raise Rejected(EINVAL, f"there is no interface {attr.target_ifindex}, only {DEVICE} (lo)")
        modes = attr.flags & XDP_MODES
        if attr.flags & ~XDP_MODES or modes & (modes - 1):
            raise Rejected(EINVAL, f"flags {attr.flags:#x} name no XDP mode, or several")
        with self._state.registry.lock:
            if self._xdp is not None:
                raise Rejected(EBUSY, "the interface has an XDP link already")
            self._xdp = self._new(LinkType.XDP, program, AttachType.XDP, DEVICE)
            return self._xdp

    def _create_chained(
        self, type_: LinkType, program: ProgramObject, attach_type: AttachType, target: int, place: Place
    ) -> LinkObject:
        with self._state.registry.lock:
            link = self._new(type_, program, attach_type, target)
            try:
                chain = self.chain(attach_type, target)
                if type_ == LinkType.CGROUP:
                    self._check_mode(chain)
                chain.insert(Entry(program, link), place)
            except Rejected:
                self._state.registry.retain(link)
                self._state.registry.release(link)
                raise
            return link

    def _new(
        self,
        type_: LinkType,
        program: ProgramObject,
        attach_type: AttachType | None,
        target: int | str,
        *,
        cookie: int = 0,
    ) -> LinkObject:
        self._state.registry.retain(program)
        link = LinkObject(
            type_, program, attach_type=attach_type, target=target, cookie=cookie, ended=self._take_off
        )  # fmt: skip
        return self._state.registry.add(link)

    def _take_off(self, link: LinkObject) -> None:
        with self._state.registry.lock:
            if self._xdp is link:
                self._xdp = None
            entry = self._entry(link)
            if entry is not None:
                assert link.attach_type is not None
                self.chain(link.attach_type, int(link.target)).remove(entry)
            if link.type != LinkType.RAW_TRACEPOINT:
                link.target = 0

    def _entry(self, link: LinkObject) -> Entry | None:
        if link.attach_type is None or link.type == LinkType.XDP or not link.target:
            return None
        return self.chain(link.attach_type, int(link.target)).entry_of(link)

    def _replace(self, link: LinkObject, new: ProgramObject, old: ProgramObject | None) -> ProgramObject:
        if not link.target:
            raise Rejected(ENOLINK, "the link is detached")
        if old is not None and old is not link.program:
            raise Rejected(EPERM, "the link has another program than old_prog_fd")
        if new.program.type != link.program.program.type:
            raise Rejected(EINVAL, f"the link is for {link.program.program.type.label} programs")
        before = link.program
        self._state.registry.retain(new)
        link.program = new
        entry = self._entry(link)
        if entry is not None:
            entry.program = new
        return before

    def _check_mode(self, chain: Chain) -> None:
        """A link allows others beside it, so that those there have to allow it, too."""
        if chain.entries and chain.mode != ALLOW_MULTI:
            raise Rejected(EPERM, "the program here was attached without BPF_F_ALLOW_MULTI")
        chain.mode = ALLOW_MULTI

    def _anchor(self, number: int, flags: int, attach_type: AttachType) -> ProgramObject | LinkObject:
        kind: type[LinkObject] | type[ProgramObject] = LinkObject if flags & LINK else ProgramObject
        if flags & ID:
            found = self._state.registry.find(kind, number)
            if found is None:
                raise Rejected(ENOENT, f"no {kind.kind} has the id {number}")
        else:
            found = self._state.handles.find(number, kind)
        program = found.program if isinstance(found, LinkObject) else found
        if program.program.type != PROGRAMS[attach_type]:
            raise Rejected(EINVAL, f"{attach_type.name} takes {PROGRAMS[attach_type].label} programs")
        return found


def device(ifindex: int) -> int:
    """Check an interface's number."""
    if ifindex != DEVICE:
        raise Rejected(ENODEV, f"there is no interface {ifindex}, only {DEVICE} (lo)")
    return ifindex


def cgroup(target: int) -> int:
    """Return the number of a cgroup: 0 is the kernel's own, else a descriptor of a directory of the host."""
    if target == 0:
        return ROOT_CGROUP
    try:
        found = os.fstat(target)
    except (OSError, OverflowError):
        found = None
    if found is None or not stat.S_ISDIR(found.st_mode):
        raise Rejected(EBADF, f"{target} is no descriptor of a directory; 0 names the embedded kernel's own cgroup")
    return found.st_ino
