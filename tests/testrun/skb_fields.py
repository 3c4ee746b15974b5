"""Socket buffers: what `__sk_buff` shows, which fields may be written, what the caller may set."""

from __future__ import annotations

from itertools import product
from struct import pack_into
from typing import Any

from ebpf.abi.linux.contexts import OBJECT, POINTER_KINDS, ContextField, layout_of
from ebpf.abi.types import AttachType, ProgramType
from tests.testrun.case import Case
from tests.testrun.packets import KINDS, UDP4, pattern

FILTER, TC, ACT, CGROUP = (
    ProgramType.SOCKET_FILTER,
    ProgramType.SCHED_CLS,
    ProgramType.SCHED_ACT,
    ProgramType.CGROUP_SKB,
)
TYPES = (FILTER, TC, ACT, CGROUP)
RETURN = "r0 = 1; exit"
_OPCODES = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}


def skb(name: str, type_: ProgramType, text: str = RETURN, **options: Any) -> Case:
    return Case(name=f"{type_.name} {name}", type=type_, text=text, **options)


def fields_of(type_: ProgramType) -> list[ContextField]:
    layout = layout_of(type_)
    assert layout is not None
    return [field for field in layout.fields if field.kind not in (*POINTER_KINDS, OBJECT)]


def show(reads: list[tuple[int, int]]) -> str:
    """Store up to 32 loads (offset, size) from the context r6 at out[0], out[8], ..."""
    lines = ["r1 = map[out][0] ll"]
    for n, (offset, size) in enumerate(reads):
        lines += [f"r2 = *({_OPCODES[size]} *)(r6 + {offset})", f"*(u64 *)(r1 + {8 * n}) = r2"]
    return "\n".join(lines)


def parts(field: ContextField) -> list[tuple[int, int]]:
    """Return the loads that show a field whole."""
    return [(48 + 4 * n, 4) for n in range(5)] if field.name == "cb" else [(field.offset, field.size)]


def reads_of(type_: ProgramType) -> list[list[tuple[int, int]]]:
    reads = [read for field in fields_of(type_) for read in parts(field)]
    return [reads[n : n + 32] for n in range(0, len(reads), 32)]


def ctx(**values: int | bytes) -> bytes:
    """Pack a struct __sk_buff."""
    data = bytearray(192)
    layout = {field.name: field for type_ in TYPES for field in (layout_of(type_) or ()).fields}  # type: ignore[union-attr]
    for name, value in values.items():
        field = layout[name]
        if isinstance(value, bytes):
            data[field.offset : field.offset + len(value)] = value
        else:
            pack_into({1: "<B", 4: "<I", 8: "<Q"}[field.size], data, field.offset, value)
    return bytes(data)


SHOWN = [
    skb(f"fields {n} of {name}", type_, f"r6 = r1\n{show(reads)}\n{RETURN}", data=data)
    for type_ in TYPES
    for n, reads in enumerate(reads_of(type_))
    for name, data in KINDS.items()
]

FULL = ctx(
    mark=0x11223344,
    priority=0x55667788,
    ingress_ifindex=1,
    ifindex=1,
    cb=bytes(range(1, 21)),
    tstamp=0x0102030405060708,
    wire_len=3000,
    gso_segs=7,
    gso_size=1448,
    hwtstamp=0x1112131415161718,
)
SHOWN += [
    skb(f"fields {n} as given", type_, f"r6 = r1\n{show(reads)}\n{RETURN}", data=UDP4, ctx=FULL, wants_ctx=True)
    for type_ in TYPES
    for n, reads in enumerate(reads_of(type_))
]

# Narrow loads of a field with all bytes different.
NARROW = [
    skb(f"u{8 * size} at {field.name} of {name}", type_, f"r6 = r1\n{show(reads)}\n{RETURN}", data=data, ctx=FULL)
    for type_ in (TC, CGROUP)
    for name, data in (("udp4", UDP4), ("other host", KINDS["other host"]))
    for field in fields_of(type_)
    for size in (1, 2)
    if (
        reads := [
            (at, size)
            for at in range(field.offset, field.offset + field.size, size)
            if field.allows(at, size, write=False)
        ]
    )
]
SIGNED = [
    skb(
        f"s{bits} at {at}",
        TC,
        f"r2 = *(s{bits} *)(r1 + {at}); r1 = map[out][0] ll; *(u64 *)(r1 + 0) = r2; {RETURN}",
        ctx=ctx(mark=0x80F0E0D0, cb=b"\xfe\xff\xff\xff" * 5, priority=0xFFFFFFFF),
    )
    for bits, at in ((8, 8), (16, 8), (32, 8), (8, 11), (16, 50), (32, 52), (32, 32))
]

WRITES = [
    skb(
        f"write {value:#x} to {field.name}+{at - field.offset} u{8 * size}",
        type_,
        f"r6 = r1; r2 = {value:#x} ll; *({_OPCODES[size]} *)(r1 + {at}) = r2\n{show(parts(field))}\n{RETURN}",
        data=UDP4,
        wants_ctx=True,
        ctx=ctx(cb=bytes(range(1, 21))),
    )
    for type_ in TYPES
    for field in fields_of(type_)
    if field.writable
    for at, size in (
        [(field.offset, field.size)] if field.name != "cb" else [(49, 1), (50, 2), (52, 4), (56, 8), (64, 4)]
    )
    for value in (0, 5, 0x8877665544332211)
    if (field.name, value) != ("queue_mapping", 0x8877665544332211)
]
WRITES += [
    skb(f"write {value} to {name}", TC, f"r6 = r1; *({size} *)(r1 + {at}) = {value}\n{show([(at, 4)])}\n{RETURN}")
    for name, at, size in (("mark", 8, "u32"), ("tc_index", 44, "u32"), ("cb", 48, "u32"), ("queue_mapping", 12, "u32"))
    for value in (0, 77, 65534)
]

GIVEN = [
    skb(f"given {name}={value!r:.30} of {size}", type_, data=pattern(size), ctx=ctx(**{name: value}), wants_ctx=True)
    for type_ in TYPES
    for size in (14, 100)
    for name, values in {
        "len": (1,),
        "pkt_type": (1,),
        "mark": (0, 0xFFFFFFFF),
        "queue_mapping": (1,),
        "protocol": (8,),
        "vlan_present": (1,),
        "vlan_tci": (1,),
        "vlan_proto": (1,),
        "priority": (9,),
        "ingress_ifindex": (1, 3, 77),
        "ifindex": (0, 1, 77777),
        "tc_index": (1,),
        "cb": (bytes(range(20)),),
        "hash": (1,),
        "tc_classid": (1,),
        "data": (1,),
        "data_end": (1, 14, 15, 60, 99, 100, 101),
        "napi_id": (1,),
        "family": (2,),
        "remote_ip4": (1,),
        "local_port": (1,),
        "data_meta": (1,),
        "tstamp": (1, 1 << 63),
        "wire_len": (1, 85, 86, 100, 101, 65536, 65537),
        "gso_segs": (1, 65535, 65536),
        "sk": (1,),
        "gso_size": (1, 65535, 65537),
        "tstamp_type": (1,),
        "hwtstamp": (5,),
    }.items()
    for value in values
]
GIVEN += [
    skb(f"{len(given)} bytes of context", TC, data=UDP4, ctx=given, wants_ctx=True)
    for given in (
        b"",
        b"\0",
        ctx(mark=3)[:12],
        ctx(mark=3)[:9],
        ctx() + bytes(64),
        ctx() + b"\1",
        ctx(hwtstamp=1) + bytes(7) + b"\1",
    )
]
GIVEN += [skb("ctx_out without ctx_in", type_, data=UDP4, wants_ctx=True) for type_ in TYPES]
GIVEN += [
    skb(
        "changes come back",
        type_,
        f"*(u32 *)(r1 + 32) = 5; *(u32 *)(r1 + 48) = 6; {RETURN}",
        data=UDP4,
        ctx=FULL,
        wants_ctx=True,
    )
    for type_ in (TC, CGROUP)
]

SIZES = [
    skb(f"size {size}", type_, data=pattern(size), attach_type=attach)
    for type_, attach in ((FILTER, None), (TC, None), (CGROUP, AttachType.CGROUP_INET_EGRESS))
    for size in (0, 1, 13, 14, 15, 60, 1500, 3711, 3712, 3713, 4096, 9000, 3712 + 17 * 4096, 3713 + 17 * 4096)
]
SIZES += [
    skb(f"{name} {size}", type_, data=data[:size])
    for type_ in (TC, CGROUP)
    for name, data, sizes in (("udp4", KINDS["udp4"], (14, 15, 33, 34)), ("udp6", KINDS["udp6"], (14, 53, 54)))
    for size in sizes
]
LENGTHS = [
    skb(
        f"linear {end} of {size}",
        type_,
        f"r6 = r1\n{show([(0, 4), (160, 4)])}\n{RETURN}",
        data=pattern(size),
        ctx=ctx(data_end=end),
        wants_ctx=True,
    )
    for type_ in (TC,)
    for end, size in ((0, 60), (14, 60), (20, 60), (60, 60), (3712, 5000), (4000, 5000), (100, 9000))
]

BOUNDS = [
    skb(
        f"packet bounds of {size}",
        type_,
        f"""
            r2 = *(u32 *)(r1 + 76)
            r3 = *(u32 *)(r1 + 80)
            r3 -= r2
            r4 = *(u32 *)(r1 + 140)
            r2 -= r4
            r1 = map[out][0] ll
            *(u64 *)(r1 + 0) = r3
            *(u64 *)(r1 + 8) = r2
            {RETURN}
        """,
        data=pattern(size),
    )
    for type_, size in product((TC, ACT), (14, 60, 3712, 5000))
]
BOUNDS += [
    skb(
        f"touch the last of {n} in {size}",
        type_,
        f"""
            r2 = *(u32 *)(r1 + 76)
            r3 = *(u32 *)(r1 + 80)
            r4 = r2
            r4 += {n}
            r0 = 0
            if r4 > r3 goto out
            r5 = *(u8 *)(r2 + {n - 1})
            {"*(u8 *)(r2 + " + str(n - 1) + ") = 0xee" if type_ is TC else ""}
            r1 = map[out][0] ll
            *(u64 *)(r1 + 0) = r5
            r0 = 1
            out: exit
        """,
        data=pattern(size),
        ctx=given,
    )
    for type_ in (TC, CGROUP)
    for given in (None, ctx(data_end=40))
    for size in (60, 200)
    for n in (1, 26, 27, 40, 41, 46, 47, 60, 61, 186, 187)
]

OTHERS = [
    skb("unknown flag", TC, flags=1),
    skb("live frames flag", TC, flags=2),
    skb("batch size", TC, batch_size=1),
    skb("cpu", TC, cpu=1),
    skb("retval is 32 bits", TC, "r0 = 0x123456789abcdef0 ll; exit"),
    skb("no data out", FILTER, data=UDP4, wants_data=False),
    skb(
        "the packet is kept between repeats",
        TC,
        f"r2 = *(u32 *)(r1 + 8); r2 += 1; *(u32 *)(r1 + 8) = r2; {RETURN}",
        ctx=ctx(mark=100),
        wants_ctx=True,
        repeat=40,
    ),
]

CASES = [*SHOWN, *NARROW, *SIGNED, *WRITES, *GIVEN, *SIZES, *LENGTHS, *BOUNDS, *OTHERS]
