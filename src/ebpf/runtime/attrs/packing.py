"""Records as the bytes that Linux takes, and back (include/uapi/linux/bpf.h). The embedded kernel packs nothing."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from ebpf.plain import NamedTuple
from ebpf.runtime.attrs import Attr, Member, unset, untag
from ebpf.runtime.memory import Address, pin, pin_strings

if TYPE_CHECKING:
    from typing_extensions import Buffer


UNION_SIZE = 256
"""How many bytes are packed: the kernel writes some outputs without looking at the size it was given."""


class Packed(NamedTuple):
    """A record as the kernel takes it: `size` bytes of `buffer`; `keepalive` holds the addresses in it."""

    buffer: bytearray
    size: int
    keepalive: list[object]


def pack(record: Attr, cmd: int, platform: int, runtime: str) -> Packed:
    """Do what `Attr.pack` says."""
    record.check_lengths(cmd)
    packed = Packed(bytearray(UNION_SIZE), 0, [])
    size = max((member.end for member in _outputs(type(record), cmd)), default=4)
    for name, member in record.MEMBERS.items():
        value = getattr(record, name)
        if unset(value):
            continue
        if member.kind == "nested":
            _pack_nested(record, member, value, packed.keepalive)
            continue
        if any(packed.buffer[member.offset : member.end]):
            raise ValueError(f"{type(record).__name__}.{name} overlaps a member of the union that is set too")
        if member.tagged is not None:
            value = untag(value, member, platform=platform, runtime=runtime)
        try:
            struct.pack_into(f"={member.code}", packed.buffer, member.offset, _plain(cmd, member, value, packed))
        except struct.error:
            raise record.misfit(member) from None
        size = max(size, member.end)
    return packed._replace(size=size)


def _plain(cmd: int, member: Member, value: Any, packed: Packed) -> Any:
    """Return what `struct` takes for a member's value; what its address is of stays alive with `packed`."""
    if member.kind == "int":
        return value
    if member.kind == "name":
        return bytes(value)[:15]
    address = _address(member, value, writable=member.is_written(cmd))
    packed.keepalive.append(address.keepalive)
    return address.number


def _pack_nested(record: Attr, member: Member, buffers: Mapping[int, Buffer], keepalive: list[object]) -> None:
    outer = memoryview(getattr(record, str(member.length[0]))).cast("B")
    for offset, buffer in buffers.items():
        address = pin(buffer, writable=True)
        keepalive.append(address.keepalive)
        struct.pack_into("=Q", outer, offset, address.number)


def unpack(record: Attr, cmd: int, buffer: Buffer) -> None:
    """Do what `Attr.unpack` says."""
    for member in _outputs(type(record), cmd):
        setattr(record, member.name, struct.unpack_from(f"={member.code}", buffer, member.offset)[0])


@cache
def _outputs(record: type[Attr], cmd: int) -> tuple[Member, ...]:
    """Return the numbers in a record that the kernel writes."""
    return tuple(member for member in record.MEMBERS.values() if member.kind == "int" and member.is_written(cmd))


def _address(member: Member, value: Any, *, writable: bool) -> Address:
    if member.kind == "strings":
        return pin_strings([_terminated(text) for text in value])
    if member.kind == "string":
        return pin(_terminated(value), writable=False)
    return pin(value, writable=writable)


def _terminated(text: Buffer) -> bytes:
    data = bytes(text)
    return data if data.endswith(b"\0") else data + b"\0"
