"""A compiled program that passes its context through subprograms, the stack and a callback."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import ebpf
from ebpf.runtime import Runtime

OBJECT = Path(__file__).parents[1] / "objects" / "passing.o"


def context(priority: int, cb: tuple[int, ...]) -> bytes:
    ctx = bytearray(192)
    struct.pack_into("<I", ctx, 32, priority)
    struct.pack_into("<5I", ctx, 48, *cb)
    return bytes(ctx)


def expected(packet: bytes, priority: int, cb: tuple[int, ...], ifindex: int) -> int:
    """Compute what the program does, from its source."""
    length = len(packet)
    protocol = 0x0008
    total = sum(packet[:5]) + 5 * (7 + (length & 0xFF)) + 5
    total += packet[length & 1] + ifindex + protocol + (length * 3) % 2**32
    if cb[0] > 3:
        total += packet[0] + ifindex
    if cb[4] > 3:
        total += packet[1] + ifindex + protocol
    return (total + (priority >> 8 & 0xFF) + priority + 0x1234) & 0xFFFF


@pytest.mark.parametrize("cb", [(0, 0, 0, 0, 0), (9, 0, 0, 0, 0), (4, 1, 2, 3, 4)])
@pytest.mark.parametrize("length", [60, 61, 300])
def test_context_is_found_everywhere(runtime: Runtime, cb: tuple[int, ...], length: int) -> None:
    packet = bytes(range(40, 52)) + b"\x08\x00\x45" + bytes(range(200)) * 2
    packet = packet[:length]
    priority = 0xABCD
    with ebpf.CollectionSpec.from_file(OBJECT).load(runtime=runtime) as collection:
        result = collection.programs["pass_around"].run(packet, ctx=context(priority, cb))
    assert result.retval == expected(packet, priority, cb, ifindex=1)
    assert struct.unpack_from("<I", result.ctx, 8)[0] == 7
    assert struct.unpack_from("<I", result.ctx, 56)[0] == length * 3 % 2**32
