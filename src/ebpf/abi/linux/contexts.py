"""Program contexts: the fields that programs see, who may touch them, and where the engine keeps them.

Follows `struct __sk_buff` and `struct xdp_md` of include/uapi/linux/bpf.h and the *_is_valid_access functions of
net/core/filter.c. The internal context keeps every scalar at its public offset, zero-extended to its public size, so
that a narrow load needs no shift; pointers, 32 bits wide in public, lie as 64 bits behind the public structure.
A narrow load that is not narrower than the kernel's own field (`internal_size`) reads all of it, wherever it begins.
"""

from __future__ import annotations

from functools import cache

from ebpf.abi import types
from ebpf.abi.types import ProgramType
from ebpf.plain import NamedTuple

SCALAR = "scalar"
"""Any aligned narrow load inside the field; stores only of the whole field."""
QUEUE = "queue"
"""As SCALAR, but a store of 0xffff (NO_QUEUE_MAPPING) or more is left out."""
EXACT = "exact"
"""Only loads and stores of the whole field."""
CB = "cb"
"""Loads and stores of 1, 2, 4 or 8 aligned bytes anywhere inside."""
PACKET = "packet"
PACKET_END = "packet_end"
PACKET_META = "packet_meta"
"""A packet pointer: loaded whole, becomes 64 bits."""
OBJECT = "object"
"""A pointer to a kernel object, loaded whole."""

POINTER_KINDS = frozenset((PACKET, PACKET_END, PACKET_META))


class ContextField(NamedTuple):
    """One public field. Offsets and sizes in bytes.

    `internal_size` is how many bytes a store changes and a whole load means; the bytes up to `size` are zero.
    """

    name: str
    offset: int
    size: int
    writable: bool
    internal_offset: int
    internal_size: int
    kind: str

    def allows(self, offset: int, size: int, *, write: bool) -> bool:
        """Tell whether the kernel accepts an access of `size` bytes at `offset` that touches this field."""
        if offset % size or offset + size > self.offset + self.size or (write and not self.writable):
            return False
        if self.kind == CB:
            return True
        whole = offset == self.offset and size == self.size
        return whole or (self.kind in (SCALAR, QUEUE) and not write and size < self.size)


class ContextLayout(NamedTuple):
    """The fields of one context structure; `size` is the public, `internal_size` the internal one."""

    name: str
    fields: tuple[ContextField, ...]
    size: int
    internal_size: int

    def field_at(self, offset: int) -> ContextField | None:
        """Return the field that contains the byte at `offset`, None where programs may not go."""
        for field in self.fields:
            if field.offset <= offset < field.offset + field.size:
                return field
        return None

    def field(self, name: str) -> ContextField:
        """Return the field called `name`; KeyError where this program type has none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)


SK_BUFF_SIZE = 192
SK_BUFF_INTERNAL_SIZE = 216

# name: (offset, public size, internal offset, internal size, kind); sizes inside are those of struct sk_buff.
_SK_BUFF: dict[str, tuple[int, int, int, int, str]] = {
    "len": (0, 4, 0, 4, SCALAR),
    "pkt_type": (4, 4, 4, 1, SCALAR),
    "mark": (8, 4, 8, 4, SCALAR),
    "queue_mapping": (12, 4, 12, 2, QUEUE),
    "protocol": (16, 4, 16, 2, SCALAR),
    "vlan_present": (20, 4, 20, 1, SCALAR),
    "vlan_tci": (24, 4, 24, 2, SCALAR),
    "vlan_proto": (28, 4, 28, 2, SCALAR),
    "priority": (32, 4, 32, 4, SCALAR),
    "ingress_ifindex": (36, 4, 36, 4, SCALAR),
    "ifindex": (40, 4, 40, 4, SCALAR),
    "tc_index": (44, 4, 44, 2, SCALAR),
    "cb": (48, 20, 48, 20, CB),
    "hash": (68, 4, 68, 4, SCALAR),
    "tc_classid": (72, 4, 72, 2, SCALAR),
    "data": (76, 4, 192, 8, PACKET),
    "data_end": (80, 4, 200, 8, PACKET_END),
    "napi_id": (84, 4, 84, 4, SCALAR),
    "family": (88, 4, 88, 2, SCALAR),
    "remote_ip4": (92, 4, 92, 4, EXACT),
    "local_ip4": (96, 4, 96, 4, EXACT),
    "remote_ip6_0": (100, 4, 100, 4, EXACT),
    "remote_ip6_1": (104, 4, 104, 4, EXACT),
    "remote_ip6_2": (108, 4, 108, 4, EXACT),
    "remote_ip6_3": (112, 4, 112, 4, EXACT),
    "local_ip6_0": (116, 4, 116, 4, EXACT),
    "local_ip6_1": (120, 4, 120, 4, EXACT),
    "local_ip6_2": (124, 4, 124, 4, EXACT),
    "local_ip6_3": (128, 4, 128, 4, EXACT),
    "remote_port": (132, 4, 132, 2, SCALAR),
    "local_port": (136, 4, 136, 2, SCALAR),
    "data_meta": (140, 4, 208, 8, PACKET_META),
    "tstamp": (152, 8, 152, 8, EXACT),
    "wire_len": (160, 4, 160, 4, SCALAR),
    "gso_segs": (164, 4, 164, 2, SCALAR),
    "sk": (168, 8, 168, 8, OBJECT),
    "gso_size": (176, 4, 176, 2, SCALAR),
    "tstamp_type": (180, 1, 180, 1, EXACT),
    "hwtstamp": (184, 8, 184, 8, EXACT),
}  # fmt: skip
_SOCKET_FIELDS = frozenset(name for name, row in _SK_BUFF.items() if 88 <= row[0] <= 136)
_TC_FIELDS = frozenset(("tc_classid", "data_meta", "wire_len", "tstamp_type"))
_SOCKET_FILTER_HIDDEN = (
    _SOCKET_FIELDS | _TC_FIELDS | frozenset(("data", "data_end", "tstamp", "hwtstamp"))
)  # direct packet access needs SCHED_CLS, SCHED_ACT or CGROUP_SKB

XDP_MD_SIZE = 24
XDP_INTERNAL_SIZE = 48
_XDP_MD: dict[str, tuple[int, int, int, int, str]] = {
    "data": (0, 4, 24, 8, PACKET),
    "data_end": (4, 4, 32, 8, PACKET_END),
    "data_meta": (8, 4, 40, 8, PACKET_META),
    "ingress_ifindex": (12, 4, 12, 4, EXACT),
    "rx_queue_index": (16, 4, 16, 4, EXACT),
    "egress_ifindex": (20, 4, 20, 4, EXACT),
}


_TC_WRITABLE = frozenset(("mark", "tc_index", "priority", "tc_classid", "cb", "tstamp", "queue_mapping"))
_SKB: dict[ProgramType, tuple[frozenset[str], frozenset[str]]] = {
    ProgramType.SOCKET_FILTER: (_SOCKET_FILTER_HIDDEN, frozenset(("cb",))),
    ProgramType.SCHED_CLS: (_SOCKET_FIELDS, _TC_WRITABLE),
    ProgramType.SCHED_ACT: (_SOCKET_FIELDS, _TC_WRITABLE),
    ProgramType.CGROUP_SKB: (_TC_FIELDS, frozenset(("mark", "priority", "cb", "tstamp"))),
}
"""Program type → fields of struct __sk_buff that it does not see, and those that it may write."""

TRANSLATED = (*_SKB, ProgramType.XDP)
"""The program types that see a context of fields, which accesses are translated to."""


class PlainContext(NamedTuple):
    """A context that is plain memory: accesses stay as they are. `limit` is the highest end of an access in bytes."""

    limit: int
    writable: bool

    def allows(self, offset: int, size: int, *, write: bool) -> bool:
        """Tell whether the kernel accepts an access of `size` bytes at `offset`."""
        return offset % size == 0 and 0 <= offset <= self.limit - size and (self.writable or not write)


PLAIN_CONTEXTS: dict[ProgramType, PlainContext] = {
    ProgramType.RAW_TRACEPOINT: PlainContext(12 * 8, False),
    ProgramType.SYSCALL: PlainContext(0xFFFF, True),
}
"""Program type → bounds. Raw tracepoints have up to 12 arguments of 8 bytes, syscall programs what the caller gives."""


@cache
def layout_of(type: ProgramType, attach_type: types.AttachType | None = None) -> ContextLayout | None:
    """Return the fields that a program sees, None for plain or unknown contexts.

    Only XDP programs for a devmap see `egress_ifindex`.
    """
    if type in _SKB:
        hidden, writable = _SKB[type]
        return _layout("__sk_buff", _SK_BUFF, SK_BUFF_SIZE, SK_BUFF_INTERNAL_SIZE, hidden, writable)
    if type != ProgramType.XDP:
        return None
    for_devmap = attach_type is not None and attach_type == types.AttachType.XDP_DEVMAP
    hidden = frozenset(() if for_devmap else ("egress_ifindex",))
    return _layout("xdp_md", _XDP_MD, XDP_MD_SIZE, XDP_INTERNAL_SIZE, hidden, frozenset())


def _layout(
    name: str,
    rows: dict[str, tuple[int, int, int, int, str]],
    size: int,
    internal_size: int,
    hidden: frozenset[str],
    writable: frozenset[str],
) -> ContextLayout:
    fields = tuple(
        ContextField(field, offset, width, field in writable, internal_offset, internal_width, kind)
        for field, (offset, width, internal_offset, internal_width, kind) in rows.items()
        if field not in hidden
    )
    return ContextLayout(name, fields, size, internal_size)
