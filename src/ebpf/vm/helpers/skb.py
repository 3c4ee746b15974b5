"""Helpers on the bytes and the metadata of a socket buffer (net/core/filter.c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpf.abi.helpers import Helper
from ebpf.abi.linux import EFAULT, EINVAL, EOPNOTSUPP
from ebpf.vm import M32
from ebpf.vm.context.skb import CHECKSUM_COMPLETE, ETH_HLEN, ETH_P_IP, ETH_P_IPV6, VLAN_PROTOCOLS, SkbContext
from ebpf.vm.helpers.checksum import add, block_add, partial, subtract
from ebpf.vm.machine import Run

_M16 = 0xFFFF
_MAX_OFFSET = 0x7FFFFFFF
_MAX_RELATIVE = 0xFFFF
_RECOMPUTE = 1
_INVALIDATE_HASH = 2
_LAST_CHANGEABLE_TYPE = 3
_CLOCK_REALTIME, _CLOCK_TAI = 0, 2
_ECN_CE = 3
_VLAN_HLEN = 4
_MAX_TAGS = 8


def _load(run: Run, skb: SkbContext, offset: int, buffer: memoryview, size: int) -> int:
    offset &= M32
    if offset > _MAX_OFFSET or offset + size > len(skb):
        return _clear(buffer)
    buffer[:] = skb.read(offset, size)
    return 0


def _clear(buffer: memoryview) -> int:
    buffer[:] = bytes(len(buffer))
    return -EFAULT


def _load_relative(run: Run, skb: SkbContext, offset: int, buffer: memoryview, size: int, start: int) -> int:
    offset &= M32
    headers = (skb.mac_header, skb.network_header)
    if offset > _MAX_RELATIVE or start & M32 >= len(headers):
        return _clear(buffer)
    at = headers[start & M32] + offset - skb.data
    if at + size > len(skb):
        return _clear(buffer)
    buffer[:] = skb.head[skb.data + at : skb.data + at + size]
    return 0


def _store(run: Run, skb: SkbContext, offset: int, content: memoryview, size: int, flags: int) -> int:
    offset &= M32
    if flags & ~(_RECOMPUTE | _INVALIDATE_HASH):
        return -EINVAL
    if offset > _MAX_OFFSET or skb.pull(offset + size):
        return -EFAULT
    old, new = skb.read(offset, size), content.tobytes()
    if flags & _RECOMPUTE and skb.ip_summed == CHECKSUM_COMPLETE:
        # The block sum is taken out and put in with the parity of its offset from the start of the data.
        skb.csum = subtract(skb.csum, block_add(0, partial(old), offset))
        skb.csum = block_add(skb.csum, partial(new), offset)
    skb.write(offset, new)
    if flags & _INVALIDATE_HASH:
        skb["hash"] = 0
    return 0


def _change_type(run: Run, skb: SkbContext, type_: int) -> int:
    type_ &= M32
    if skb["pkt_type"] > _LAST_CHANGEABLE_TYPE or type_ > _LAST_CHANGEABLE_TYPE:
        return -EINVAL
    skb["pkt_type"] = type_
    return 0


def _set_hash(run: Run, skb: SkbContext, value: int) -> int:
    skb["hash"] = value & M32
    return 0


def _set_hash_invalid(run: Run, skb: SkbContext) -> int:
    skb["hash"] = 0
    return 0


def _set_timestamp(run: Run, skb: SkbContext, stamp: int, clock: int) -> int:
    clock &= M32
    if skb["protocol"] not in (ETH_P_IP, ETH_P_IPV6):
        return -EOPNOTSUPP
    if clock > _CLOCK_TAI or (clock != _CLOCK_REALTIME and not stamp):
        return -EINVAL
    skb["tstamp"] = stamp
    skb["tstamp_type"] = clock
    return 0


def _set_congestion(run: Run, skb: SkbContext) -> int:
    """Set ECN to "congestion experienced" where the sender understands it (INET_ECN_set_ce)."""
    size = {ETH_P_IP: 20, ETH_P_IPV6: 40}.get(_inner_protocol(skb))
    at = skb.network_offset
    if size is None or at + size > len(skb):
        return 0
    header = bytearray(skb.head[skb.data + at : skb.data + at + size])
    changed = _congest_v4(header) if size == 20 else _congest_v6(header, skb)
    skb.write(at, header)
    return changed


def _inner_protocol(skb: SkbContext) -> int:
    """Look behind VLAN tags in the packet (vlan_get_protocol), from where the kernel takes the header to end."""
    protocol = skb["protocol"]
    at = skb.mac_length - _VLAN_HLEN if skb.mac_length else ETH_HLEN
    for _ in range(_MAX_TAGS):
        if protocol not in VLAN_PROTOCOLS:
            return protocol
        if at + _VLAN_HLEN > len(skb):
            return 0
        protocol = int.from_bytes(skb.read(at + 2, 2), "little")
        at += _VLAN_HLEN
    return 0


def _congest_v4(header: bytearray) -> int:
    ecn = header[1] + 1 & 3
    if not ecn & 2:
        return int(not ecn)
    # One's complement: the field grows by what the type of service takes away.
    difference = 0xFBFF + (ecn << 8) & _M16
    total = int.from_bytes(header[10:12], "little") + difference
    header[10:12] = (total + (total >> 16) & _M16).to_bytes(2, "little")
    header[1] |= _ECN_CE
    return 1


def _congest_v6(header: bytearray, skb: SkbContext) -> int:
    if not header[1] >> 4 & _ECN_CE:
        return 0
    old = int.from_bytes(header[:4], "little")
    header[1] |= _ECN_CE << 4
    if skb.ip_summed == CHECKSUM_COMPLETE:
        skb.csum = add(subtract(skb.csum, old), int.from_bytes(header[:4], "little"))
    return 1


BODIES: dict[Helper, Callable[..., Any]] = {
    Helper.SKB_LOAD_BYTES: _load,
    Helper.SKB_LOAD_BYTES_RELATIVE: _load_relative,
    Helper.SKB_STORE_BYTES: _store,
    Helper.SKB_CHANGE_TYPE: _change_type,
    Helper.SET_HASH: _set_hash,
    Helper.SET_HASH_INVALID: _set_hash_invalid,
    Helper.SKB_SET_TSTAMP: _set_timestamp,
    Helper.SKB_ECN_SET_CE: _set_congestion,
}
