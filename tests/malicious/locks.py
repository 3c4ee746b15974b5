"""Spin locks misused: never free again, never held, held across everything that may not happen meanwhile."""

from __future__ import annotations

from tests.malicious.case import Case, faults, returns
from tests.malicious.pointers import EXIT, OUT

FIND = """
    *(u32 *)(r10 - 4) = 0; r1 = map[locked] ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem
    if r0 == 0 goto out; r6 = r0"""
LOCK = "r1 = r6; r1 += 4; call bpf_spin_lock"
UNLOCK = "r1 = r6; r1 += 4; call bpf_spin_unlock"

WRONG_PLACES = {
    f"spin_{what} of {name}": f"{FIND}; {place}; bad: call bpf_spin_{what}; {OUT}"
    for what in ("lock", "unlock")
    for name, place in {
        "the start of the value": "r1 = r6",
        "the byte behind": "r1 = r6; r1 += 5",
        "the end of the value": "r1 = r6; r1 += 60",
        "a value without a lock": "r1 = map[out][4] ll",
        "the stack": "r1 = r10; r1 += -8",
        "a value that is read-only": "r1 = map[ro][4] ll",
        "the value's end and 4": "r1 = r6; r1 += 68",
    }.items()
}
NOWHERE = {
    f"spin_{what} of {name}": f"r1 = {place}; bad: call bpf_spin_{what}; {EXIT}"
    for what in ("lock", "unlock")
    for name, place in {"null": "0", "a wild number": "0x1234567812345678 ll", "all ones": "-1"}.items()
}
WHILE_HELD = {
    "locked twice": "r1 = r6; r1 += 4; bad: call bpf_spin_lock",
    "look-up": "*(u32 *)(r10 - 4) = 1; r1 = map[hash] ll; r2 = r10; r2 += -4; bad: call bpf_map_lookup_elem",
    "time": "bad: call bpf_ktime_get_ns",
    "loop": "r1 = 1; r2 = func[f] ll; r3 = 0; r4 = 0; bad: call bpf_loop",
    "record": "r1 = map[ring] ll; r2 = 8; r3 = 0; bad: call bpf_ringbuf_reserve",
}
MEMORY_WHILE_HELD = {
    "null": "r1 = 0; bad: r0 = *(u8 *)(r1 + 0)",
    "behind the value": "*(u32 *)(r6 + 8) = 5; bad: *(u8 *)(r6 + 64) = 1",
}
NOT_HELD = {
    "unlocked without a lock": f"{FIND}; r1 = r6; r1 += 4; bad: call bpf_spin_unlock; {OUT}",
    "unlocked twice": f"{FIND}; {LOCK}; {UNLOCK}; r1 = r6; r1 += 4; bad: call bpf_spin_unlock; {OUT}",
    "word set by hand, then unlocked": f"""
        {FIND}; *(u32 *)(r6 + 4) = 1; r1 = r6; r1 += 4; bad: call bpf_spin_unlock; {OUT}""",
}
LEFT = {
    "left held": f"{FIND}; {LOCK}; {OUT}",
    "left held by a function": f"call g; {EXIT}; g: {FIND}; {LOCK}; {OUT}",
    "left held by a callback": f"""
        r1 = 1; r2 = func[g] ll; r3 = 0; r4 = 0; call bpf_loop; {EXIT}; g: {FIND}; {LOCK}; {OUT}""",
    "left held, the word wiped out": f"{FIND}; {LOCK}; *(u32 *)(r6 + 4) = 0; {OUT}",
}
FINE = {
    "locked and unlocked": (0, f"{FIND}; {LOCK}; *(u32 *)(r6 + 8) = 5; {UNLOCK}; {OUT}"),
    "locked a thousand times": (1000, f"""
        {FIND}; r7 = 0; again: {LOCK}; r7 += 1; {UNLOCK}; if r7 != 1000 goto again; r0 = r7; exit; {OUT}"""),
    "unlocked by a function": (0, f"{FIND}; {LOCK}; r1 = r6; call g; {EXIT}; {OUT}; g: r6 = r1; {UNLOCK}; {EXIT}"),
    "word written while held": (0, f"""
        {FIND}; {LOCK}; *(u32 *)(r6 + 4) = 77; {UNLOCK}; r0 = *(u32 *)(r6 + 4); exit; {OUT}"""),
    "loop of its own while held": (9, f"""
        {FIND}; {LOCK}; r7 = 0; again: r7 += 1; if r7 < 9 goto again; {UNLOCK}; r0 = r7; exit; {OUT}"""),
}  # fmt: skip

CASES: list[Case] = [
    *faults("helper", WRONG_PLACES | NOT_HELD),
    *faults("memory", NOWHERE),
    *faults("helper", {
        f"{name} while held": f"{FIND}; {LOCK}; r5 = func[f] ll; *(u32 *)(r6 + 8) = 5; {text}; {OUT}; f: {EXIT}"
        for name, text in WHILE_HELD.items()
    }),
    *faults("memory", {f"{name} while held": f"""
        {FIND}; {LOCK}; {text}; {OUT}""" for name, text in MEMORY_WHILE_HELD.items()}),
    *faults("budget", {"endless loop while held": f"{FIND}; {LOCK}; again: goto again; {OUT}"}),
    *faults("leak", LEFT),
    *returns(FINE),
]  # fmt: skip
