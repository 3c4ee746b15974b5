"""Socket buffers: loading and storing bytes, checksums."""

from __future__ import annotations

from itertools import product

from tests.testrun.case import Case
from tests.testrun.packets import KINDS, UDP4, UDP6, pattern
from tests.testrun.skb_fields import ACT, CGROUP, FILTER, TC, TYPES, ctx, skb

KEEP = "r1 = map[out][0] ll; *(u64 *)(r1 + 0) = r0; r0 = 1; exit"
_FILL = "r1 = map[out][64] ll\n" + "\n".join(f"*(u64 *)(r1 + {8 * n}) = -1" for n in range(8))

LOADS = [
    skb(
        f"load_bytes({offset}, {size}) of {length}",
        type_,
        f"r6 = r1\n{_FILL}\nr1 = r6; r2 = {offset}; r3 = map[out][64] ll; r4 = {size}; call bpf_skb_load_bytes; {KEEP}",
        data=pattern(length),
    )
    for type_ in (FILTER, TC, CGROUP)
    for length in (14, 64)
    for offset, size in (
        (0, 1),
        (0, 14),
        (0, 15),
        (13, 1),
        (14, 1),
        (50, 14),
        (50, 15),
        (63, 1),
        (64, 1),
        (36, 14),
        (36, 15),
        (-1, 1),
        (0x7FFFFFFF, 1),
    )
]
LOADS += [
    skb(
        f"load_bytes_relative({offset}, {size}, {start})",
        type_,
        f"r6 = r1\n{_FILL}\nr1 = r6; r2 = {offset}; r3 = map[out][64] ll; r4 = {size}; r5 = {start};"
        f"call bpf_skb_load_bytes_relative; {KEEP}",
        data=UDP4,
    )
    for type_ in (FILTER, TC, CGROUP)
    for start in (0, 1, 2)
    for offset, size in ((0, 1), (0, 20), (46, 14), (46, 15), (59, 1), (60, 1), (32, 14), (32, 15), (65536, 1), (-1, 1))
]
LEGACY = [
    skb(
        f"legacy u{8 * size} at {offset}",
        type_,
        f"r6 = r1; r0 = *({unit} *)skb[{offset}]; {KEEP}",
        data=UDP4,
    )
    for type_ in (FILTER, TC)
    for size, unit in ((1, "u8"), (2, "u16"), (4, "u32"))
    for offset in (
        0,
        12,
        42,
        43,
        44,
        45,
        46,
        56,
        58,
        59,
        60,
        70000,
        -0x100000,
        -0x100000 + 9,
        -0x100000 + 46,
        -0x200000,
        -0x200000 + 12,
        -0x200000 + 60,
    )
]
LEGACY += [
    skb(
        f"legacy indirect {register} + {offset}",
        FILTER,
        f"r6 = r1; r7 = {register}; r0 = *(u16 *)skb[r7 {'-' if offset < 0 else '+'} {abs(offset)}]; {KEEP}",
        data=UDP4,
    )
    for register, offset in ((0, 0), (10, 2), (-2, 12), (44, 0), (45, 0), (1, -2), (0x100, -0x100))
]

STORES = [
    skb(
        f"store_bytes({offset}, {size}, {flags})",
        type_,
        f"""
            r6 = r1
            *(u64 *)(r10 - 16) = 0x11223344
            *(u64 *)(r10 - 8) = 0x55667788
            r2 = {offset}; r3 = r10; r3 += -16; r4 = {size}; r5 = {flags}
            call bpf_skb_store_bytes
            r2 = *(u32 *)(r6 + 68)
            r1 = map[out][0] ll
            *(u64 *)(r1 + 8) = r2
            {KEEP}
        """,
        data=UDP4,
    )
    for type_ in (TC, ACT)
    for offset, size, flags in (
        (0, 1, 0),
        (0, 16, 0),
        (44, 16, 0),
        (45, 16, 0),
        (46, 16, 0),
        (59, 1, 0),
        (60, 1, 0),
        (-1, 1, 0),
        (0x7FFFFFFF, 1, 0),
        (0x7FFFFFFE, 16, 0),
        (0, 4, 1),
        (1, 3, 1),
        (0, 4, 2),
        (0, 4, 3),
        (0, 4, 4),
        (0, 4, 8),
    )
]

DIFFS = [
    skb(
        f"csum_diff({a}, {b}, seed={seed:#x}) {flavour}",
        TC,
        f"""
            r6 = map[out][128] ll
            *(u64 *)(r6 + 0) = {words[0]}
            *(u64 *)(r6 + 8) = {words[1]}
            *(u64 *)(r6 + 16) = {words[2]}
            *(u64 *)(r6 + 24) = {words[3]}
            r1 = {"r6" if a else "0"}
            r2 = {a}
            r3 = {"r6" if b else "0"}
            {"r3 += 16" if b else ""}
            r4 = {b}
            r5 = {seed:#x} ll
            call bpf_csum_diff
            {KEEP}
        """,
    )
    for flavour, words in {
        "mixed": (0x12345678, -2, 0x7FEDCBA9, -0x12345678),
        "ones": (-1, -1, -1, -1),
        "zeros": (0, 0, 0, 0),
    }.items()
    for a, b in ((0, 0), (4, 0), (0, 4), (4, 4), (8, 4), (4, 8), (16, 16), (0, 16), (16, 0), (2, 0), (4, 6))
    for seed in (0, 1, 0xFFFF, 0x10000, 0xFFFFFFFF, 0x87654321, 0x1_00000005)
]
REPLACES = [
    skb(
        f"l{layer}_csum_replace({offset}, {old:#x}, {new:#x}, {flags:#x}) {kind}",
        TC,
        f"r2 = {offset}; r3 = {old:#x} ll; r4 = {new:#x} ll; r5 = {flags}; call bpf_l{layer}_csum_replace; {KEEP}",
        data=data,
    )
    for kind, data in (("udp4", UDP4), ("zero", bytes(60)), ("ones", b"\xff" * 60))
    for layer, flags in product((3, 4), (0, 2, 4, 1, 3, 8, 0x12, 0x14, 0x24, 0x64, 0x20, 0x74, 0x84, 0x100))
    for offset, old, new in (
        ((24, 0x1234, 0x4321), (24, 0, 0x12345678), (40, 0xFFFFFFFF, 1), (24, 0, 0))
        if flags in (0, 2, 4, 0x14, 0x24, 0x64)
        else ((24, 0x1234, 0x4321),)
    )
]
REPLACES += [
    skb(
        f"l{layer}_csum_replace at {offset}",
        TC,
        f"r2 = {offset}; r3 = 1; r4 = 2; r5 = 2; call bpf_l{layer}_csum_replace; {KEEP}",
    )
    for layer in (3, 4)
    for offset in (0, 1, 62, 63, 64, 65534, 65535, 65536, -2)
]

LEVELS = [
    skb(
        f"csum_level {levels}",
        TC,
        "r6 = r1; r7 = 0\n"
        + "\n".join(f"r1 = r6; r2 = {level}; call bpf_csum_level; r7 *= 100; r7 += r0" for level in levels)
        + f"\nr0 = r7; {KEEP}",
    )
    for levels in (
        (0,),
        (1, 0),
        (1, 1, 0),
        (1, 1, 1, 1, 1, 0),
        (1, 2, 0),
        (1, 1, 2, 0),
        (2, 0),
        (3, 0),
        (1, 1, 3, 0),
        (4,),
        (1, 3, 1, 0),
    )
]

# With the flag for CHECKSUM_COMPLETE the kernel checks what the program left of the packet's sum.
_STORE = """
    *(u32 *)(r10 - 8) = 0x01020304
    r2 = {offset}; r3 = r10; r3 += -8; r4 = {size}; r5 = {flags}
    call bpf_skb_store_bytes"""
COMPLETE = [
    skb(
        f"checksum complete, store at {offset} size {size} flags {flags}",
        TC,
        f"{_STORE.format(offset=offset, size=size, flags=flags)}; {KEEP}",
        data=data,
        flags=4,
    )
    for data in (UDP4, UDP6)
    for flags in (0, 1)
    for offset, size in ((0, 4), (14, 4), (20, 2), (21, 3), (24, 4), (33, 4))
]
COMPLETE += [
    skb(f"checksum complete, {name}", type_, f"r6 = r1; {text}; {KEEP}", data=data, flags=4)
    for type_ in (TC,)
    for data in (UDP4, UDP6)
    for name, text in {
        "untouched": "r0 = 0",
        "csum_update": "r2 = 5; call bpf_csum_update",
        "csum_update by nothing": "r2 = 0; call bpf_csum_update",
        "l4 pseudo": "r2 = 40; r3 = 1; r4 = 0x2233; r5 = 0x14; call bpf_l4_csum_replace",
        "l4 pseudo 2": "r2 = 40; r3 = 1; r4 = 0x2233; r5 = 0x12; call bpf_l4_csum_replace",
        "l4 pseudo difference": "r2 = 40; r3 = 0; r4 = 0x2233; r5 = 0x10; call bpf_l4_csum_replace",
        "l4 pseudo difference ip6": "r2 = 40; r3 = 0; r4 = 0x2233; r5 = 0x90; call bpf_l4_csum_replace",
        "l4 plain": "r2 = 40; r3 = 1; r4 = 0x2233; r5 = 0x4; call bpf_l4_csum_replace",
        "l3": "r2 = 24; r3 = 1; r4 = 0x2233; r5 = 0x4; call bpf_l3_csum_replace",
        "shorter": "r2 = 50; r3 = 0; call bpf_skb_change_tail",
        "shorter, odd": "r2 = 51; r3 = 0; call bpf_skb_change_tail",
        "longer": "r2 = 90; r3 = 0; call bpf_skb_change_tail",
        "vlan twice": "r2 = 0x81; r3 = 5; call bpf_skb_vlan_push; r1 = r6; r2 = 0x81; r3 = 5; call bpf_skb_vlan_push",
        "room": "r2 = 8; r3 = 0; r4 = 0; r5 = 0; call bpf_skb_adjust_room",
        "less room": "r2 = -8; r3 = 1; r4 = 0; r5 = 0; call bpf_skb_adjust_room",
        "protocol": f"r2 = {0xDD86 if data is UDP4 else 8}; r3 = 0; call bpf_skb_change_proto",
        "congestion": "call bpf_skb_ecn_set_ce",
        "head": "r2 = 14; r3 = 0; call bpf_skb_change_head",
        "level": "r2 = 1; call bpf_csum_level; r1 = r6; r2 = 0; call bpf_csum_level",
    }.items()
]
COMPLETE += [skb("checksum complete", type_, data=UDP4, flags=4) for type_ in TYPES]
UPDATES = [skb("csum_update without a sum", TC, f"r2 = 5; call bpf_csum_update; {KEEP}")]

METADATA = [
    skb(
        f"{name} on {kind}",
        TC,
        f"""
            r6 = r1
            {text}
            r1 = map[out][0] ll
            *(u64 *)(r1 + 8) = r0
            r2 = *(u32 *)(r6 + 4)
            *(u64 *)(r1 + 16) = r2
            r2 = *(u32 *)(r6 + 68)
            *(u64 *)(r1 + 24) = r2
            r2 = *(u64 *)(r6 + 152)
            *(u64 *)(r1 + 32) = r2
            r2 = *(u8 *)(r6 + 180)
            *(u64 *)(r1 + 40) = r2
            {KEEP}
        """,
        data=KINDS[kind],
        ctx=ctx(tstamp=99),
    )
    for kind in ("udp4", "udp6", "arp", "other host")
    for name, text in {
        **{f"change_type {n}": f"r2 = {n}; call bpf_skb_change_type" for n in (0, 1, 3, 4, 7, -1)},
        "set_hash": "r2 = 0x1_23456789 ll; call bpf_set_hash".replace("_", "", 1),
        "set_hash_invalid": "r2 = 7; call bpf_set_hash; r1 = r6; call bpf_set_hash_invalid",
        **{
            f"set_tstamp {stamp} {clock}": f"r2 = {stamp}; r3 = {clock}; call bpf_skb_set_tstamp"
            for stamp, clock in product((0, 12345), (0, 1, 2, 3))
        },
        "ecn": "call bpf_skb_ecn_set_ce",
        "clone to nowhere": "r2 = 4242; r3 = 0; call bpf_clone_redirect",
        "clone with flags": "r2 = 1; r3 = 2; call bpf_clone_redirect",
        "redirect": "r1 = 1; r2 = 0; call bpf_redirect",
        "redirect ingress": "r1 = 1; r2 = 1; call bpf_redirect",
        "redirect, bad flags": "r1 = 1; r2 = 2; call bpf_redirect",
        "redirect_peer": "r1 = 1; r2 = 0; call bpf_redirect_peer",
        "redirect_peer, bad flags": "r1 = 1; r2 = 1; call bpf_redirect_peer",
        "redirect_neigh": "r1 = 1; r2 = 0; r3 = 0; r4 = 0; call bpf_redirect_neigh",
        "redirect_neigh, bad flags": "r1 = 1; r2 = 0; r3 = 0; r4 = 1; call bpf_redirect_neigh",
    }.items()
]
ECN = [
    skb(
        f"ecn of {tos:#x} {type_.name}",
        type_,
        f"call bpf_skb_ecn_set_ce; {KEEP}",
        data=data[:14] + bytes((data[14], tos)) + data[16:],
    )
    for type_ in (TC, CGROUP)
    for data in (UDP4,)
    for tos in range(0, 256, 17)
]
ECN += [
    skb(f"ecn6 of {tos:#x}", TC, f"call bpf_skb_ecn_set_ce; {KEEP}", data=UDP6[:15] + bytes((tos,)) + UDP6[16:])
    for tos in range(0, 256, 16)
]

CASES: list[Case] = [
    *LOADS,
    *LEGACY,
    *STORES,
    *DIFFS,
    *REPLACES,
    *LEVELS,
    *COMPLETE,
    *UPDATES,
    *METADATA,
    *ECN,
]
