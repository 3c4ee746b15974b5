"""Programs without a packet: raw tracepoints and syscall programs; helpers that need no packet."""

from __future__ import annotations

from typing import Any

from ebpf.abi.types import MapType, ProgramType
from ebpf.vm.maps import MapShape
from tests.testrun.case import Case
from tests.testrun.packets import UDP4

RAW, SYSCALL = ProgramType.RAW_TRACEPOINT, ProgramType.SYSCALL
RETURN = "r0 = 0; exit"
KEEP = "r1 = map[out][0] ll; *(u64 *)(r1 + 0) = r0; r0 = 0; exit"
_ARGUMENTS = bytes(range(1, 97))


def plain(name: str, type_: ProgramType, text: str = RETURN, **options: Any) -> Case:
    given: dict[str, Any] = {"data": b"", "wants_data": False, **options}
    return Case(name=f"{type_.name} {name}", type=type_, text=text, **given)


READS = [
    plain(f"read u{8 * size} at {at} of {given}", type_, f"r0 = *({unit} *)(r1 + {at}); {KEEP}", ctx=_ARGUMENTS[:given])
    for type_ in (RAW, SYSCALL)
    for size, unit in ((1, "u8"), (2, "u16"), (4, "u32"), (8, "u64"))
    for at in (0, 1, 4, 8, 56, 88, 95, 96)
    for given in (8, 64, 96)
]
SIZES = [
    plain(f"{given} bytes", type_, ctx=bytes(given))
    for type_ in (RAW, SYSCALL)
    for given in (0, 1, 8, 95, 96, 97, 104, 65535, 65536)
]
SIZES += [plain("no context", type_) for type_ in (RAW, SYSCALL)]
WRITES = [
    plain(f"write at {at}", type_, f"*(u32 *)(r1 + {at}) = 7; {RETURN}", ctx=_ARGUMENTS)
    for type_ in (RAW, SYSCALL)
    for at in (0, 4, 92, 93, 96)
]
MOVED = [
    plain("moved context", type_, f"r2 = r1; r2 += 8; r0 = *(u64 *)(r2 + 0); {KEEP}", ctx=_ARGUMENTS)
    for type_ in (RAW, SYSCALL)
]
MEMBERS = [
    plain(name, type_, **options)
    for type_ in (RAW, SYSCALL)
    for name, options in {
        "data": {"data": UDP4},
        "data out": {"wants_data": True},
        "ctx out": {"ctx": bytes(8), "wants_ctx": True},
        "repeat 1": {"repeat": 1},
        "repeat 2": {"repeat": 2},
        "batch": {"batch_size": 1},
        "cpu without flag": {"cpu": 1},
        "cpu 0 with flag": {"flags": 1},
        "no such cpu": {"flags": 1, "cpu": 4096},
        "cpu without flag, 0": {"cpu": 0},
    }.items()
]
MEMBERS += [plain("retval is 32 bits", type_, "r0 = 0x123456789abcdef0 ll; exit") for type_ in (RAW, SYSCALL)]

# r6 = the map; keys and values on the stack.
_HASH = MapShape(MapType.HASH, 4, 8, 2, name="h")
_QUEUE = MapShape(MapType.QUEUE, 0, 8, 2, name="q")
_STACK = MapShape(MapType.STACK, 0, 8, 2, name="q")
_BLOOM = MapShape(MapType.BLOOM_FILTER, 0, 8, 8, name="q")
_ARRAY = MapShape(MapType.ARRAY, 4, 8, 4, name="h")


def _calls(*calls: tuple[str, int, int, int]) -> str:
    """Call map helpers (name, key, value, flags); results, then the value slot, in out[0], out[8], ..."""
    lines = ["r7 = map[out][0] ll"]
    for n, (helper, key, value, flags) in enumerate(calls):
        third = "r2 = r10; r2 += -4" if helper in ("update", "delete", "lookup") else "r2 = r10; r2 += -16"
        fourth = {"update": f"r3 = r10; r3 += -16; r4 = {flags}", "push": f"r3 = {flags}"}.get(helper, "")
        name = "h" if helper in ("update", "delete", "lookup") else "q"
        lines += [f"*(u32 *)(r10 - 4) = {key}; *(u64 *)(r10 - 16) = {value}", f"r1 = map[{name}] ll", third, fourth]
        lines += [f"call bpf_map_{helper}_elem"]
        if helper == "lookup":
            lines += [f"if r0 == 0 goto none{n}", "r0 = *(u64 *)(r0 + 0)", f"none{n}:"]
        lines += [f"*(u64 *)(r7 + {16 * n}) = r0", "r1 = *(u64 *)(r10 - 16)", f"*(u64 *)(r7 + {16 * n + 8}) = r1"]
    return "\n".join(line for line in lines if line) + f"\n{RETURN}"


MAPS = [
    plain(f"{name} of {shape.type.name}", RAW, _calls(*calls), maps={shape.name: shape})
    for shape, name, calls in (
        (_HASH, "update and lookup", (("update", 1, 10, 0), ("lookup", 1, 0, 0), ("lookup", 2, 0, 0))),
        (
            _HASH,
            "flags",
            (
                ("update", 1, 10, 2),
                ("update", 1, 10, 1),
                ("update", 1, 11, 1),
                ("update", 1, 12, 2),
                ("update", 1, 13, 3),
                ("update", 1, 13, 8),
                ("lookup", 1, 0, 0),
            ),
        ),
        (
            _HASH,
            "full",
            (
                ("update", 1, 1, 0),
                ("update", 2, 2, 0),
                ("update", 3, 3, 0),
                ("delete", 1, 0, 0),
                ("update", 3, 3, 0),
                ("delete", 9, 0, 0),
            ),
        ),
        (
            _ARRAY,
            "update",
            (
                ("update", 1, 1, 0),
                ("update", 4, 1, 0),
                ("update", 1, 1, 1),
                ("update", 1, 5, 2),
                ("lookup", 1, 0, 0),
                ("delete", 1, 0, 0),
            ),
        ),
        (
            _QUEUE,
            "push and pop",
            (
                ("push", 0, 1, 0),
                ("push", 0, 2, 0),
                ("push", 0, 3, 0),
                ("push", 0, 4, 2),
                ("peek", 0, 9, 0),
                ("pop", 0, 9, 0),
                ("pop", 0, 9, 0),
                ("pop", 0, 9, 0),
            ),
        ),
        (
            _STACK,
            "push and pop",
            (
                ("push", 0, 1, 0),
                ("push", 0, 2, 0),
                ("push", 0, 3, 1),
                ("push", 0, 4, 2),
                ("peek", 0, 9, 0),
                ("pop", 0, 9, 0),
                ("pop", 0, 9, 0),
                ("peek", 0, 9, 0),
            ),
        ),
        (
            _BLOOM,
            "push and peek",
            (("peek", 0, 1, 0), ("push", 0, 1, 0), ("peek", 0, 1, 0), ("push", 0, 2, 1), ("push", 0, 2, 2)),
        ),
    )
]

_RING = {"ring": MapShape(MapType.RINGBUF, 0, 0, 4096, name="ring")}
RINGS = [
    plain(
        f"ringbuf_output({size}, {flags}) {times} times",
        RAW,
        f"""
            r6 = map[out][0] ll
            {
            "".join(
                f'''
                r1 = map[ring] ll; r2 = map[out][128] ll; r3 = {size}; r4 = {flags}
                call bpf_ringbuf_output
                *(u64 *)(r6 + {8 * n}) = r0
            '''
                for n in range(times)
            )
        }
            {
            "".join(
                f'''
                r1 = map[ring] ll; r2 = {what}
                call bpf_ringbuf_query
                *(u64 *)(r6 + {64 + 8 * what}) = r0
            '''
                for what in range(5)
            )
        }
            {RETURN}
        """,
        maps=_RING,
    )
    for size, flags, times in ((8, 0, 1), (0, 0, 1), (1, 1, 2), (100, 2, 3), (128, 0, 8), (8, 4, 1), (8, 3, 1))
]
RINGS += [
    plain(
        f"ringbuf_reserve({size}, {flags}) then {verb}",
        RAW,
        f"""
            r6 = map[out][0] ll
            r1 = map[ring] ll; r2 = {size}; r3 = {flags}
            call bpf_ringbuf_reserve
            if r0 == 0 goto none
            *(u64 *)(r0 + 0) = 0x1122
            r1 = r0; r2 = 0
            call bpf_ringbuf_{verb}
            *(u64 *)(r6 + 8) = 1
            none:
            r1 = map[ring] ll; r2 = 3
            call bpf_ringbuf_query
            *(u64 *)(r6 + 16) = r0
            {RETURN}
        """,
        maps=_RING,
    )
    for verb in ("submit", "discard")
    for size, flags in ((8, 0), (9, 0), (4087, 0), (4088, 0), (4089, 0), (8, 1), (0x7FFFFFFF, 0))
]
PERF = [
    plain(
        f"perf_event_output({flags:#x}, {size})",
        RAW,
        f"r2 = map[events] ll; r3 = {flags:#x} ll; r4 = map[out][128] ll; r5 = {size};"
        f"call bpf_perf_event_output; {KEEP}",
        maps={"events": MapShape(MapType.PERF_EVENT_ARRAY, 4, 4, 4, name="events")},
        ctx=bytes(8),
    )
    for flags in (0, 3, 4, 0xFFFFFFFF, 1 << 32, 1 << 52)
    for size in (0, 8)
]
TRACED = [
    plain(
        f"trace_printk({form!r}) of {size}",
        RAW,
        f"r1 = map[ro][0] ll; r2 = {size or len(form) + 1}; r3 = 5; r4 = -1; r5 = 0x123456789 ll;"
        f"call bpf_trace_printk; {KEEP}",
        constants=form + bytes(8),
    )
    for form, size in (
        (b"plain", 0),
        (b"%d", 0),
        (b"%d %d %llx", 0),
        (b"%d %d %d %d", 0),
        (b"%z", 0),
        (b"%d", 2),
        (b"", 0),
        (b"%s", 0),
        (b"\x01", 0),
        (b"abc\n", 0),
        (b"%5d|%-5d", 0),
        (b"%px", 0),
        (b"%d", 5),
    )
]

CASES = [*READS, *SIZES, *WRITES, *MOVED, *MEMBERS, *MAPS, *RINGS, *PERF, *TRACED]
