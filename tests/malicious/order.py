"""What came before a fault is done, and nothing behind it: where checks are shared or moved, they must not show."""

from __future__ import annotations

from tests.malicious.case import Case, faults
from tests.malicious.pointers import EXIT, PACKET

VALUE = "r6 = map[out][0] ll"
ONE, TWO = "*(u64 *)(r6 + 0) = 0x31", "*(u64 *)(r6 + 8) = 0x32"
NEVER = "*(u64 *)(r6 + 0) = 0x39"
LEFT = b"1" + bytes(7) + b"2" + bytes(7)

BETWEEN = {
    "store behind the end": "*(u64 *)(r6 + 64) = 1",
    "store across the end": "*(u64 *)(r6 + 60) = 1",
    "store before the start": "*(u8 *)(r6 - 1) = 1",
    "load behind the end": "r0 = *(u8 *)(r6 + 64)",
    "signed load across the end": "r0 = *(s32 *)(r6 + 62)",
    "load whose result is not used": "r3 = *(u8 *)(r6 + 100)",
    "load into its own base": "r6 = *(u64 *)(r6 + 57)",
    "atomic addition behind the end": "lock *(u64 *)(r6 + 64) += r6",
    "load from null": "r3 = 0; bad: r0 = *(u8 *)(r3 + 0)",
    "store below the stack": "*(u8 *)(r10 - 513) = 1",
    "load above the stack": "r0 = *(u8 *)(r10 + 0)",
    "store behind the packet": "r3 = *(u32 *)(r9 + 4); bad: *(u8 *)(r3 + 0) = 1",
    "load before the packet": "r3 = *(u32 *)(r9 + 0); bad: r0 = *(u8 *)(r3 - 1)",
    "store through a number": "r3 = 12345; bad: *(u8 *)(r3 + 0) = 1",
}
STRAIGHT = {
    f"{name}, between stores": f"""
        r9 = r1; {VALUE}; {ONE}; {TWO}; {text if "bad:" in text else f"bad: {text}"}; {NEVER}; {EXIT}"""
    for name, text in BETWEEN.items()
}
GROUPS_OF_ACCESSES = {
    "three stores, the second one behind the end": f"""
        {VALUE}; {ONE}; {TWO}; bad: *(u64 *)(r6 + 64) = 1; *(u64 *)(r6 + 16) = 0x39; {EXIT}""",
    "stores in falling order, the last one before the start": f"""
        {VALUE}; {TWO}; {ONE}; bad: *(u64 *)(r6 - 8) = 1; {EXIT}""",
    "two that fault: the first one counts": f"""
        {VALUE}; {ONE}; {TWO}; bad: r0 = *(u8 *)(r6 + 64); r0 = *(u8 *)(r6 - 1); {EXIT}""",
    "two that fault in other regions: the first one counts": f"""
        {VALUE}; {ONE}; {TWO}; bad: *(u8 *)(r10 + 8) = 1; *(u8 *)(r6 + 64) = 1; {EXIT}""",
    "small access before the large one that faults": f"""
        {VALUE}; {ONE}; {TWO}; r0 = *(u8 *)(r6 + 63); bad: r0 = *(u64 *)(r6 + 63); {NEVER}; {EXIT}""",
    "many good ones, then one that is not": f"""
        {VALUE}; {ONE}; {TWO}; {"; ".join(f"*(u32 *)(r6 + {at}) = {at}" for at in range(16, 64, 4))}
        bad: *(u32 *)(r6 + 62) = 1; {NEVER}; {EXIT}""",
    "base changes between accesses": f"""
        {VALUE}; {ONE}; r6 += 8; *(u64 *)(r6 + 0) = 0x32; r6 += 56; bad: *(u64 *)(r6 + 0) = 1; {EXIT}""",
    "base overwritten by what it pointed to": f"""
        {VALUE}; {ONE}; {TWO}; r6 = *(u64 *)(r6 + 0); bad: *(u64 *)(r6 + 0) = 1; {EXIT}""",
    "only on one way": f"""
        {VALUE}; {ONE}; {TWO}; r3 = *(u64 *)(r6 + 8); if r3 == 0x32 goto on; r0 = *(u8 *)(r6 + 16); exit
        on: bad: r0 = *(u8 *)(r6 + 64); {NEVER}; {EXIT}""",
    "after both ways met": f"""
        {VALUE}; {ONE}; r3 = *(u64 *)(r6 + 0); if r3 == 0x31 goto a; *(u64 *)(r6 + 8) = 0x39; goto b; a: {TWO}
        b: bad: *(u64 *)(r6 + 57) = 1; {NEVER}; {EXIT}""",
    "a helper between the stores and the fault": f"""
        {VALUE}; {ONE}; call bpf_get_smp_processor_id; {TWO}; bad: *(u8 *)(r6 + 64) = 1; {NEVER}; {EXIT}""",
    "a function between the stores and the fault": f"""
        {VALUE}; {ONE}; r1 = r6; call f; bad: *(u8 *)(r6 + 64) = 1; {NEVER}; {EXIT}
        f: *(u64 *)(r1 + 8) = 0x32; {EXIT}""",
    "in a function, its caller's stores before it": f"""
        {VALUE}; {ONE}; r1 = r6; call f; {NEVER}; {EXIT}
        f: *(u64 *)(r1 + 8) = 0x32; bad: *(u8 *)(r1 + 64) = 1; *(u64 *)(r1 + 8) = 0x39; {EXIT}""",
    "in a callback's second round": f"""
        {VALUE}; {ONE}; r1 = 5; r2 = func[f] ll; r3 = r10; r3 += -8; *(u64 *)(r10 - 8) = 0; r4 = 0; call bpf_loop
        {NEVER}; {EXIT}
        f: r6 = map[out][0] ll; {TWO}; r3 = *(u64 *)(r2 + 0); r3 += 40; *(u64 *)(r2 + 0) = r3; r6 += r3
        bad: *(u64 *)(r6 - 20) = 0; {EXIT}""",
    "in the third round of a loop": f"""
        {VALUE}; {ONE}; {TWO}; r7 = 0; r3 = r6; bad: *(u64 *)(r3 + 16) = r7; r3 += 20; r7 += 1; if r7 < 9 goto bad
        {NEVER}; {EXIT}""",
    "in a loop that reads what it wrote": f"""
        {VALUE}; {ONE}; {TWO}; r3 = r6; again: r4 = *(u64 *)(r3 + 0); bad: *(u64 *)(r3 + 16) = r4; r3 += 8
        goto again""",
    "in a loop with two pointers": f"""
        {VALUE}; {ONE}; {TWO}; r3 = r10; r3 += -64; r4 = r6; r4 += 16; r7 = 0
        again: r5 = *(u8 *)(r3 + 0); bad: *(u8 *)(r4 + 0) = r5; r3 += 1; r4 += 1; r7 += 1; if r7 < 64 goto again
        {NEVER}; {EXIT}""",
    "in the inner one of two loops": f"""
        {VALUE}; {ONE}; {TWO}; r7 = 0; a: r8 = 0; r3 = r6; r3 += 16; bad: *(u8 *)(r3 + 0) = r8; r3 += 7; r8 += 1
        if r8 < 8 goto bad; r7 += 1; if r7 < 3 goto a; {NEVER}; {EXIT}""",
}
ON_STACK = {
    "stack copied out of its frame, byte by byte": f"""
        {VALUE}; {ONE}; {TWO}; r3 = r10; r3 += -4; r4 = 0
        bad: *(u8 *)(r3 + 0) = r4; r3 += 1; r4 += 1; if r4 != 64 goto bad; {NEVER}; {EXIT}""",
    "packet read to its end and beyond": f"""
        r9 = r1; {PACKET}; {VALUE}; {ONE}; {TWO}; r4 = 0; bad: r5 = *(u32 *)(r7 + 0); r7 += 4; r4 += 1
        if r4 < 99 goto bad; {NEVER}; {EXIT}""",
    "packet written to its end and beyond": f"""
        r9 = r1; {PACKET}; {VALUE}; {ONE}; {TWO}; r4 = 0; bad: *(u16 *)(r7 + 1) = r4; r7 += 2; r4 += 1
        if r4 < 99 goto bad; {NEVER}; {EXIT}""",
}
DIVISIONS = {
    "division by zero is no fault": f"""
        {VALUE}; {ONE}; {TWO}; r3 = 0; r4 = 7; r4 /= r3; r4 s%= r3; bad: *(u8 *)(r6 + 64) = r4; {NEVER}; {EXIT}""",
}

CASES: list[Case] = faults("memory", STRAIGHT | GROUPS_OF_ACCESSES | ON_STACK | DIVISIONS, out=LEFT)
