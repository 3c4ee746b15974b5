"""Loops that count, and go one step too far: where all accesses of a loop are checked before it begins."""

from __future__ import annotations

from tests.malicious.case import Case, faults, returns
from tests.malicious.pointers import EXIT

VALUE = "r6 = map[out][0] ll"
STORE = "r3 = r6; r3 += r7; bad: *(u8 *)(r3 + 0) = 1"
FILL = "r3 = r6; r3 += r7; *(u8 *)(r3 + 0) = 1"
EIGHTH = "r4 = r7; r4 <<= 3; r3 = r6; r3 += r4; bad: *(u64 *)(r3 + 0) = 1"
FULL = b"\1" * 64

TOO_FAR = {
    "bound one too high": f"{VALUE}; r7 = 0; again: {STORE}; r7 += 1; if r7 < 65 goto again; {EXIT}",
    "bound included": f"{VALUE}; r7 = 0; again: {STORE}; r7 += 1; if r7 <= 64 goto again; {EXIT}",
    "signed bound one too high": f"{VALUE}; r7 = 0; again: {STORE}; r7 += 1; if r7 s< 65 goto again; {EXIT}",
    "bound of 32 bits one too high": f"{VALUE}; w7 = 0; again: {STORE}; w7 += 1; if w7 < 65 goto again; {EXIT}",
    "backwards, past the start": f"{VALUE}; r7 = 63; again: {STORE}; r7 += -1; if r7 s>= -1 goto again; {EXIT}",
    "backwards, with a bound that always holds": f"""
        {VALUE}; r7 = 63; again: {STORE}; r7 += -1; if r7 >= 0 goto again; {EXIT}""",
    "backwards, 32 bits that wrap": f"""
        {VALUE}; w7 = 63; again: {STORE}; w7 += -1; if w7 <= 63 goto on; goto again
        on: if w7 < 64 goto again; goto again""",
    "bound out of the packet": f"""
        r8 = *(u32 *)(r1 + 0); *(u8 *)(r8 + 0) = 200; r8 = *(u8 *)(r8 + 0); {VALUE}; r7 = 0
        again: {STORE}; r7 += 1; if r7 < r8 goto again; {EXIT}""",
    "bound that the loop raises": f"""
        {VALUE}; r7 = 0; r8 = 1; again: {STORE}; r7 += 1; r8 += 1; if r7 < r8 goto again; {EXIT}""",
    "test at the top, the counter moved before the access": f"""
        {VALUE}; *(u8 *)(r6 + 0) = 1; r7 = 0; again: if r7 > 63 goto out; r7 += 1; {STORE}; goto again; out: {EXIT}""",
    "bound on the stack that a helper has written": f"""
        {VALUE}; r1 = map[ro][0] ll; *(u64 *)(r10 - 8) = 8; *(u64 *)(r10 - 16) = 0x303031; r1 = r10; r1 += -16; r2 = 8
        r3 = 0; r4 = r10; r4 += -8; call bpf_strtol; r7 = 0
        again: {STORE}; r7 += 1; r8 = *(u64 *)(r10 - 8); if r7 < r8 goto again; {EXIT}""",
}
OTHERS = {
    "step that jumps over the end": f"{VALUE}; r7 = 0; again: {STORE}; r7 += 3; if r7 != 64 goto again; {EXIT}",
    "counter moved on in the body, too": f"""
        {VALUE}; r7 = 0; r8 = 0; again: {STORE}; r7 += 1; r5 = r7; r5 &= 7; if r5 != 3 goto on; r7 += 60; on: r8 += 1
        if r8 < 9 goto again; {EXIT}""",
    "elements of 8 bytes, one too many": f"{VALUE}; r7 = 0; again: {EIGHTH}; r7 += 1; if r7 < 9 goto again; {EXIT}",
    "elements of 8 bytes, a count that overflows": f"""
        {VALUE}; r7 = 1; r7 <<= 61; r7 += 8; again: {EIGHTH}; r7 += 1; if r7 != 0 goto again; {EXIT}""",
    "access wider than the step, at the end": f"""
        {VALUE}; r7 = 0; again: r3 = r6; r3 += r7; bad: *(u64 *)(r3 + 0) = 1; r7 += 1; if r7 < 64 goto again; {EXIT}""",
    "base moved in the loop, too": f"{VALUE}; r7 = 0; again: {STORE}; r6 += 1; r7 += 1; if r7 < 64 goto again; {EXIT}",
    "begins behind the end": f"{VALUE}; r7 = 64; again: {STORE}; r7 += 1; if r7 < 10 goto again; {EXIT}",
    "begins far before the start": f"{VALUE}; r7 = -64; again: {STORE}; r7 += 1; if r7 s< 8 goto again; {EXIT}",
    "bound in the map value that the loop overwrites": f"""
        {VALUE}; *(u64 *)(r6 + 56) = 8; r7 = 0
        again: r4 = r7; r4 <<= 3; r3 = r6; r3 += r4; bad: *(u64 *)(r3 + 0) = 99; r7 += 1
        r8 = *(u64 *)(r6 + 56); if r7 < r8 goto again; {EXIT}""",
    "bound on the stack that the loop overwrites": f"""
        *(u64 *)(r10 - 8) = 8; r6 = r10; r6 += -64; r7 = 0
        again: r4 = r7; r4 <<= 3; r3 = r6; r3 += r4; bad: *(u64 *)(r3 + 0) = 99; r7 += 1
        r8 = *(u64 *)(r10 - 8); if r7 < r8 goto again; {EXIT}""",
    "down the stack": f"""
        r6 = r10; r7 = 0; again: r6 += -8; bad: *(u64 *)(r6 + 0) = r7; r7 += 1; if r7 < 65 goto again
        {EXIT}""",
    "up the stack": f"r6 = r10; r6 += -512; r7 = 0; again: {STORE}; r7 += 1; if r7 < 513 goto again; {EXIT}",
    "through the packet": f"r6 = *(u32 *)(r1 + 0); r7 = 0; again: {STORE}; r7 += 1; if r7 < 65 goto again; {EXIT}",
    "through the packet that is cut meanwhile": f"""
        r9 = r1; r8 = 0; r7 = 0; again: r6 = *(u32 *)(r9 + 0); {STORE}; r7 += 1; if r7 != 40 goto on
        r1 = r9; r2 = -20; call bpf_xdp_adjust_tail; on: if r7 < 64 goto again; {EXIT}""",
    "through an element of a map": f"""
        *(u32 *)(r10 - 4) = 1; r1 = map[array] ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem; if r0 == 0 goto out
        r6 = r0; r7 = 0; again: {STORE}; r7 += 1; if r7 < 17 goto again; out: {EXIT}""",
    "two loops, the inner one a step too far in the last round": f"""
        {VALUE}; r8 = 0; a: r7 = r8; again: {STORE}; r7 += 1; r4 = r7; r4 -= r8; if r4 < 8 goto again; r8 += 8
        if r8 < 72 goto a; {EXIT}""",
}
IN_TIME = {
    "bound that is just right": (64, f"{VALUE}; r7 = 0; again: {FILL}; r7 += 1; if r7 < 64 goto again; r0 = r7; exit"),
    "one round": (1, f"{VALUE}; r7 = 0; again: {FILL}; r7 += 1; if r7 < 0 goto again; r0 = r7; exit"),
    "no round, bound far out": (0, f"""
        {VALUE}; r8 = 1000; r7 = 1000; again: if r7 >= r8 goto out; {FILL}; r7 += 1; goto again; out: {EXIT}"""),
    "far bound, left early": (40, f"""
        {VALUE}; r7 = 0; again: {FILL}; r7 += 1; if r7 == 40 goto out; if r7 < 1000 goto again; out: r0 = r7
        exit"""),
    "last round without the access": (65, f"""
        {VALUE}; r7 = 0; again: if r7 > 63 goto on; {FILL}; on: r7 += 1; if r7 < 65 goto again; r0 = r7
        exit"""),
    "counter masked into the value": (200, f"""
        {VALUE}; r7 = 0; again: r4 = r7; r4 &= 63; r3 = r6; r3 += r4; *(u8 *)(r3 + 0) = 1; r7 += 1
        if r7 < 200 goto again; r0 = r7; exit"""),
    "from below zero, 32 bits": (64, f"{VALUE}; w7 = 0; again: {FILL}; w7 += 1; if w7 s< 64 goto again; r0 = r7; exit"),
}  # fmt: skip

CASES: list[Case] = [*faults("memory", TOO_FAR, out=FULL), *faults("memory", OTHERS), *returns(IN_TIME)]
