"""Recursion, depth, and calls of what is no function."""

from __future__ import annotations

from ebpf.abi.linux import E2BIG, EINVAL
from tests.malicious.case import Case, faults, refused, returns
from tests.malicious.pointers import EXIT

LOOP = "r3 = 0; r4 = 0; call bpf_loop"
BAD_LOOP = "r3 = 0; r4 = 0; bad: call bpf_loop"
HIDDEN = "r2 += 1; r2 += -1"  # the loader loses sight of a function's address that was calculated with
DEPTH = "; ".join(f"f{n}: r1 += 1; call f{n + 1}; exit" for n in range(1, 7))

RECURSIVE = {
    "callback of itself": f"""
        r1 = 1; r2 = func[f] ll; {LOOP}; {EXIT}
        f: r1 = 1; r2 = func[f] ll; {HIDDEN}; {BAD_LOOP}; {EXIT}""",
    "callback over elements of itself": f"""
        r1 = map[hash] ll; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_for_each_map_elem; {EXIT}
        f: r1 = map[hash] ll; r2 = func[f] ll; {HIDDEN}; r3 = 0; r4 = 0; bad: call bpf_for_each_map_elem; {EXIT}""",
    "two callbacks of each other": f"""
        r1 = 1; r2 = func[f] ll; {LOOP}; {EXIT}
        f: r1 = 1; r2 = func[g] ll; {HIDDEN}; {BAD_LOOP}; {EXIT}
        g: r1 = 1; r2 = func[f] ll; {HIDDEN}; {LOOP}; {EXIT}""",
    "function between callback and callback": f"""
        call f; {EXIT}; f: r1 = 1; r2 = func[g] ll; {HIDDEN}; {BAD_LOOP}; {EXIT}
        g: r1 = 1; r2 = func[f] ll; {HIDDEN}; {LOOP}; {EXIT}""",
    "callback at the bottom of eight frames": f"""
        call f1; exit; {DEPTH}; f7: r1 = 1; r2 = func[g] ll; {HIDDEN}; {BAD_LOOP}; {EXIT}; g: {EXIT}""",
    "callback that calls a function that calls back": f"""
        r1 = 1; r2 = func[f] ll; {HIDDEN}; {LOOP}; {EXIT}; f: bad: call g; {EXIT}
        g: r1 = 1; r2 = func[f] ll; {HIDDEN}; {LOOP}; {EXIT}""",
}
BARE_RECURSION = {
    "function that calls itself": "call f; exit; f: bad: call f; exit",
    "program that calls itself": "a: bad: call a; exit",
    "two functions that call each other": "call f; exit; f: call g; exit; g: bad: call f; exit",
    "recursion with a condition that never ends it": """
        r1 = 1; call f; exit; f: if r1 == 0 goto out; bad: call f; out: exit""",
    "recursion with full frames": """
        r1 = 1; call f; exit
        f: *(u64 *)(r10 - 512) = r1; *(u64 *)(r10 - 8) = r1; r1 += 1; bad: call f; exit""",
}
NO_FUNCTIONS = {
    "a small number": "r2 = 1",
    "the main program": "r2 = 0",
    "an instruction in the middle of a function": "r2 = func[f] ll; r2 += 1",
    "a function's address times 2": "r2 = func[f] ll; r2 += r2",
    "a function's address and 2^32": "r2 = func[f] ll; r3 = 1; r3 <<= 32; r2 |= r3",
    "the stack": "r2 = r10",
    "the context": "r2 = r1",
    "a map": "r2 = map[hash] ll",
    "all ones": "r2 = -1",
    "an address in the process": "r2 = 0x555555554000 ll",
    "something far behind the code": "r2 = 1000000",
}
CALLED = {
    f"{helper} calls {what}": f"""
        r5 = func[f] ll; {load}; r1 = {first}; r3 = 0; r4 = 0; bad: call {helper}; {EXIT}; f: {EXIT}"""
    for what, load in NO_FUNCTIONS.items()
    for helper, first in (("bpf_loop", "1"), ("bpf_for_each_map_elem", "map[hash] ll"))
}
CALLX = {
    f"callx of {what}": f"{load}; bad: callx r6; exit"
    for what, load in {
        "a helper that there is none of": "r6 = 6",
        "a large number": "r6 = 0x7fffffff",
        "minus one": "r6 = -1",
        "an address": "r6 = 0x555555554000 ll",
        "the stack pointer": "r6 = r10",
        "a helper's number and 2^32": "r6 = 0x100000003 ll",
        "the memory": "r6 = r1",
        "a register never written plus 100": "r6 += 100",
    }.items()
}
DEEP = {
    "eight frames": (6, f"r1 = 0; call f1; exit; {DEPTH}; f7: r0 = r1; exit"),
    "callbacks seven frames deep": (3, f"""
        call f1; exit; {DEPTH.replace("call f6", "call f7").replace("; f6: r1 += 1; call f7; exit", "")}
        f7: r1 = 3; r2 = func[g] ll; {LOOP}; exit; g: {EXIT}"""),
    "deep, then flat, a thousand times": (1000, f"""
        r6 = 0; again: call f; r6 += 1; if r6 != 1000 goto again; r0 = r6; exit
        f: call g; exit; g: call h; exit; h: {EXIT}"""),
    "callee's saved registers are its own": (10, f"""
        r6 = 1; r7 = 2; r8 = 3; r9 = 4; call f; r0 = r6; r0 += r7; r0 += r8; r0 += r9; exit
        f: r6 = 90; r7 = 90; r8 = 90; r9 = 90; {EXIT}"""),
    "callback's registers are its own": (15, f"""
        r6 = 1; r7 = 2; r8 = 3; r9 = 4; r1 = 5; r2 = func[f] ll; {LOOP}
        r0 += r6; r0 += r7; r0 += r8; r0 += r9; exit
        f: r6 = 90; r7 = 90; r8 = 90; r9 = 90; {EXIT}"""),
}  # fmt: skip
BARE_DEEP = {
    "recursion of seven frames": (0, "r1 = 6; call f; exit; f: if r1 == 0 goto out; r1 += -1; call f; out: exit"),
    "unwind from eight frames": (0, f"call f1; r0 = 9; exit; {DEPTH}; f7: r1 = 0; call 5; r0 = 8; exit"),
}
TOO_DEEP = {
    "nine frames": f"call f1; exit; {DEPTH}; f7: call f8; exit; f8: {EXIT}",
    "recursion": f"call f; exit; f: if r1 == 0 goto out; r1 += -1; call f; out: {EXIT}",
    "recursion of two": f"call f; exit; f: call g; exit; g: call f; {EXIT}",
    "program that calls itself with no way out": "a: call a; exit",
    "callback of itself in plain sight": f"""
        r1 = 1; r2 = func[f] ll; {LOOP}; {EXIT}; f: r1 = 1; r2 = func[f] ll; {LOOP}; {EXIT}""",
}
NOWHERE = {
    "call behind the end": "call +5; exit",
    "call before the start": "call -5; exit",
    "call into the middle of a constant": "call +2; exit; r1 = 5 ll; r0 = 0; exit",
    "callx": "r1 = 5; callx r1; exit",
    "helper of number 0": "call 0; exit",
    "helper of number 100000": "call 100000; exit",
    "helper of another program type": "r2 = 0; r3 = 0; r4 = 0; r5 = 0; call bpf_skb_store_bytes; exit",
    "kernel function": "call kfunc 5; exit",
}

CASES: list[Case] = [
    *faults("stack", RECURSIVE),
    *faults("stack", BARE_RECURSION, bare=True),
    *faults("call", CALLED),
    *faults("helper", CALLX, bare=True, memory=bytes(16)),
    *returns(DEEP),
    *returns(BARE_DEEP, bare=True),
    *refused(E2BIG, TOO_DEEP),
    *refused(EINVAL, NOWHERE),
]
