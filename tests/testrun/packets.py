"""Packets to run on."""

from __future__ import annotations


def pattern(size: int) -> bytes:
    """Return bytes that differ from their neighbours, with an unknown Ethernet type."""
    return bytes((7 * n + n // 256) & 0xFF for n in range(size))


def ethernet(payload: bytes, kind: int, *, to: bytes = bytes(6)) -> bytes:
    """Put an Ethernet header before a payload."""
    return to + bytes.fromhex("021122334455") + kind.to_bytes(2, "big") + payload


IP4 = bytes.fromhex("4500 002e 1234 4000 4011 0000 0a000001 0a000002 1388 0035 001a beef".replace(" ", "")) + bytes(18)
IP6 = bytes.fromhex(
    "6000 0000 0012 1140 20010db8000000000000000000000001 20010db8000000000000000000000002".replace(" ", "")
)
IP6 += bytes.fromhex("13880035001abeef") + b"hello, you"
UDP4 = ethernet(IP4, 0x800)
UDP6 = ethernet(IP6, 0x86DD)
VLAN = ethernet(bytes.fromhex("6064 0800".replace(" ", "")) + IP4, 0x8100)
QINQ = ethernet(bytes.fromhex("2005 8100 6064 0800".replace(" ", "")) + IP4, 0x88A8)
ARP = ethernet(pattern(46), 0x806, to=b"\xff" * 6)
LLC = ethernet(b"\x42\x42\x03" + pattern(35), 38)
NOVELL = ethernet(b"\xff\xff" + pattern(36), 38)
MULTICAST = ethernet(IP4, 0x800, to=bytes.fromhex("01005e000001"))
OTHER = ethernet(IP4, 0x800, to=bytes.fromhex("020000000001"))
SHORT4 = ethernet(IP4[:19], 0x800)
SHORT6 = ethernet(IP6[:39], 0x86DD)

KINDS = {
    "udp4": UDP4,
    "udp6": UDP6,
    "vlan": VLAN,
    "qinq": QINQ,
    "arp": ARP,
    "llc": LLC,
    "novell": NOVELL,
    "multicast": MULTICAST,
    "other host": OTHER,
    "short ip4": SHORT4,
    "short ip6": SHORT6,
    "header only": UDP4[:14],
    "header only, unknown": pattern(14),
}
