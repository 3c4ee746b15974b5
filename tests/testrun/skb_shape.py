"""Socket buffers: helpers that change length and headers."""

from __future__ import annotations

from itertools import product
from typing import Any

from tests.testrun.case import Case
from tests.testrun.packets import KINDS, UDP4, UDP6, pattern
from tests.testrun.skb_fields import ACT, TC, ctx, skb

# After the helper: result, len, protocol, vlan fields, gso, and the bounds of the packet.
KEEP = """
    r1 = map[out][0] ll
    *(u64 *)(r1 + 0) = r0
    r2 = *(u32 *)(r6 + 0)
    *(u64 *)(r1 + 8) = r2
    r2 = *(u32 *)(r6 + 16)
    *(u64 *)(r1 + 16) = r2
    r2 = *(u32 *)(r6 + 20)
    *(u64 *)(r1 + 24) = r2
    r2 = *(u32 *)(r6 + 24)
    *(u64 *)(r1 + 32) = r2
    r2 = *(u32 *)(r6 + 28)
    *(u64 *)(r1 + 40) = r2
    r2 = *(u32 *)(r6 + 164)
    *(u64 *)(r1 + 48) = r2
    r2 = *(u32 *)(r6 + 176)
    *(u64 *)(r1 + 56) = r2
    r2 = *(u32 *)(r6 + 76)
    r3 = *(u32 *)(r6 + 80)
    r3 -= r2
    *(u64 *)(r1 + 64) = r3
    r2 = *(u32 *)(r6 + 68)
    *(u64 *)(r1 + 72) = r2
    r1 = r6; r2 = 0; r3 = map[out][128] ll; r4 = 20; r5 = 0
    call bpf_skb_load_bytes_relative
    r1 = map[out][0] ll
    *(u64 *)(r1 + 80) = r0
    r1 = r6; r2 = 0; r3 = map[out][160] ll; r4 = 20; r5 = 1
    call bpf_skb_load_bytes_relative
    r1 = map[out][0] ll
    *(u64 *)(r1 + 88) = r0
    r0 = 1
    exit
"""


def shaped(name: str, calls: str, data: bytes, **options: Any) -> Case:
    return skb(name, TC, f"r6 = r1\n{calls}\n{KEEP}", data=data, **options)


TAILS = [
    shaped(
        f"change_tail({length}, {flags}) of {kind}",
        f"r2 = {length}; r3 = {flags}; call bpf_skb_change_tail",
        KINDS[kind],
    )
    for kind in ("udp4", "arp")
    for length, flags in (
        (0, 0),
        (13, 0),
        (14, 0),
        (15, 0),
        (33, 0),
        (59, 0),
        (60, 0),
        (61, 0),
        (80, 0),
        (16065, 0),
        (60, 1),
        (-1, 0),
    )
]
TAILS += [
    shaped("change_tail of gso", "r2 = 50; r3 = 0; call bpf_skb_change_tail", UDP4, ctx=ctx(gso_size=100, gso_segs=3))
]
TAILS += [
    shaped(
        f"there and back {length}",
        f"r2 = {length}; r3 = 0; call bpf_skb_change_tail; r1 = r6; r2 = 60; r3 = 0; call bpf_skb_change_tail",
        UDP4,
    )
    for length in (70, 3000, 16064)
]
HEADS = [
    shaped(
        f"change_head({size}, {flags}) of {kind}", f"r2 = {size}; r3 = {flags}; call bpf_skb_change_head", KINDS[kind]
    )
    for kind in ("udp4", "arp")
    for size, flags in (
        (0, 0),
        (1, 0),
        (14, 0),
        (64, 0),
        (65, 0),
        (200, 0),
        (16004, 0),
        (16005, 0),
        (8, 1),
        (-1, 0),
        (0x7FFFFFFF, 0),
    )
]
HEADS += [
    shaped("change_head of gso", "r2 = 16; r3 = 0; call bpf_skb_change_head", UDP4, ctx=ctx(gso_size=100, gso_segs=3))
]

_PUSH = "r1 = r6; r2 = {proto:#x}; r3 = {tci:#x}; call bpf_skb_vlan_push"
_POP = "r1 = r6; call bpf_skb_vlan_pop"
VLANS = [
    shaped(f"push {proto:#x} {tci:#x} to {kind}", _PUSH.format(proto=proto, tci=tci), KINDS[kind])
    for kind in ("udp4", "vlan", "arp", "llc")
    for proto, tci in ((0x81, 5), (0xA888, 0x6123), (0, 1), (0x8100, 2), (0x81, 0x10005))
]
VLANS += [
    shaped(
        f"{' '.join(steps)} on {kind}",
        "\n".join(
            _POP if step == "pop" else _PUSH.format(proto=0xA888 if step == "ad" else 0x81, tci=0x123 + n)
            for n, step in enumerate(steps)
        ),
        KINDS[kind],
    )
    for kind in ("udp4", "udp6", "vlan", "qinq", "arp", "llc", "novell")
    for steps in (
        ("pop",),
        ("pop", "pop"),
        ("pop", "pop", "pop"),
        ("push", "pop"),
        ("push", "push"),
        ("push", "push", "pop"),
        ("push", "ad"),
        ("ad", "push", "pop", "pop"),
        ("push", "push", "push"),
        ("push", "push", "push", "pop", "pop", "pop"),
        ("pop", "push"),
        ("pop", "push", "push"),
        ("push", "pop", "pop"),
    )
]

PROTOCOLS = [
    shaped(
        f"change_proto({proto:#x}, {flags}) of {kind}",
        f"r2 = {proto:#x}; r3 = {flags}; call bpf_skb_change_proto",
        KINDS[kind],
        ctx=given,
    )
    for kind in ("udp4", "udp6", "vlan", "arp")
    for proto, flags in ((0x8, 0), (0xDD86, 0), (0x8, 1), (0x608, 0), (0x800, 0))
    for given in (None,)
]
PROTOCOLS += [
    shaped(
        "there and back",
        "r2 = 0xdd86; r3 = 0; call bpf_skb_change_proto; r1 = r6; r2 = 8; r3 = 0; call bpf_skb_change_proto",
        UDP4,
    ),
    shaped(
        "protocol and tail",
        "r2 = 0xdd86; r3 = 0; call bpf_skb_change_proto; r1 = r6; r2 = 40; r3 = 0; call bpf_skb_change_tail",
        UDP4,
    ),
]

ROOMS = [
    shaped(
        f"adjust_room({delta}, {mode}, {flags:#x}) of {kind}",
        f"r2 = {delta}; r3 = {mode}; r4 = {flags:#x}; r5 = 0; call bpf_skb_adjust_room",
        KINDS[kind],
    )
    for kind in ("udp4", "udp6", "arp", "vlan")
    for mode in (0, 1)
    for delta, flags in (
        (0, 0),
        (8, 0),
        (20, 0),
        (4095, 0),
        (4096, 0),
        (-8, 0),
        (-18, 0),
        (-20, 0),
        (-26, 0),
        (-27, 0),
        (-28, 0),
        (-46, 0),
        (-60, 0),
        (8, 1),
        (8, 0x20),
        (-8, 0x20),
        (8, 0x80),
        (-8, 0x80),
        (-8, 0x100),
        (-20, 0x100),
        (-8, 0x180),
        (8, 0x200),
        (-4096, 0),
    )
]
ROOMS += [
    shaped(f"adjust_room mode {mode}", f"r2 = 8; r3 = {mode}; r4 = 0; r5 = 0; call bpf_skb_adjust_room", UDP4)
    for mode in (2, -1)
]
ROOMS += [
    shaped(
        f"level after room with flags {flags:#x}",
        f"""
            r2 = 1; call bpf_csum_level
            r1 = r6; r2 = 8; r3 = 1; r4 = {flags:#x}; r5 = 0; call bpf_skb_adjust_room
            r1 = r6; r2 = 0; call bpf_csum_level
        """,
        UDP4,
    )
    for flags in (0, 0x20)
]

PULLS = [
    shaped(f"pull_data({size}) of {length}", f"r2 = {size}; call bpf_skb_pull_data", pattern(length))
    for length, size in product((14, 60), (0, 1, 14, 15, 60, 61, -1))
]

# Growing again and again, beyond the headroom.
MANY = [
    shaped("many heads", "\n".join(f"r1 = r6; r2 = {n}; r3 = 0; call bpf_skb_change_head" for n in range(1, 30)), UDP4),
    shaped(
        "many rooms",
        "\n".join(f"r1 = r6; r2 = {n}; r3 = 1; r4 = 0; r5 = 0; call bpf_skb_adjust_room" for n in range(1, 30)),
        UDP6,
    ),
    shaped("repeat", "r2 = 4; r3 = 1; r4 = 0; r5 = 0; call bpf_skb_adjust_room", UDP4, repeat=20),
]
WRITTEN = [
    skb(
        "new head is written",
        type_,
        """
            r6 = r1
            r2 = 14; r3 = 0; call bpf_skb_change_head
            r0 = 0
            r2 = *(u32 *)(r6 + 76)
            r3 = *(u32 *)(r6 + 80)
            r4 = r2
            r4 += 28
            if r4 > r3 goto out
            *(u64 *)(r2 + 0) = -1
            *(u32 *)(r2 + 24) = 0x01020304
            r0 = 1
            out: exit
        """,
        data=UDP4,
    )
    for type_ in (TC, ACT)
]

_STEPS = {
    "head": "r1 = r6; r2 = 65; r3 = 0; call bpf_skb_change_head",
    "push": _PUSH.format(proto=0x81, tci=5),
    "pop": _POP,
    "ecn": "r1 = r6; call bpf_skb_ecn_set_ce",
    "six": "r1 = r6; r2 = 0xdd86; r3 = 0; call bpf_skb_change_proto",
    "room": "r1 = r6; r2 = 12; r3 = 1; r4 = 0; r5 = 0; call bpf_skb_adjust_room",
}
SEQUENCES = [
    shaped(
        f"{' '.join(steps)} of {kind}",
        "r8 = 0\n" + "\n".join(f"{_STEPS[step]}; r8 *= 31; r8 += r0" for step in steps) + "\nr0 = r8",
        KINDS[kind],
        ctx=given,
    )
    for kind, steps in (
        *product(("udp4", "vlan", "qinq"), (("head", "ecn"), ("pop", "ecn"), ("push", "push", "ecn"), ("head", "pop"))),
        ("vlan", ("pop", "head", "pop")),
        ("vlan", ("pop", "six", "head", "ecn")),
        ("udp4", ("head", "push", "push", "pop", "pop")),
        ("udp4", ("push", "push", "pop", "ecn")),
        ("udp4", ("six", "head", "room")),
    )
    for given in (None, ctx(gso_size=50, gso_segs=2))
]

CASES = [*TAILS, *HEADS, *VLANS, *PROTOCOLS, *ROOMS, *PULLS, *MANY, *WRITTEN, *SEQUENCES]
