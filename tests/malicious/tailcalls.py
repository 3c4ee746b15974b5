"""Tail calls to nowhere, of what is no program array, with what is no context."""

from __future__ import annotations

from ebpf.abi.linux import E2BIG
from tests.malicious.case import Case, faults, refused, returns
from tests.malicious.pointers import EXIT

CALL = "call bpf_tail_call"
PROGS = "r2 = map[progs] ll"
GOES_ON = "r0 = 5; exit"

MISSED = {
    "slot that is empty": f"{PROGS}; r3 = 3; {CALL}; {GOES_ON}",
    "index behind the end": f"{PROGS}; r3 = 4; {CALL}; {GOES_ON}",
    "index far behind the end": f"{PROGS}; r3 = 0x7fffffff; {CALL}; {GOES_ON}",
    "index minus one": f"{PROGS}; r3 = -1; {CALL}; {GOES_ON}",
    "index 2^31": f"{PROGS}; r3 = 1; r3 <<= 31; {CALL}; {GOES_ON}",
    "index 2^32 + 3": f"{PROGS}; r3 = 0x100000003 ll; {CALL}; {GOES_ON}",
    "index that is an address": f"{PROGS}; r3 = r10; {CALL}; {GOES_ON}",
    "array of numbers": f"r2 = map[array] ll; r3 = 0; {CALL}; {GOES_ON}",
    "hash table": f"r2 = map[hash] ll; r3 = 0; {CALL}; {GOES_ON}",
    "ring buffer": f"r2 = map[ring] ll; r3 = 0; {CALL}; {GOES_ON}",
    "array of maps": f"r2 = map[outer] ll; r3 = 0; {CALL}; {GOES_ON}",
}
HIT = {
    "index 2^32 is index 0": f"{PROGS}; r3 = 1; r3 <<= 32; {CALL}; {GOES_ON}",
    "index in a register that was a pointer": f"{PROGS}; r3 = r10; r3 -= r10; {CALL}; {GOES_ON}",
    "in a function": f"r6 = r1; call f; exit; f: {PROGS}; r3 = 0; {CALL}; {GOES_ON}",
    "five frames deep": f"""
        call a; exit; a: call b; exit; b: call c; exit; c: call d; exit; d: {PROGS}; r3 = 0; {CALL}; {GOES_ON}""",
    "context spilled and reloaded": f"""
        *(u64 *)(r10 - 8) = r1; {PROGS}; r3 = 0; r1 = *(u64 *)(r10 - 8); {CALL}; {GOES_ON}""",
}
WRONG_CONTEXT = {
    "context moved": "r1 += 4",
    "context moved by 2^32": "r3 = 1; r3 <<= 32; r1 += r3",
    "null for the context": "r1 = 0",
    "stack for the context": "r1 = r10",
    "packet for the context": "r1 = *(u32 *)(r1 + 0)",
    "map value for the context": "r1 = map[out][0] ll",
    "context cut to 32 bits": "w1 = w1",
}
WRONG_ARRAY = {
    "null for the array": "r2 = 0",
    "stack for the array": "r2 = r10",
    "map value for the array": "r2 = map[out][0] ll",
    "context for the array": "r2 = r1",
    "array moved": f"{PROGS}; r2 += 8",
    "array's address times 2": f"{PROGS}; r2 += r2",
    "number for the array": "r2 = 3",
    "wild number for the array": "r2 = 0x123456789a ll",
    "function for the array": "r2 = func[f] ll",
}
LOCK = """
    r9 = r1; *(u32 *)(r10 - 4) = 0; r1 = map[locked] ll; r2 = r10; r2 += -4
    call bpf_map_lookup_elem; if r0 == 0 goto out; r6 = r0; r1 = r6; r1 += 4; call bpf_spin_lock"""
IN_TARGET = {
    "target loads from null": "r1 = 0; bad: r0 = *(u8 *)(r1 + 0); exit",
    "target writes above its stack": f"bad: *(u8 *)(r10 + 0) = 1; {EXIT}",
    "target uses the stack of the program before": f"bad: *(u8 *)(r6 - 8) = 1; {EXIT}",
    "target calls and the callee writes above": f"call f; exit; f: bad: *(u8 *)(r10 + 0) = 1; {EXIT}",
}

CASES: list[Case] = [
    *returns({name: (5, text) for name, text in MISSED.items()}, slots={0: "r0 = 9; exit"}),
    *returns({name: (9, text) for name, text in HIT.items()}, slots={0: "r0 = 9; exit"}),
    *returns({"stack of the target begins with zeros": (0, f"""
        *(u64 *)(r10 - 8) = 7; {PROGS}; r3 = 0; {CALL}; {GOES_ON}""")}, slots={0: "r0 = *(u64 *)(r10 - 8); exit"}),
    *returns({"33 tail calls and no more": (34, f"{PROGS}; r3 = 0; {CALL}; {GOES_ON}")}, slots={0: f"""
        r6 = map[out][0] ll; r7 = *(u64 *)(r6 + 0); r7 += 1; *(u64 *)(r6 + 0) = r7
        {PROGS}; r3 = 0; {CALL}; r0 = *(u64 *)(r6 + 0); r0 += 1; exit"""}),
    *returns({"two programs that call each other": (2, f"{PROGS}; r3 = 0; {CALL}; {GOES_ON}")}, slots={
        0: f"{PROGS}; r3 = 1; {CALL}; r0 = 2; exit", 1: f"{PROGS}; r3 = 0; {CALL}; r0 = 3; exit"}),
    *returns({"tail call in a callback returns from the callback": (6, f"""
        r1 = 3; r2 = func[f] ll; r3 = r1; r4 = 0; r3 = 0; call bpf_loop; r0 += 3; exit
        f: {PROGS}; r3 = 3; r0 = 0; exit""")}, slots={0: "r0 = 9; exit"}),
    *faults("helper", {name: f"{change}; {PROGS}; r3 = 0; bad: {CALL}; {GOES_ON}"
                       for name, change in WRONG_CONTEXT.items()}, slots={0: "r0 = 9; exit"}),
    *faults("memory", {name: f"r5 = func[f] ll; {change}; r3 = 0; bad: {CALL}; {GOES_ON}; f: {EXIT}"
                       for name, change in WRONG_ARRAY.items()}, slots={0: "r0 = 9; exit"}),
    *faults("helper", {"while a lock is held": f"{LOCK}; r1 = r9; {PROGS}; r3 = 0; bad: {CALL}; out: {GOES_ON}"},
            slots={0: "r0 = 9; exit"}),
    *(case for name, text in IN_TARGET.items() for case in faults(
        "memory", {name: f"r6 = r10; {PROGS}; r3 = 0; {CALL}; {GOES_ON}"}, slots={0: text})),
    *refused(E2BIG, {"nine frames with a tail call at the end": f"""
        call f1; exit; {'; '.join(f'f{n}: call f{n + 1}; exit' for n in range(1, 8))}; f8: {PROGS}; r3 = 0; {CALL}
        {GOES_ON}"""}),
]  # fmt: skip
