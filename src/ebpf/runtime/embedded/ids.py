"""*_GET_NEXT_ID and *_GET_FD_BY_ID (kernel/bpf/syscall.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.linux import EINVAL, ENOENT
from ebpf.runtime.embedded.linkobjects import LinkObject
from ebpf.runtime.embedded.objects import BtfObject, KernelObject, MapObject, ProgramObject, access_only
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from ebpf.runtime.attrs import GetId
    from ebpf.runtime.embedded.state import State

KINDS: dict[str, type[KernelObject]] = {
    "PROG": ProgramObject, "MAP": MapObject, "BTF": BtfObject, "LINK": LinkObject,
}  # fmt: skip
"""How the names of the commands begin → the objects that they are about."""
_INT_MAX = (1 << 31) - 1


def next_id(state: State, kind: type[KernelObject], attr: GetId) -> int:
    """Put the lowest id above `start_id` into `next_id`; ENOENT after the last."""
    if attr.start_id >= _INT_MAX:
        raise Rejected(EINVAL, f"{attr.start_id} can't be an id")
    found = state.registry.next_id(kind.kind, attr.start_id)
    if found is None:
        raise Rejected(ENOENT, f"no {kind.kind} has an id above {attr.start_id}")
    attr.next_id = found
    return 0


def open_id(state: State, kind: type[KernelObject], attr: GetId) -> int:
    """Open the object with this id; maps may be opened for one direction only."""
    if attr.open_flags and kind is not MapObject:
        raise Rejected(EINVAL, "open_flags are for maps")
    readable, writable = access_only(attr.open_flags)
    with state.registry.lock:
        obj = state.registry.find(kind, attr.start_id)
        if obj is None:
            raise Rejected(ENOENT, f"no {kind.kind} has the id {attr.start_id}")
        return state.handles.open(obj, readable=readable, writable=writable)
