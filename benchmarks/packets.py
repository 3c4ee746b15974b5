"""The packets that the programs run over: 1,500 bytes, the same on every machine."""

from __future__ import annotations

import random
import struct

SIZE = 1500


def frame() -> bytes:
    """Return an Ethernet frame with IPv4, TCP and a payload of every byte value."""
    payload = random.Random(2).randbytes(SIZE - 54)
    ethernet = bytes.fromhex("02000000000202000000000108 00")
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, SIZE - 14, 1, 0, 64, 6, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
    tcp = struct.pack(">HHIIBBHHH", 40000, 443, 1, 1, 5 << 4, 0x10, 512, 0, 0)
    return ethernet + ip + tcp + payload


def twin() -> bytes:
    """Return the frame with its first 256 bytes again as the second 256: what compares them reads to the end."""
    whole = frame()
    return whole[:256] * 2 + whole[512:]
