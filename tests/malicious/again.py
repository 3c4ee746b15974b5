"""Programs whose next run must not see what the one before has left: each is also run twice in a lane."""

from __future__ import annotations

from ebpf.abi.types import ProgramType
from tests.malicious.case import Case, faults, returns
from tests.malicious.pointers import EXIT

PUSH = "r1 = map[queue] ll; r2 = r10; r2 += -8; r3 = 2; r4 = -1; r5 = -1; call bpf_map_push_elem"
SPOIL = "; ".join(f"r{n} = -1" for n in (2, 3, 4, 5, 6, 7, 8, 9))
ALL = "r0 = 0; " + "; ".join(f"r0 |= r{n}" for n in (2, 3, 4, 5, 6, 7, 8, 9))

FRESH = {
    "registers": (0, f"{ALL}; *(u64 *)(r10 - 16) = r0; {SPOIL}; r0 = *(u64 *)(r10 - 16); exit"),
    "registers, after a native helper": (0, f"""
        {ALL}; *(u64 *)(r10 - 16) = r0; {PUSH}; {SPOIL}; r0 = *(u64 *)(r10 - 16); exit"""),
    "registers, after a helper of the host's": (0, f"""
        {ALL}; *(u64 *)(r10 - 16) = r0; call bpf_ktime_get_ns; {SPOIL}; r0 = *(u64 *)(r10 - 16); exit"""),
    "r0": (0, "if r1 == 0 goto on; r6 = r0; r0 = 5; r0 = r6; on: exit"),
    "stack": (0, "r0 = *(u64 *)(r10 - 256); *(u64 *)(r10 - 256) = 7; *(u64 *)(r10 - 512) = r1; exit"),
    "stack, at an index": (0, """
        r2 = *(u32 *)(r1 + 0); r2 = *(u8 *)(r2 + 9); r3 = r10; r3 -= r2; r0 = *(u8 *)(r3 - 9)
        *(u8 *)(r3 - 9) = 7; exit"""),
    "stack of a function": (0, """
        call f; r0 = *(u64 *)(r10 - 8); exit; f: r2 = *(u64 *)(r10 - 8); *(u64 *)(r10 - 8) = 7; r0 = r2
        exit"""),
    "stack of a callback": (0, f"""
        r1 = 2; r2 = func[f] ll; r3 = r10; r3 += -8; r4 = 0; call bpf_loop; r0 = *(u64 *)(r10 - 8); exit
        f: r3 = *(u64 *)(r10 - 64); *(u64 *)(r2 + 0) = r3; *(u64 *)(r10 - 64) = 7; {EXIT}"""),
    "stack of the target of a tail call": (0, "r2 = map[progs] ll; r3 = 0; call bpf_tail_call; r0 = 9; exit"),
    "context, after a native helper": (64, f"""
        r6 = r1; {PUSH}; r0 = *(u32 *)(r6 + 4); r1 = *(u32 *)(r6 + 0); r0 -= r1; exit"""),
    "packet's bounds, after they were moved there and back": (64, """
        r6 = r1; r2 = 14; call bpf_xdp_adjust_head; r1 = r6; r2 = -14; call bpf_xdp_adjust_head
        r0 = *(u32 *)(r6 + 4); r1 = *(u32 *)(r6 + 0); r0 -= r1; exit"""),
}  # fmt: skip
FRESH_CONTEXT = {
    "field of the context written, after a native helper": (0, f"r6 = r1; *(u32 *)(r1 + 52) = 5; {PUSH}; {EXIT}"),
    "field of the context counted": (0, f"r2 = *(u32 *)(r1 + 48); r2 += 1; *(u32 *)(r1 + 48) = r2; {PUSH}; {EXIT}"),
}
SECOND = """
    r9 = r1; r6 = map[out][0] ll; r7 = *(u64 *)(r6 + 0); r8 = r7; r8 += 1; *(u64 *)(r6 + 0) = r8; if r7 == 0 goto out"""
LATER = {
    "null in the second run alone": f"{SECOND}; r1 = 0; bad: r0 = *(u8 *)(r1 + 0); out: {EXIT}",
    "behind the map value in the second run alone": f"{SECOND}; bad: *(u8 *)(r6 + 64) = 1; out: {EXIT}",
    "behind the packet in the second run alone": f"""
        {SECOND}; r1 = *(u32 *)(r9 + 4); bad: r0 = *(u8 *)(r1 + 0); out: {EXIT}""",
    "stack pointer of the first run": f"""
        r6 = map[out][0] ll; r7 = *(u64 *)(r6 + 8); *(u64 *)(r6 + 8) = 0; if r7 != 0 goto second; *(u64 *)(r6 + 8) = r10
        {EXIT}; second: bad: *(u8 *)(r7 + 0) = 1; {EXIT}""",
}

CASES: list[Case] = [
    *returns(FRESH, slots={0: "r0 = *(u64 *)(r10 - 8); *(u64 *)(r10 - 8) = 7; exit"}),
    *returns(FRESH_CONTEXT, type=ProgramType.SCHED_CLS),
    *faults("memory", LATER, repeat=2),
]
