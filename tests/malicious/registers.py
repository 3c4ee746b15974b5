"""Registers read where nobody wrote them: at the start, in functions, in callbacks, after calls of all kinds."""

from __future__ import annotations

from tests.malicious.case import Case, returns
from tests.malicious.pointers import EXIT

LOOKUP = "*(u32 *)(r10 - 4) = 1; r1 = map[{}] ll; r2 = r10; r2 += -4; r3 = 7; r4 = 8; call bpf_map_lookup_elem"
LOOP = "r2 = func[f] ll; r3 = r10; r3 += -8; r4 = 0; call bpf_loop; r0 = *(u64 *)(r10 - 8); exit"
KEEP = "*(u64 *)(r2 + 0)"

UNWRITTEN = {
    "at the start": (0, "r0 = r2; r0 |= r3; r0 |= r4; r0 |= r5; r0 |= r6; r0 |= r7; r0 |= r8; r0 |= r9; exit"),
    "r0 at the start": (0, "exit"),
    "argument after a function": (7, f"r3 = 7; call f; r0 = r3; exit; f: {EXIT}"),
    "argument after a function that writes it": (9, f"r3 = 7; call f; r0 = r3; exit; f: r3 = 9; {EXIT}"),
    "argument after a function whose callee writes it": (4, f"""
        r3 = 7; call f; r0 = r3; exit; f: call g; exit; g: r3 = 4; {EXIT}"""),
    "argument after a helper of the host's": (7, "r3 = 7; call bpf_ktime_get_ns; r0 = r3; exit"),
    "argument after a native helper": (7, "r3 = 7; call bpf_get_smp_processor_id; r0 = r3; exit"),
    "arguments after a look-up in an array": (15, f"{LOOKUP.format('array')}; r0 = r3; r0 += r4; exit"),
    "arguments after a look-up in a hash table": (15, f"{LOOKUP.format('hash')}; r0 = r3; r0 += r4; exit"),
    "result of a function that has none": (5, "r0 = 4; call f; exit; f: r0 += 1; exit"),
    "fifth argument": (4, "r5 = 4; call f; exit; f: r0 = r5; exit"),
    "caller's r7": (5, "r7 = 5; call f; exit; f: r0 = r7; exit"),
    "caller's r7, which nobody wrote": (0, "call f; exit; f: r0 = r7; exit"),
    "r7 of the caller's caller": (5, "r7 = 5; call f; exit; f: call g; exit; g: r0 = r7; exit"),
    "r7 of a caller that changed it": (6, "r7 = 5; call f; exit; f: r7 = 6; call g; exit; g: r0 = r7; exit"),
    "caller's r9 on one way only": (3, """
        r9 = 3; r1 = 1; call f; exit; f: if r1 == 0 goto on; r0 = r9; exit; on: r9 = 8; r0 = r9; exit"""),
    "caller's r6, in a callback": (3, f"r6 = 3; r1 = 1; {LOOP}; f: {KEEP} = r6; {EXIT}"),
    "caller's r6, in a callback that writes it, the second time": (3, f"""
        r6 = 3; r1 = 2; {LOOP}; f: {KEEP} = r6; r6 = 8; {EXIT}"""),
    "caller's r6, in what a callback calls": (3, f"r6 = 3; r1 = 1; {LOOP}; f: call g; {EXIT}; g: {KEEP} = r6; {EXIT}"),
    "caller's r6, in a callback of a callback": (3, f"""
        r6 = 3; r1 = 2; {LOOP}; f: r3 = r2; r1 = 1; r2 = func[g] ll; r4 = 0; call bpf_loop; {EXIT}
        g: {KEEP} = r6; {EXIT}"""),
    "caller's r6, in a callback over elements": (3, f"""
        r6 = 3; r1 = map[hash] ll; r2 = func[f] ll; r3 = r10; r3 += -8; r4 = 0; call bpf_for_each_map_elem
        r0 = *(u64 *)(r10 - 8); exit; f: *(u64 *)(r4 + 0) = r6; {EXIT}"""),
    "caller's r0, in a callback": (4, f"r0 = 4; r1 = 1; {LOOP}; f: {KEEP} = r0; {EXIT}"),
    "arguments that a callback is not given": (0, f"""
        r1 = 1; r5 = 9; {LOOP}; f: r3 |= r4; r3 |= r5; {KEEP} = r3; {EXIT}"""),
    "own r6 after a callback that wrote it": (3, f"""
        r6 = 3; r1 = 1; {LOOP.replace('r0 = *(u64 *)(r10 - 8)', 'r0 = r6')}; f: r6 = 8; {EXIT}"""),
    "r6 in the target of a tail call": (3, "r6 = 3; r2 = map[progs] ll; r3 = 0; call bpf_tail_call; r0 = 9; exit"),
    "argument after a tail call that missed": (7, "r2 = map[progs] ll; r3 = 7; call bpf_tail_call; r0 = r3; exit"),
    "r0 after a tail call that missed": (5, "r0 = 5; r2 = map[progs] ll; r3 = 7; call bpf_tail_call; exit"),
}  # fmt: skip

CASES: list[Case] = returns(UNWRITTEN, slots={0: "r0 = r6; exit"})
