"""Helpers that change the length and the headers of a socket buffer (net/core/filter.c, net/core/skbuff.c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpf.abi.helpers import Helper
from ebpf.abi.linux import EFAULT, EINVAL, ENOMEM, ENOTSUPP
from ebpf.vm import M32
from ebpf.vm.context.skb import (
    CHECKSUM_COMPLETE,
    CHECKSUM_NONE,
    ETH_HLEN,
    ETH_P_8021Q,
    ETH_P_IP,
    ETH_P_IPV6,
    MAX_LENGTH,
    VLAN_PROTOCOLS,
    SkbContext,
)
from ebpf.vm.fault import Fault
from ebpf.vm.helpers.checksum import add, partial, reset_level, subtract
from ebpf.vm.helpers.xdp import signed32
from ebpf.vm.machine import Run

_ADDRESSES = 12
"""Two Ethernet addresses: where a VLAN tag goes."""
_VLAN_HLEN = 4
_ETH_P_802_3 = 0x0100
_ETH_P_802_2 = 0x0400
_LENGTHS = {ETH_P_IP: 20, ETH_P_IPV6: 40}
_LONGEST_CHANGE = 0xFFF
_ROOM_NET, _ROOM_MAC = 0, 1
_FIXED_GSO = 1 << 0
_NO_CSUM_RESET = 1 << 5
_DECAP_IPV4 = 1 << 7
_DECAP_IPV6 = 1 << 8
_DECAP = _DECAP_IPV4 | _DECAP_IPV6
_ENCAP = 0x1E | 1 << 6 | 0xFF << 56


def ethernet_protocol(header: bytes, following: bytes) -> int:
    """Return the protocol of a frame from its type field and the two bytes behind it (eth_type_trans)."""
    if int.from_bytes(header, "big") >= 0x600:
        return int.from_bytes(header, "little")
    return _ETH_P_802_3 if following == b"\xff\xff" else _ETH_P_802_2


def _pull(run: Run, skb: SkbContext, size: int) -> int:
    return skb.pull(size & M32 or len(skb))


def _change_tail(run: Run, skb: SkbContext, length: int, flags: int) -> int:
    length &= M32
    if flags or length > MAX_LENGTH or length < max(skb.network_offset, 0):
        return -EINVAL
    if skb.ip_summed == CHECKSUM_COMPLETE and length != len(skb):
        skb.ip_summed = CHECKSUM_NONE
    skb.resize(length)
    _reset_segments(skb)
    return 0


def _reset_segments(skb: SkbContext) -> None:
    if skb["gso_size"]:
        skb["gso_size"] = skb["gso_segs"] = 0


def _change_head(run: Run, skb: SkbContext, size: int, flags: int) -> int:
    room = signed32(size)
    if flags or room < 0 or (not skb["gso_size"] and len(skb) + room > MAX_LENGTH):
        return -EINVAL
    skb.push_head(room)
    skb.mac_header = skb.data
    skb.mac_length = skb.mac_header_length
    return 0


def _push_vlan(run: Run, skb: SkbContext, protocol: int, tci: int) -> int:
    protocol &= 0xFFFF
    if skb["vlan_present"]:
        if skb.data != skb.mac_header:
            return -EINVAL
        _insert_tag(skb)
    skb["vlan_present"] = 1
    skb["vlan_proto"] = protocol if protocol in VLAN_PROTOCOLS else ETH_P_8021Q
    skb["vlan_tci"] = tci & 0xFFFF
    return 0


def _insert_tag(skb: SkbContext) -> None:
    tag = skb["vlan_proto"].to_bytes(2, "little") + skb["vlan_tci"].to_bytes(2, "big")
    skb.insert(_ADDRESSES, _VLAN_HLEN)
    skb.write(_ADDRESSES, tag)
    skb.mac_header -= _VLAN_HLEN
    skb.network_header -= _VLAN_HLEN
    skb["protocol"] = skb["vlan_proto"]
    if skb.ip_summed == CHECKSUM_COMPLETE:
        skb.csum = add(skb.csum, partial(tag))


def _pop_vlan(run: Run, skb: SkbContext) -> int:
    if skb["vlan_present"]:
        _clear_tag(skb)
    else:
        if skb["protocol"] not in VLAN_PROTOCOLS:
            return 0
        tci = _take_tag(skb)
        if tci < 0:
            return tci
    # The next tag of the packet, if there is one, moves to where the outermost tag lives.
    protocol = skb["protocol"]
    if protocol not in VLAN_PROTOCOLS:
        return 0
    tci = _take_tag(skb)
    if tci < 0:
        return tci
    skb["vlan_present"], skb["vlan_proto"], skb["vlan_tci"] = 1, protocol, tci
    return 0


def _clear_tag(skb: SkbContext) -> None:
    # The kernel forgets that there is a tag, and its protocol and number with it.
    skb["vlan_present"] = skb["vlan_proto"] = skb["vlan_tci"] = 0


def _take_tag(skb: SkbContext) -> int:
    """Cut the tag out of the packet and return its TCI, or a negative errno."""
    if skb.data != skb.mac_header:
        return -EINVAL
    if skb.pull(ETH_HLEN + _VLAN_HLEN):
        return -ENOMEM
    tag = skb.read(_ADDRESSES, 8)
    if skb.ip_summed == CHECKSUM_COMPLETE:
        skb.csum = subtract(skb.csum, partial(tag[:4]))
    skb["protocol"] = ethernet_protocol(tag[4:6], tag[6:8])
    skb.remove(_ADDRESSES, _VLAN_HLEN)
    skb.mac_header += _VLAN_HLEN
    if skb.network_offset < ETH_HLEN:
        skb.network_header = skb.data + ETH_HLEN
    skb.mac_length = skb.mac_header_length
    return int.from_bytes(tag[2:4], "big")


def _change_protocol(run: Run, skb: SkbContext, protocol: int, flags: int) -> int:
    if flags:
        return -EINVAL
    change = (skb["protocol"], protocol & 0xFFFF)
    difference = _LENGTHS[ETH_P_IPV6] - _LENGTHS[ETH_P_IP]
    if change == (ETH_P_IP, ETH_P_IPV6):
        _push_header(skb, skb.mac_header_length, difference)
    elif change == (ETH_P_IPV6, ETH_P_IP):
        if skb.pull(skb.mac_header_length + difference):
            return -ENOMEM
        _pop_header(skb, skb.mac_header_length, difference)
    else:
        return -ENOTSUPP
    skb["protocol"] = change[1]
    skb["hash"] = 0
    return 0


def _push_header(skb: SkbContext, offset: int, size: int) -> None:
    skb.insert(offset, size)
    skb.mac_header -= size
    skb.network_header -= size


def _pop_header(skb: SkbContext, offset: int, size: int) -> None:
    if skb.ip_summed == CHECKSUM_COMPLETE:
        skb.csum = subtract(skb.csum, partial(skb.read(offset, size)))
    skb.remove(offset, size)
    skb.mac_header += size
    skb.network_header += size


def _adjust_room(run: Run, skb: SkbContext, delta: int, mode: int, flags: int) -> int:
    change = signed32(delta)
    if flags & _ENCAP:
        raise Fault("helper", "the encapsulation flags need tunnels, which the embedded kernel does not have")
    if flags & ~(_FIXED_GSO | _NO_CSUM_RESET | _DECAP):
        return -EINVAL
    if abs(change) > _LONGEST_CHANGE:
        return -EFAULT
    base = _LENGTHS.get(skb["protocol"])
    if base is None or mode & M32 not in (_ROOM_NET, _ROOM_MAC):
        return -ENOTSUPP
    offset = skb.mac_header_length + (base if mode & M32 == _ROOM_NET else 0)
    least = base
    if flags & _DECAP:
        if change >= 0 or flags & _DECAP == _DECAP:
            return -EINVAL
        least = 20 if flags & _DECAP_IPV4 else 40
    error = _check_room(skb, change, least) or _make_room(skb, offset, change, flags)
    if not error and not flags & _NO_CSUM_RESET:
        reset_level(skb)
    return error


def _check_room(skb: SkbContext, change: int, least: int) -> int:
    if change < 0:
        current = len(skb) - skb.network_offset
        return -ENOTSUPP if -change >= current or current + change < least else 0
    return -ENOTSUPP if len(skb) + change > MAX_LENGTH and not skb["gso_size"] else 0


def _make_room(skb: SkbContext, offset: int, change: int, flags: int) -> int:
    # Segments that are not TCP's keep their borders, and a test run can't say that they are TCP's.
    if skb["gso_size"]:
        return -ENOTSUPP
    if change >= 0:
        _push_header(skb, offset, change)
        return 0
    if skb.pull(offset - change):
        return -ENOMEM
    _pop_header(skb, offset, -change)
    if flags & _DECAP:
        skb["protocol"] = ETH_P_IP if flags & _DECAP_IPV4 else ETH_P_IPV6
    return 0


BODIES: dict[Helper, Callable[..., Any]] = {
    Helper.SKB_PULL_DATA: _pull,
    Helper.SKB_CHANGE_TAIL: _change_tail,
    Helper.SKB_CHANGE_HEAD: _change_head,
    Helper.SKB_VLAN_PUSH: _push_vlan,
    Helper.SKB_VLAN_POP: _pop_vlan,
    Helper.SKB_CHANGE_PROTO: _change_protocol,
    Helper.SKB_ADJUST_ROOM: _adjust_room,
}
