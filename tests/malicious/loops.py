"""Loops without an end or with a far one: the budget ends them, whoever goes round."""

from __future__ import annotations

from tests.malicious.case import Case, faults, returns
from tests.malicious.pointers import EXIT

MARK = "r6 = map[out][0] ll; *(u32 *)(r6 + 0) = 0x6b72616d"  # "mark"
BUSY = "; ".join(["r7 += 1"] * 40)
SELF = "r2 = map[progs] ll; r3 = 0; call bpf_tail_call"

ENDLESS = {
    "goto itself": "again: goto again",
    "gotol itself": "again: gotol again",
    "goto back": f"again: {BUSY}; goto again",
    "condition that always holds": f"r1 = 0; again: {BUSY}; if r1 == 0 goto again; {EXIT}",
    "condition on 32 bits that always holds": f"r1 = 1; r1 <<= 32; again: if w1 == 0 goto again; {EXIT}",
    "condition on a register with itself": f"again: if r1 >= r1 goto again; {EXIT}",
    "two jumps to each other": "a: goto b; b: goto a",
    "jump into a loop": "goto middle; again: r1 += 1; middle: r1 += 2; goto again",
    "nested loops, the inner one without an end": f"""
        r1 = 0; outer: r2 = 0; inner: r2 += 1; if r2 != 0 goto inner; r1 += 1; if r1 < 10 goto outer; {EXIT}""",
    "nested loops, the outer one without an end": """
        outer: r2 = 0; inner: r2 += 1; if r2 < 7 goto inner; goto outer""",
    "four nested loops": f"""
        r1 = 0; a: r2 = 0; b: r3 = 0; c: r4 = 0; d: r4 += 1; if r4 < 100 goto d; r3 += 1; if r3 < 100 goto c
        r2 += 1; if r2 < 100 goto b; r1 += 1; if r1 < 100 goto a; {EXIT}""",
    "counter of 64 bits": f"r1 = -1; again: r1 += -1; if r1 != 0 goto again; {EXIT}",
    "counter that wraps": f"w1 = 1; again: w1 += 2; if w1 != 0 goto again; {EXIT}",
    "counter in memory": f"""
        *(u64 *)(r10 - 8) = 0; again: r1 = *(u64 *)(r10 - 8); r1 += 2; *(u64 *)(r10 - 8) = r1; if r1 != 1 goto again
        {EXIT}""",
    "counter that is an atomic": f"r1 = 1; again: lock *(u64 *)(r10 - 8) += r1; if r1 == 1 goto again; {EXIT}",
    "loop over helpers": "again: call bpf_get_smp_processor_id; goto again",
    "loop over look-ups": """
        again: *(u32 *)(r10 - 4) = 1; r1 = map[hash] ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem; goto again""",
    "loop over calls": f"again: call f; goto again; f: {EXIT}",
    "loop in a function": "call f; exit; f: again: r1 += 1; goto again",
    "loop eight frames deep": f"""
        call a; exit; a: call b; {EXIT}; b: call c; {EXIT}; c: call d; {EXIT}; d: call e; {EXIT}; e: call f; {EXIT}
        f: call g; {EXIT}; g: goto g""",
    "loop in a callback": f"r1 = 1; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_loop; {EXIT}; f: goto f",
    "loop in a callback over elements": f"""
        r1 = map[hash] ll; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_for_each_map_elem; {EXIT}; f: r4 += 1; goto f""",
    "as many callbacks as there may be": f"""
        r1 = 8388608; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_loop; {EXIT}; f: {EXIT}""",
    "callbacks within callbacks": f"""
        r1 = 8388608; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_loop; {EXIT}
        f: r1 = 8388608; r2 = func[g] ll; r3 = 0; r4 = 0; call bpf_loop; {EXIT}
        g: r1 = 8388608; r2 = func[h] ll; r3 = 0; r4 = 0; call bpf_loop; {EXIT}
        h: {EXIT}""",
    "may_goto longer than the budget": "again: r1 += 1; may_goto out; goto again; out: r0 = 1; exit",
    "may_goto within may_goto": "a: may_goto out; b: may_goto a; goto b; out: r0 = 1; exit",
    "may_goto that goes nowhere": "again: may_goto +0; goto again",
    "loop of byte swaps": "again: r1 = bswap64 r1; goto again",
    "loop of divisions": "r1 = 7; again: r2 = 1; r2 <<= 63; r2 s/= r1; r2 s%= r1; goto again",
    "loop that loads and stores": """
        r1 = map[out][0] ll; again: r2 = *(u64 *)(r1 + 8); *(u64 *)(r1 + 8) = r2; goto again""",
    "loop that changes its way": """
        r1 = 0; a: r1 += 1; if r1 & 1 goto c; b: r1 += 2; if r1 & 4 goto a; c: r1 += 3; if r1 & 2 goto b; goto a""",
    "exit that is never reached": f"r1 = 5; again: if r1 == 5 goto more; {EXIT}; more: r2 += 1; goto again",
}
CHAINS = {
    "loop behind a tail call": "again: goto again",
    "loop behind many tail calls": f"{SELF}; again: r1 += 1; goto again",
    "busy tail calls": f"{'; '.join(['r7 += 1'] * 900)}; {SELF}; {EXIT}",
}
TO_BODY = "r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_loop; exit; f: r0 ="
FAR = {
    "9,000 instructions in a row": (9_000, "r0 = 0; " + "; ".join(["r0 += 1"] * 9_000) + "; exit"),
    "loop that ends in time": (6_000, "r0 = 0; again: r0 += 1; if r0 < 6000 goto again; exit"),
    "more iterations than bpf_loop takes": (0xFFFFFFF9, f"r1 = 8388609; {TO_BODY} 0; exit"),
    "iterations of 64 bits are cut to 32": (3, f"r1 = 0x700000003 ll; {TO_BODY} 0; exit"),
    "callback that stops the loop": (1, f"r1 = 8388608; {TO_BODY} 1; exit"),
    "endless chain of tail calls ends after 33": (7, f"{SELF}; r0 = 1; exit"),
}

CASES: list[Case] = [
    *faults("budget", {name: f"{MARK}; {text}" for name, text in ENDLESS.items()}, out=b"mark"),
    *(
        case
        for name, text in CHAINS.items()
        for case in faults("budget", {name: f"{MARK}; {SELF}; {EXIT}"}, slots={0: text}, out=b"mark")
    ),
    *returns(FAR, slots={0: f"r6 = r1; {SELF}; r0 = 7; exit"}),
]
