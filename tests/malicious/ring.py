"""Ring buffer records used after they were handed over, handed over twice, left behind, or never reserved."""

from __future__ import annotations

from tests.malicious.case import Case, faults, returns
from tests.malicious.pointers import EXIT, OUT


def _reserve(size: int, *, register: str = "r6", flags: int = 0) -> str:
    return f"""
        r1 = map[ring] ll; r2 = {size}; r3 = {flags}; call bpf_ringbuf_reserve; if r0 == 0 goto out
        {register} = r0"""


def _commit(how: str, register: str = "r6") -> str:
    return f"r1 = {register}; r2 = 0; call bpf_ringbuf_{how}"


GONE = {
    f"{what} after {how}": f"{_reserve(16)}; *(u64 *)(r6 + 0) = 1; {_commit(how)}; bad: {use}; {OUT}"
    for how in ("submit", "discard")
    for what, use in {
        "load": "r0 = *(u64 *)(r6 + 0)",
        "store": "*(u8 *)(r6 + 15) = 1",
        "atomic": "lock *(u64 *)(r6 + 0) += r6",
    }.items()
}
OUTSIDE = {
    "store behind a record": f"{_reserve(16)}; bad: *(u8 *)(r6 + 16) = 1; {OUT}",
    "store across the end of a record": f"{_reserve(16)}; bad: *(u64 *)(r6 + 9) = 1; {OUT}",
    "store into the header of a record": f"{_reserve(16)}; bad: *(u32 *)(r6 - 8) = 0; {OUT}",
    "load of the header of a record": f"{_reserve(16)}; bad: r0 = *(u32 *)(r6 - 4); {OUT}",
    "store into the next record": f"{_reserve(8)}; {_reserve(8, register='r7')}; bad: *(u64 *)(r6 + 16) = 1; {OUT}",
    "store into the padding of a record": f"{_reserve(5)}; *(u8 *)(r6 + 4) = 1; bad: *(u8 *)(r6 + 5) = 1; {OUT}",
    "store into a record of no bytes": f"{_reserve(0)}; bad: *(u8 *)(r6 + 0) = 1; {OUT}",
    "load from the ring itself": "r1 = map[ring] ll; bad: r0 = *(u64 *)(r1 + 0); exit",
    "index from the packet, behind a record": f"""
        r7 = *(u32 *)(r1 + 0); r7 = *(u8 *)(r7 + 40); {_reserve(40)}; r6 += r7; bad: *(u8 *)(r6 + 0) = 1; {OUT}""",
    "reservation that failed": """
        r1 = map[ring] ll; r2 = 5000; r3 = 0; call bpf_ringbuf_reserve; bad: *(u8 *)(r0 + 0) = 1; exit""",
    "reservation with flags": """
        r1 = map[ring] ll; r2 = 8; r3 = 1; call bpf_ringbuf_reserve; bad: *(u8 *)(r0 + 0) = 1; exit""",
    "record as a key, after it was submitted": f"""
        {_reserve(16)}; *(u32 *)(r6 + 0) = 1; {_commit("submit")}
        r1 = map[hash] ll; r2 = r6; bad: call bpf_map_lookup_elem; {OUT}""",
    "record written out longer than it is": f"""
        {_reserve(16)}; r1 = map[ring] ll; r2 = r6; r3 = 17; r4 = 0; bad: call bpf_ringbuf_output; {OUT}""",
    "record read while it is gone": f"""
        {_reserve(16)}; {_commit("discard")}
        r1 = map[ring] ll; r2 = r6; r3 = 16; r4 = 0; bad: call bpf_ringbuf_output; {OUT}""",
}
NOT_RESERVED = {
    f"{how} of {what}": f"{setup}; r2 = 0; bad: call bpf_ringbuf_{how}; {OUT}"
    for how in ("submit", "discard")
    for what, setup in {
        "null": "r1 = 0; if r1 != 0 goto out",
        "the context": "if r1 == 0 goto out",
        "the stack": "if r1 == 0 goto out; r1 = r10; r1 += -8",
        "the packet": "r1 = *(u32 *)(r1 + 0); if r1 == 0 goto out",
        "the ring": "if r1 == 0 goto out; r1 = map[ring] ll",
        "a map value": "if r1 == 0 goto out; r1 = map[out][0] ll",
        "a wild number": "if r1 == 0 goto out; r1 = 0x4242424242424242 ll",
        "a record's middle": f"{_reserve(16)}; r1 = r6; r1 += 8",
        "what is before a record": f"{_reserve(16)}; r1 = r6; r1 += -8",
        "a record a second time": f"{_reserve(16)}; {_commit('submit')}; r1 = r6",
        "a record that was discarded": f"{_reserve(16)}; {_commit('discard')}; r1 = r6",
        "a record cut to 32 bits": f"{_reserve(16)}; w1 = w6",
        "a record that failed": """
            r1 = map[ring] ll; r2 = 5000; r3 = 0; call bpf_ringbuf_reserve; r1 = r0; if r0 != 0 goto out""",
    }.items()
}
WRONG_RING = {
    f"{what} on {name}": f"{_setup}; r1 = map[{name}] ll; bad: call bpf_ringbuf_{what}; {EXIT}"
    for name in ("array", "hash", "progs", "queue")
    for what, _setup in {
        "reserve": "r2 = 8; r3 = 0",
        "output": "r2 = r10; r2 += -8; r3 = 8; r4 = 0",
        "query": "r2 = 0",
    }.items()
}
LEFT = {
    "record left reserved": f"{_reserve(16)}; *(u64 *)(r6 + 0) = 1; {OUT}",
    "one of two records left": f"{_reserve(16)}; {_reserve(24, register='r7')}; {_commit('submit', 'r7')}; {OUT}",
    "record left by a function": f"call f; {EXIT}; f: {_reserve(16)}; {OUT}",
    "record left by a callback, every time": f"""
        r1 = 3; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_loop; {EXIT}; f: {_reserve(16)}; {OUT}""",
    "record left by a tail call": f"""
        r9 = r1; {_reserve(16)}; r1 = r9; r2 = map[progs] ll; r3 = 0; call bpf_tail_call; {OUT}""",
    "records left until the ring is full": """
        r7 = 0; again: r1 = map[ring] ll; r2 = 500; r3 = 0; call bpf_ringbuf_reserve; r7 += 1; if r0 != 0 goto again
        r0 = r7; exit""",
    "pointer of a record kept in a map": f"""
        {_reserve(16)}; r7 = map[out][0] ll; *(u64 *)(r7 + 0) = r6; *(u64 *)(r7 + 0) = 0; {OUT}""",
}
FAULTING = {
    "fault while records are reserved": f"""
        {_reserve(16)}; *(u64 *)(r6 + 0) = 7; {_reserve(16, register="r7")}; {_commit("submit", "r7")}
        r1 = 0; bad: r0 = *(u8 *)(r1 + 0); {OUT}""",
    "fault in a function that was given a record": f"""
        {_reserve(16)}; r1 = r6; call f; {OUT}; f: *(u8 *)(r1 + 0) = 1; bad: *(u8 *)(r1 + 16) = 1; {EXIT}""",
}
SIZES = {
    "output of more bytes than memory has": ("memory", "r2 = r10; r2 += -8; r3 = 9"),
    "output of 2^29 bytes": ("helper", "r2 = r10; r2 += -8; r3 = 0x20000000"),
    "output of minus one byte": ("helper", "r2 = r10; r2 += -8; r3 = -1"),
    "output of 2^32 + 8 bytes": ("helper", "r2 = r10; r2 += -8; r3 = 0x100000008 ll"),
    "output of 2^63 bytes": ("helper", "r2 = r10; r2 += -8; r3 = 1; r3 <<= 63"),
    "output of nothing at a wild address": ("memory", "r2 = 0x123456789a ll; r3 = 0"),
}
FINE = {
    "record handed over by a function": (0, f"""
        {_reserve(16)}; r1 = r6; call f; {OUT}; f: *(u64 *)(r1 + 8) = 5; r2 = 0; call bpf_ringbuf_submit
        {EXIT}"""),
    "record handed over by a callback": (0, f"""
        {_reserve(16)}; *(u64 *)(r10 - 8) = r6; r1 = 1; r2 = func[f] ll; r3 = r10; r3 += -8; r4 = 0
        call bpf_loop; {OUT}
        f: r1 = *(u64 *)(r2 + 0); r2 = 0; *(u64 *)(r1 + 8) = 5; call bpf_ringbuf_submit; {EXIT}"""),
    "record through a map": (0, f"""
        {_reserve(16)}; r7 = map[out][0] ll; *(u64 *)(r7 + 0) = r6; r6 = *(u64 *)(r7 + 0)
        *(u64 *)(r7 + 0) = 0; *(u64 *)(r6 + 8) = 3; {_commit('submit')}; {OUT}"""),
    "records handed over in reverse": (0, f"""
        {_reserve(8)}; {_reserve(8, register='r7')}; *(u64 *)(r7 + 0) = 7; {_commit('submit', 'r7')}
        *(u64 *)(r6 + 0) = 6; {_commit('submit')}; {OUT}"""),
    "ring filled up": (7, """
        r6 = 0; r7 = 0; again: r1 = map[ring] ll; r2 = r10; r2 += -512; r3 = 512; r4 = 0
        call bpf_ringbuf_output; if r0 != 0 goto done; r6 += 1; goto again; done: r0 = r6; exit"""),
    "record of no bytes": (0, f"{_reserve(0)}; {_commit('submit')}; {OUT}"),
    "reservation of more than there is": (0, "r1 = map[ring] ll; r2 = 4096; r3 = 0; call bpf_ringbuf_reserve; exit"),
    "reservation of a huge size": (0, "r1 = map[ring] ll; r2 = -1; r3 = 0; call bpf_ringbuf_reserve; exit"),
    "output with flags that there are none of": (0xFFFFFFEA, """
        r1 = map[ring] ll; r2 = r10; r2 += -8; r3 = 8; r4 = 64; call bpf_ringbuf_output; exit"""),
    "query of nothing that there is": (0, "r1 = map[ring] ll; r2 = 77; call bpf_ringbuf_query; exit"),
}  # fmt: skip

CASES: list[Case] = [
    *faults("memory", GONE | OUTSIDE | FAULTING),
    *faults("helper", NOT_RESERVED | WRONG_RING),
    *faults("leak", LEFT, slots={0: EXIT}),
    *(
        case
        for name, (kind, setup) in SIZES.items()
        for case in faults(kind, {name: f"{setup}; r1 = map[ring] ll; r4 = 0; bad: call bpf_ringbuf_output; exit"})
    ),
    *returns(FINE),
]
