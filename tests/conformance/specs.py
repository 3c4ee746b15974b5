"""Specs that the object tests load: maps of bytes and small programs in assembly."""

from __future__ import annotations

import struct

from ebpf.abi.types import AttachType, MapFlag, MapType, ProgramType
from ebpf.asm import Instructions
from ebpf.spec import CollectionSpec, MapSpec, ProgramSpec

RING_SIZE = 4096


def u32(number: int) -> bytes:
    """Encode a number as a 4-byte key or value."""
    return struct.pack("=I", number)


def u64(number: int) -> bytes:
    """Encode a number as an 8-byte value."""
    return struct.pack("=Q", number)


def hash_map(**changes: object) -> MapSpec:
    """Describe a hash of 4-byte keys and 8-byte values."""
    spec = MapSpec("counts", MapType.HASH, 4, 8, 64)
    for name, value in changes.items():
        setattr(spec, name, value)
    return spec


def program(text: str, *, name: str = "program", kind: ProgramType = ProgramType.XDP, **changes: object) -> ProgramSpec:
    """Describe a program by its assembly."""
    spec = ProgramSpec(name, kind, Instructions.from_asm(text), license="GPL")
    for attribute, value in changes.items():
        setattr(spec, attribute, value)
    return spec


def collection(*things: MapSpec | ProgramSpec) -> CollectionSpec:
    """Put maps and programs into one spec."""
    return CollectionSpec(
        maps={thing.name: thing for thing in things if isinstance(thing, MapSpec)},
        programs={thing.name: thing for thing in things if isinstance(thing, ProgramSpec)},
    )


def constant(retval: int, **changes: object) -> ProgramSpec:
    """Describe a program that returns a constant."""
    return program(f"r0 = {retval}\nexit", **changes)  # type: ignore[arg-type]  # passed on as they are


# Writes the packet's length and a marker, 16 bytes, to a ring buffer.
RING = """
    r2 = *(u32 *)(r1 + 4)
    r3 = *(u32 *)(r1 + 0)
    r2 -= r3
    *(u64 *)(r10 - 16) = r2
    *(u64 *)(r10 - 8) = 7
    r1 = map[events] ll
    r2 = r10
    r2 += -16
    r3 = 16
    r4 = 0
    call bpf_ringbuf_output
    r0 = 2
    exit
"""

# The same to the perf ring of the CPU that it runs on.
PERF = """
    *(u64 *)(r10 - 16) = 42
    *(u64 *)(r10 - 8) = 7
    r2 = map[events] ll
    r3 = 0xffffffff ll
    r4 = r10
    r4 += -16
    r5 = 16
    call bpf_perf_event_output
    r0 = 2
    exit
"""

# Counts its runs in element 0 of an array.
COUNT = """
    *(u32 *)(r10 - 4) = 0
    r1 = map[counter] ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    r0 = 2
    exit
"""

# Swaps nothing but the first byte of the packet: 0xff.
REWRITE = """
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += 14
    if r4 > r3 goto drop
    *(u8 *)(r2 + 0) = 255
    r5 = *(u8 *)(r2 + 13)
    if r5 == 1 goto drop
    r0 = 2
    exit
drop:
    r0 = 1
    exit
"""


def ring_collection() -> CollectionSpec:
    """Describe a program that writes to a ring buffer."""
    return collection(
        MapSpec("events", MapType.RINGBUF, 0, 0, RING_SIZE),
        program(RING, section="xdp", attach_type=AttachType.XDP),
    )


def perf_collection() -> CollectionSpec:
    """Describe a program that writes to perf rings."""
    return collection(MapSpec("events", MapType.PERF_EVENT_ARRAY, 0, 0, 0), program(PERF))


def counter_collection() -> CollectionSpec:
    """Describe a program that counts its runs."""
    return collection(MapSpec("counter", MapType.ARRAY, 4, 8, 1, flags=MapFlag.MMAPABLE), program(COUNT, section="xdp"))
