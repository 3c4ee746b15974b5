"""tcx: programs at the ingress and egress of a network interface (kernel/bpf/tcx.c, Linux 6.6)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from ebpf.abi.types import AttachType, Cmd
from ebpf.link.devices import interface_index
from ebpf.link.link import Link
from ebpf.objects.program import Program
from ebpf.runtime import attrs

if TYPE_CHECKING:
    from typing import Literal

_BEFORE, _AFTER, _LINK = 1 << 3, 1 << 4, 1 << 13
"""BPF_F_BEFORE, BPF_F_AFTER, BPF_F_LINK."""
_TYPES = {"ingress": AttachType.TCX_INGRESS, "egress": AttachType.TCX_EGRESS}


def tcx(
    program: Program,
    target: str | int,
    *,
    direction: Literal["ingress", "egress"] | None = None,
    before: Program | Link | Literal["all"] | None = None,
    after: Program | Link | Literal["all"] | None = None,
    revision: int = 0,
) -> Link:
    """Attach to a network interface, by name or number (Linux 6.6).

    `direction` defaults to what the program was loaded for. `before` and `after` order it among those that are there
    (a program, a link, or "all"); without either it comes last. `revision` makes the call fail with ESTALE when the
    list has changed since it was read. Raises SystemCallError (EEXIST: this program is there already),
    MissingPrivilegeError without CAP_NET_ADMIN, OSError for an interface that is not there.
    """
    attr = attrs.LinkCreate(
        target_ifindex=interface_index(program.runtime, target),
        attach_type=_attach_type(program, direction),
        tcx_expected_revision=revision,
    )
    with ExitStack() as held:
        attr.prog_fd = held.enter_context(program.handle.borrow())
        for flag, anchor in ((_BEFORE, before), (_AFTER, after)):
            if anchor is not None:
                attr.flags |= flag
            if isinstance(anchor, (Program, Link)):
                attr.flags |= _LINK if isinstance(anchor, Link) else 0
                attr.tcx_relative_fd = held.enter_context(anchor.handle.borrow())
        fd = program.runtime.bpf(Cmd.LINK_CREATE, attr)
    hook = f"{attr.attach_type.name.lower()} of {target}" if isinstance(attr.attach_type, AttachType) else "tcx"
    return Link(program.runtime, program.runtime.own(fd), program=program, hook=hook)


def _attach_type(program: Program, direction: str | None) -> AttachType:
    if direction is not None:
        if direction not in _TYPES:
            raise ValueError(f"direction is ingress or egress; got {direction!r}")
        return _TYPES[direction]
    if program.attach_type in _TYPES.values():
        assert program.attach_type is not None
        return program.attach_type
    raise ValueError(f"program {program.name} does not say its direction: give direction='ingress' or 'egress'")
