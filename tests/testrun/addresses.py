"""Programs that tell one run from another: by the addresses that they are given, by what memory holds, by how they end.

No kernel runs these: they return addresses, or break rules. Ways of running them in the vm are compared.
"""

from __future__ import annotations

from ebpf.abi.types import MapType, ProgramType
from ebpf.vm.maps import MapShape
from tests.testrun.case import Case

XDP, TC, SOCKET, CGROUP = (
    ProgramType.XDP,
    ProgramType.SCHED_CLS,
    ProgramType.SOCKET_FILTER,
    ProgramType.CGROUP_SKB,
)
_HASH = {"hash": MapShape(MapType.HASH, 4, 8, 16, name="hash")}
_RING = {"ring": MapShape(MapType.RINGBUF, 0, 0, 4096, name="ring")}
_VALUE = "r1 = map[out][0] ll;"
_PACKET = "r2 = *(u32 *)(r1 + 0); r3 = *(u32 *)(r1 + 4);"
_SKB_PACKET = "r2 = *(u32 *)(r1 + 76); r3 = *(u32 *)(r1 + 80);"
_KEY = "r4 = 0; *(u32 *)(r10 - 4) = r4; r2 = r10; r2 += -4;"
_NUMBER = "r0 >>= 32; exit"


def _xdp(name: str, text: str, **options: object) -> Case:
    return Case(name=name, type=XDP, text=text, **options)  # type: ignore[arg-type]  # fields of a case


CASES = [
    _xdp("context", f"r0 = r1; {_NUMBER}"),
    _xdp("packet", f"{_PACKET} r0 = r2; {_NUMBER}"),
    _xdp("packet offset", f"{_PACKET} r0 = r2; exit"),
    _xdp("end", f"{_PACKET} r0 = r3; exit"),
    _xdp("stack", f"r0 = r10; {_NUMBER}"),
    _xdp("stack of a function", f"call f; exit; f: r0 = r10; {_NUMBER}"),
    _xdp("stack of a second call", f"call f; call f; exit; f: r0 = r10; {_NUMBER}"),
    _xdp("value", f"{_VALUE} r0 = r1; {_NUMBER}"),
    _xdp("value and map", f"{_VALUE} r0 = map[out] ll; {_NUMBER}"),
    _xdp("map twice", f"r1 = map[out] ll; r0 = map[out] ll; r0 += r1; {_NUMBER}"),
    _xdp("two maps", f"r1 = map[hash] ll; r0 = map[out] ll; {_NUMBER}", maps=_HASH),
    _xdp("looked up", f"{_KEY} r1 = map[out] ll; call bpf_map_lookup_elem; {_NUMBER}"),
    _xdp(
        "looked up and named",
        f"{_KEY} r1 = map[out] ll; call bpf_map_lookup_elem; {_VALUE} r0 -= r1; exit",
    ),
    _xdp(
        "named and looked up",
        f"{_VALUE} r6 = r1; {_KEY} r1 = map[out] ll; call bpf_map_lookup_elem; r0 -= r6; exit",
    ),
    _xdp("stack after a helper", f"call bpf_ktime_get_ns; call f; exit; f: r0 = r10; {_NUMBER}"),
    _xdp("stack is zero", "r0 = *(u64 *)(r10 - 8); r1 = -1; *(u64 *)(r10 - 8) = r1; exit"),
    _xdp("registers are zero", "r0 = r2; r0 |= r5; r0 |= r9; exit"),
    _xdp(
        "counts packets",
        f"{_VALUE} r2 = 1; *(u64 *)(r1 + 8) = r2; r0 = *(u64 *)(r1 + 0); r0 += 1; *(u64 *)(r1 + 0) = r0; exit",
    ),
    _xdp("writes beyond the end", f"{_PACKET} *(u8 *)(r3 + 0) = 1; r0 = 1; exit"),
    _xdp("reads across the end", f"{_PACKET} r0 = *(u32 *)(r3 - 2); exit"),
    _xdp("writes, then faults", f"{_PACKET} *(u16 *)(r2 + 2) = 7; r0 = *(u8 *)(r2 - 1); exit"),
    _xdp("faults among maps", f"{_VALUE} r2 = map[hash] ll; r0 = *(u8 *)(r2 + 0); exit", maps=_HASH),
    _xdp("faults in a function", f"{_VALUE} call f; exit; f: r2 = r10; r0 = *(u64 *)(r2 - 513); exit"),
    _xdp("faults after a helper", "call bpf_ktime_get_ns; r2 = 0; r0 = *(u8 *)(r2 + 0); exit"),
    _xdp("moves and faults", f"{_PACKET} r6 = r2; r2 = 4; call bpf_xdp_adjust_head; r0 = *(u8 *)(r6 + 0); exit"),
    _xdp("never ends", "l: if r1 != 0 goto l; r0 = 0; exit"),
    _xdp("may end", "r0 = 0; l: r0 += 1; may_goto e; goto l; e: exit"),
    _xdp(
        "leaves a record reserved",
        "r1 = map[ring] ll; r2 = 8; r3 = 0; call bpf_ringbuf_reserve; r0 = 1; exit",
        maps=_RING,
    ),
    _xdp("stores at the end of a value", f"{_VALUE} r2 = 5; *(u64 *)(r1 + 248) = r2; r0 = *(u8 *)(r1 + 255); exit"),
    _xdp("stores behind a value", f"{_VALUE} r2 = 5; *(u64 *)(r1 + 249) = r2; r0 = 0; exit"),
    _xdp("writes a constant", "r1 = map[ro][0] ll; *(u8 *)(r1 + 0) = 1; r0 = 1; exit", constants=bytes(16)),
    _xdp("reads a constant", "r1 = map[ro][0] ll; r0 = *(u8 *)(r1 + 3); exit", constants=bytes(range(16))),
    Case(
        name="fields are new",
        type=TC,
        text="r0 = *(u32 *)(r1 + 48); r3 = *(u32 *)(r1 + 8); r0 += r3; "
        "r2 = 7; *(u32 *)(r1 + 48) = r2; *(u32 *)(r1 + 8) = r2; exit",
    ),
    Case(name="length", type=TC, text="r0 = *(u32 *)(r1 + 0); exit"),
    Case(name="write a packet", type=TC, text=f"{_SKB_PACKET} *(u8 *)(r2 + 13) = 9; r0 = *(u8 *)(r2 + 12); exit"),
    Case(name="write a frame that is read-only", type=CGROUP, text=f"{_SKB_PACKET} *(u8 *)(r2 + 0) = 9; r0 = 1; exit"),
    Case(name="end of a headless packet", type=CGROUP, text=f"{_SKB_PACKET} r0 = r3; r0 -= r2; exit"),
    Case(name="legacy load", type=SOCKET, text="r6 = r1; r0 = *(u16 *)skb[2]; exit"),
    Case(
        name="keeps what the host did",
        type=TC,
        text=f"r6 = r1; *(u32 *)(r1 + 48) = 3; call bpf_ktime_get_ns; r0 = *(u32 *)(r6 + 48); r1 = r6; "
        f"{_SKB_PACKET} *(u8 *)(r2 + 0) = 1; exit",
    ),
]
