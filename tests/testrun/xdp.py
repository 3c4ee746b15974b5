"""XDP: bounds of the frame, contexts in and out, sizes from nothing to many fragments."""

from __future__ import annotations

from struct import pack
from typing import Any

from ebpf.abi.types import AttachType, MapType, ProgramType
from ebpf.vm.maps import MapShape
from tests.testrun.case import Case
from tests.testrun.packets import UDP4, pattern

XDP = ProgramType.XDP
PASS = "r0 = 2; exit"

# Stores data_end - data, data - data_meta and the result in r7 at out[0], out[8], out[16].
KEEP_BOUNDS = """
    r2 = *(u32 *)(r6 + 0)
    r3 = *(u32 *)(r6 + 4)
    r4 = *(u32 *)(r6 + 8)
    r3 -= r2
    r2 -= r4
    r1 = map[out][0] ll
    *(u64 *)(r1 + 0) = r3
    *(u64 *)(r1 + 8) = r2
    *(u64 *)(r1 + 16) = r7
    r0 = 2
    exit
"""


def md(
    data: int = 0, data_end: int = 0, data_meta: int = 0, ingress: int = 0, queue: int = 0, egress: int = 0
) -> bytes:
    """Pack a struct xdp_md."""
    return pack("<6I", data, data_end, data_meta, ingress, queue, egress)


def adjust(helper: str, delta: int, *, data: bytes = UDP4, ctx: bytes | None = None) -> Case:
    text = f"r6 = r1; r2 = {delta}; call bpf_xdp_adjust_{helper}; r7 = r0; {KEEP_BOUNDS}"
    return Case(
        name=f"adjust_{helper}({delta}) of {len(data)}" + ("" if ctx is None else f" with {ctx[:4].hex()}"),
        type=XDP,
        text=text,
        data=data,
        ctx=ctx,
        wants_ctx=ctx is not None,
    )


def run(name: str, text: str = PASS, **options: Any) -> Case:
    return Case(name=name, type=XDP, text=text, **options)


SIZES = [
    run(f"size {n}", data=pattern(n)) for n in (0, 1, 13, 14, 15, 60, 1500, 3519, 3520, 3521, 4096, 7616, 7617, 9000)
]
SIZES += [run(f"size {n}", data=pattern(n)) for n in (3520 + 17 * 4096, 3520 + 17 * 4096 + 1)]

ADJUST = [
    adjust("head", delta, data=data)
    for data in (UDP4, pattern(3520), pattern(5000))
    for delta in (0, 1, 14, 28, 29, 46, 47, 3506, 3507, -1, -14, -215, -216, -217, -256, -257, -70000, 70000)
]
ADJUST += [
    adjust("tail", delta, data=data)
    for data in (UDP4, pattern(14), pattern(3520), pattern(3600), pattern(5000), pattern(7616))
    for delta in (0, 1, -1, -28, -46, -47, -80, -81, -1480, -1481, -3506, -3507, -5000, 16, 2616, 3460, 3461, 4096)
]
ADJUST += [
    adjust("meta", delta)
    for delta in (0, -4, -8, -32, -36, -64, -128, -212, -216, -220, -252, -256, -260, 4, 1, -1, -2)
]
ADJUST += [
    adjust(helper, delta, ctx=md(meta, 60))
    for meta in (4, 32)
    for helper, delta in (
        ("meta", 4),
        ("meta", -4),
        ("meta", 32),
        ("meta", 36),
        ("head", 4),
        ("head", -4),
        ("head", -200),
        ("head", -216),
        ("head", -212),
        ("head", -184),
        ("head", -188),
        ("tail", -20),
        ("tail", 100),
    )
]

CONTEXTS = [
    run(f"md {ctx.hex(' ', 4)} for {size}", data=pattern(size), ctx=ctx, wants_ctx=True)
    for size in (14, 60)
    for ctx in (
        md(),
        md(0, 60),
        md(0, 14),
        md(0, 59),
        md(0, 61),
        md(4, 60),
        md(4, 14),
        md(8, 60),
        md(32, 60),
        md(36, 60),
        md(46, 60),
        md(44, 60),
        md(48, 60),
        md(60, 60),
        md(2, 60),
        md(0, 60, 4),
        md(61, 60),
        md(0, 20),
        md(4, 3),
        md(0, 60, ingress=1),
        md(0, 60, ingress=1, queue=1),
        md(0, 60, ingress=99),
        md(0, 60, queue=1),
        md(0, 60, egress=1),
        md(0, 60)[:12],
        md(0, 60)[:5],
        md(0, 60) + bytes(8),
        md(0, 60) + b"\1",
        b"\0",
    )
]
CONTEXTS += [
    run(f"metadata of {n}", data=pattern(400), ctx=md(n, 400), wants_ctx=True)
    for n in (212, 216, 220, 248, 252, 256, 260)
]
CONTEXTS += [run("ctx_out without ctx_in", data=UDP4, wants_ctx=True)]
CONTEXTS += [
    run(f"linear {end} of {size}", data=pattern(size), ctx=md(meta, end), wants_ctx=True)
    for meta, end, size in ((0, 100, 200), (4, 18, 300), (0, 0, 200), (0, 3520, 8000), (4, 3600, 8000), (0, 64, 5000))
]

FIELDS = [
    run(
        f"fields {name}",
        f"""
            r2 = *(u32 *)(r1 + 12)
            r3 = *(u32 *)(r1 + 16)
            r1 = map[out][0] ll
            *(u64 *)(r1 + 0) = r2
            *(u64 *)(r1 + 8) = r3
            {PASS}
        """,
        data=UDP4,
        ctx=ctx,
    )
    for name, ctx in (("default", None), ("lo", md(0, len(UDP4), ingress=1)))
]

OTHERS = [
    run("devmap program", attach_type=AttachType.XDP_DEVMAP),
    run("cpumap program", attach_type=AttachType.XDP_CPUMAP),
    run("unknown flag", flags=1),
    run("checksum flag", flags=4),
    run("batch size", batch_size=1),
    run("cpu is ignored", cpu=1),
    run("repeat 0", data=UDP4),
    run("no data out", data=UDP4, wants_data=False),
    run(
        "the frame is kept between repeats",
        f"r6 = r1; r2 = 1; call bpf_xdp_adjust_head; r7 = r0; {KEEP_BOUNDS}",
        data=UDP4,
        repeat=50,
    ),
    run("retval is 32 bits", "r0 = 0x123456789abcdef0 ll; exit"),
    run("retval -1", "r0 = -1; exit"),
    run("buff_len", f"r6 = r1; call bpf_xdp_get_buff_len; r7 = r0; {KEEP_BOUNDS}", data=pattern(9000)),
    run("buff_len short", f"r6 = r1; call bpf_xdp_get_buff_len; r7 = r0; {KEEP_BOUNDS}", data=UDP4),
]

BYTES = [
    run(
        f"{verb}_bytes({offset}, {size}) of {length}",
        f"""
            r6 = r1
            r2 = {offset}
            r3 = map[out][64] ll
            r4 = {size}
            call bpf_xdp_{verb}_bytes
            r7 = r0
            {KEEP_BOUNDS}
        """,
        data=pattern(length),
    )
    for verb in ("load", "store")
    for length in (60, 5000, 9000)
    for offset, size in (
        (0, 1),
        (0, 60),
        (59, 1),
        (60, 1),
        (20, 41),
        (3500, 100),
        (3519, 2),
        (4990, 10),
        (4990, 11),
        (7600, 32),
        (65535, 1),
        (65536, 1),
        (-1, 1),
    )
]

# r2 = data, r3 = data_end: reads and writes at the very edges.
EDGES = [
    run(
        f"touch the last of {n}",
        f"""
            r2 = *(u32 *)(r1 + 0)
            r3 = *(u32 *)(r1 + 4)
            r4 = r2
            r4 += {n}
            r0 = 1
            if r4 > r3 goto out
            r5 = *(u8 *)(r2 + {n - 1})
            *(u8 *)(r2 + {n - 1}) = 0xee
            r1 = map[out][0] ll
            *(u64 *)(r1 + 0) = r5
            r0 = 2
            out: exit
        """,
        data=pattern(size),
    )
    for size in (14, 60, 3520, 5000)
    for n in (1, 14, 15, 60, 61, 3520, 3521)
]

REDIRECTS = [
    run(f"redirect({index}, {flags})", f"r1 = {index}; r2 = {flags}; call bpf_redirect; exit")
    for index, flags in ((1, 0), (1, 1), (0, 0), (7, 0), (1, 8))
]
REDIRECTS += [
    run(
        f"redirect_map({kind.name}, {key}, {flags})",
        f"r1 = map[targets] ll; r2 = {key}; r3 = {flags}; call bpf_redirect_map; exit",
        maps={"targets": MapShape(kind, 4, 4, 4, name="targets")},
    )
    for kind in (MapType.DEVMAP, MapType.XSKMAP, MapType.CPUMAP, MapType.DEVMAP_HASH)
    for key, flags in ((0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (9, 2), (0, 8), (0, 16), (0, 24))
]

CASES = [*SIZES, *ADJUST, *CONTEXTS, *FIELDS, *OTHERS, *BYTES, *EDGES, *REDIRECTS]
