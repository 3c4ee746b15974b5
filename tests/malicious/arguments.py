"""Helpers with wrong arguments: maps that are none, sizes without measure, pointers to nowhere."""

from __future__ import annotations

from ebpf.abi.linux import EINVAL
from ebpf.abi.types import ProgramType
from tests.malicious.case import ANY, Case, faults, refused, returns
from tests.malicious.pointers import EXIT

KEY = "*(u32 *)(r10 - 4) = 1; r2 = r10; r2 += -4"
VALUE = "r3 = r10; r3 += -64; r4 = 0"

NO_MAPS = {
    "null": "r1 = 0",
    "a number": "r1 = 5",
    "a wild number": "r1 = 0xdeadbeefdeadbeef ll",
    "the stack": "r1 = r10",
    "a map value": "r1 = map[out][0] ll",
    "a map moved": "r1 = map[hash] ll; r1 += 1",
    "half a map's address": "r1 = map[hash] ll; w1 = w1",
    "a map's address times 2": "r1 = map[hash] ll; r1 += r1",
    "a map's neighbour": "r1 = map[hash] ll; r5 = 1; r5 <<= 40; r1 += r5",
}
CALLS = {
    "lookup_elem": KEY,
    "delete_elem": KEY,
    "update_elem": f"{KEY}; {VALUE}",
    "push_elem": "r2 = r10; r2 += -64; r3 = 0",
    "pop_elem": "r2 = r10; r2 += -64",
}
WRONG_MAPS = {
    f"{call} of {what}": f"{setup}; {load}; bad: call bpf_map_{call}; {EXIT}"
    for call, setup in CALLS.items()
    for what, load in NO_MAPS.items()
}
WRONG_KINDS = {
    f"{call} on {name}": f"{CALLS[call]}; r1 = map[{name}] ll; bad: call bpf_map_{call}; {EXIT}"
    for call, names in {
        "lookup_elem": ("queue", "stack", "ring", "progs", "bloom", "events"),
        "update_elem": ("queue", "ring", "progs", "outer", "events", "ro"),
        "delete_elem": ("stack", "ring", "progs", "outer", "ro"),
        "push_elem": ("array", "hash", "ring", "progs"),
        "pop_elem": ("hash", "percpu", "ring", "bloom"),
    }.items()
    for name in names
}
WILD = {
    "key at null": "r1 = map[hash] ll; r2 = 0; bad: call bpf_map_lookup_elem; exit",
    "key that is a number": "r1 = map[hash] ll; r2 = 1; bad: call bpf_map_lookup_elem; exit",
    "key that is a map": "r1 = map[hash] ll; r2 = r1; bad: call bpf_map_lookup_elem; exit",
    "key that is a function": """
        r1 = map[hash] ll; r2 = func[f] ll; bad: call bpf_map_lookup_elem; exit; f: r0 = 0; exit""",
    "key in a write-only map": "r1 = map[hash] ll; r2 = map[wo][0] ll; bad: call bpf_map_lookup_elem; exit",
    "key behind the end of a map value": "r1 = map[hash] ll; r2 = map[out][61] ll; bad: call bpf_map_lookup_elem; exit",
    "value at null": f"r1 = map[hash] ll; {KEY}; r3 = 0; r4 = 0; bad: call bpf_map_update_elem; exit",
    "value across the end of a map value": f"""
        r1 = map[hash] ll; {KEY}; r3 = map[out][49] ll; r4 = 0; bad: call bpf_map_update_elem; exit""",
    "popped into a read-only map": "r1 = map[queue] ll; r2 = map[ro][0] ll; bad: call bpf_map_pop_elem; exit",
    "peeked to nowhere": "r1 = map[stack] ll; r2 = 0x1234567890 ll; bad: call bpf_map_peek_elem; exit",
    "name into a read-only map": "r1 = map[ro][0] ll; r2 = 16; bad: call bpf_get_current_comm; exit",
    "name into null": "r1 = 0; r2 = 16; bad: call bpf_get_current_comm; exit",
    "text at null": "r1 = 0; r2 = 8; bad: call bpf_trace_printk; exit",
    "number read from nowhere": "r1 = 0x1234567890 ll; r2 = 8; r3 = 0; r4 = r10; r4 += -8; bad: call bpf_strtol; exit",
    "number written to nowhere": "r1 = map[ro][0] ll; r2 = 8; r3 = 0; r4 = 0; bad: call bpf_strtoul; exit",
    "checksum of nowhere": "r1 = 0; r2 = 8; r3 = 0; r4 = 0; r5 = 0; bad: call bpf_csum_diff; exit",
    "checksum of more than there is": """
        r1 = r10; r1 += -8; r2 = 12; r3 = 0; r4 = 0; r5 = 0; bad: call bpf_csum_diff; exit""",
    "string compared with nowhere": "r1 = map[ro][0] ll; r2 = 8; r3 = 0; bad: call bpf_strncmp; exit",
    "text compared at null": "r1 = 0; r2 = 8; r3 = map[ro][0] ll; bad: call bpf_strncmp; exit",
    "event at null": "r2 = map[events] ll; r3 = 0; r4 = 0; r5 = 8; bad: call bpf_perf_event_output; exit",
}
SIZES = {
    "name of no bytes": "r1 = r10; r1 += -16; r2 = 0; bad: call bpf_get_current_comm; exit",
    "name of minus one byte": "r1 = r10; r1 += -16; r2 = -1; bad: call bpf_get_current_comm; exit",
    "name of 2^32 bytes": "r1 = r10; r1 += -16; r2 = 1; r2 <<= 32; bad: call bpf_get_current_comm; exit",
    "name of 2^29 bytes": "r1 = r10; r1 += -16; r2 = 1; r2 <<= 29; bad: call bpf_get_current_comm; exit",
    "text of no bytes": "r1 = map[ro][0] ll; r2 = 0; bad: call bpf_trace_printk; exit",
    "text of 2^63 bytes": "r1 = map[ro][0] ll; r2 = 1; r2 <<= 63; bad: call bpf_trace_printk; exit",
    "bytes of a packet, size zero": "r2 = 0; r3 = r10; r3 += -8; r4 = 0; bad: call bpf_xdp_load_bytes; exit",
    "bytes of a packet, size minus 8": "r2 = 0; r3 = r10; r3 += -8; r4 = -8; bad: call bpf_xdp_load_bytes; exit",
    "checksum of a huge size": "r1 = r10; r1 += -8; r2 = -4; r3 = 0; r4 = 0; r5 = 0; bad: call bpf_csum_diff; exit",
    "event of a huge size": """
        r2 = map[events] ll; r3 = 0; r4 = r10; r4 += -8; r5 = -1; bad: call bpf_perf_event_output; exit""",
}
TEXTS = {
    "string in a map that programs can write": """
        r1 = r10; r1 += -8; r2 = 8; r3 = map[out][0] ll; bad: call bpf_strncmp; exit""",
    "string on the stack": "r1 = r10; r1 += -8; r2 = 8; r3 = r10; r3 += -8; bad: call bpf_strncmp; exit",
    "format on the stack": "r1 = r10; r1 += -8; r2 = 8; r3 = r1; r4 = 0; r5 = 0; bad: call bpf_snprintf; exit",
    "per-CPU look-up in a plain hash": f"r1 = map[hash] ll; {KEY}; r3 = 0; bad: call bpf_map_lookup_percpu_elem; exit",
    "elements of a queue": f"""
        r1 = map[queue] ll; r2 = func[f] ll; r3 = 0; r4 = 0; bad: call bpf_for_each_map_elem; exit
        f: {EXIT}""",
    "elements of a ring": f"""
        r1 = map[ring] ll; r2 = func[f] ll; r3 = 0; r4 = 0; bad: call bpf_for_each_map_elem; exit; f: {EXIT}""",
    "redirection by a hash": "r1 = map[hash] ll; r2 = 0; r3 = 0; bad: call bpf_redirect_map; exit",
    "event into a ring buffer": """
        r2 = map[ring] ll; r3 = 0; r4 = r10; r4 += -8; r5 = 8; bad: call bpf_perf_event_output; exit""",
    "peek into a hash": "r1 = map[hash] ll; r2 = r10; r2 += -64; bad: call bpf_map_peek_elem; exit",
}
LEGAL = {
    "key that is not there": (0, f"{KEY}; *(u32 *)(r10 - 4) = -1; r1 = map[hash] ll; call bpf_map_lookup_elem; exit"),
    "array index far out": (0, f"{KEY}; *(u32 *)(r10 - 4) = -1; r1 = map[array] ll; call bpf_map_lookup_elem; exit"),
    "array index one too high": (0, f"""
        {KEY}; *(u32 *)(r10 - 4) = 4; r1 = map[array] ll; call bpf_map_lookup_elem; exit"""),
    "update of an index one too high": (0xFFFFFFF9, f"""
        {KEY}; *(u32 *)(r10 - 4) = 4; r1 = map[array] ll; {VALUE}; call bpf_map_update_elem; exit"""),
    "update with unknown flags": (0xFFFFFFEA, f"""
        {KEY}; r1 = map[hash] ll; {VALUE}; r4 = 99; call bpf_map_update_elem; exit"""),
    "update with flags of 64 bits": (0xFFFFFFEA, f"""
        {KEY}; r1 = map[hash] ll; {VALUE}; r4 = 1; r4 <<= 63; call bpf_map_update_elem; exit"""),
    "value of a CPU that there is none of": (0, f"""
        {KEY}; r1 = map[percpu] ll; r3 = 99; call bpf_map_lookup_percpu_elem; exit"""),
    "value of CPU minus one": (0, f"{KEY}; r1 = map[percpu] ll; r3 = -1; call bpf_map_lookup_percpu_elem; exit"),
    "push into a full queue": (0xFFFFFFF9, """
        r6 = 3; again: r1 = map[queue] ll; r2 = r10; r2 += -8; r3 = 0; call bpf_map_push_elem; r6 += -1
        if r6 != 0 goto again; exit"""),
    "pop from an empty queue": (0xFFFFFFFE, """
        r6 = 2; again: r1 = map[queue] ll; r2 = r10; r2 += -8; call bpf_map_pop_elem; r6 += -1
        if r6 != 0 goto again; exit"""),
    "queue pushed from what it pops into": (0, """
        r1 = map[stack] ll; r2 = map[out][0] ll; call bpf_map_pop_elem; r1 = map[stack] ll
        r2 = map[out][0] ll; r3 = 0; call bpf_map_push_elem; exit"""),
    "value updated with itself": (0, f"""
        {KEY}; r1 = map[hash] ll; call bpf_map_lookup_elem; if r0 == 0 goto out; r3 = r0; {KEY}
        r1 = map[hash] ll; r4 = 0; call bpf_map_update_elem; out: exit"""),
    "key in the value that is deleted": (ANY, f"""
        {KEY}; r1 = map[hash] ll; call bpf_map_lookup_elem; if r0 == 0 goto out; *(u32 *)(r0 + 0) = 1
        r2 = r0; r1 = map[hash] ll; call bpf_map_delete_elem; out: exit"""),
    "callback with flags": (0xFFFFFFEA, f"r1 = 1; r2 = func[f] ll; r3 = 0; r4 = 1; call bpf_loop; exit; f: {EXIT}"),
    "checksum of an odd size": (0, """
        r1 = r10; r1 += -8; r2 = 3; r3 = 0; r4 = 0; r5 = 0; call bpf_csum_diff; exit"""),
    "checksum of nothing": (0, "r1 = 0; r2 = 0; r3 = 0; r4 = 0; r5 = 0; call bpf_csum_diff; exit"),
    "number of no known base": (0xFFFFFFEA, """
        r1 = map[ro][0] ll; r2 = 8; r3 = 7; r4 = r10; r4 += -8; call bpf_strtol; exit"""),
    "text that is no number": (0xFFFFFFEA, """
        r1 = map[ro][0] ll; r2 = 8; r3 = 0; r4 = r10; r4 += -8; call bpf_strtol; exit"""),
    "string longer than its memory": (0, """
        *(u64 *)(r10 - 8) = 0x64616572; r1 = r10; r1 += -8; r2 = 4; r3 = map[ro][0] ll; call bpf_strncmp
        exit"""),
    "redirection to nowhere": (2, "r1 = map[devices] ll; r2 = 77; r3 = 2; call bpf_redirect_map; exit"),
    "trie with a prefix too long": (ANY, """
        *(u32 *)(r10 - 8) = 99; *(u32 *)(r10 - 4) = 1; r1 = map[trie] ll; r2 = r10; r2 += -8
        call bpf_map_lookup_elem; exit"""),
    "trie updated with a prefix too long": (0xFFFFFFEA, """
        *(u32 *)(r10 - 8) = 99; *(u32 *)(r10 - 4) = 1; r1 = map[trie] ll; r2 = r10; r2 += -8; r3 = r2
        r4 = 0; call bpf_map_update_elem; exit"""),
}  # fmt: skip
NEVER = {
    "helper of number -1": ".insn 0x85, 0, 0, 0, -1; exit",
    "helper that there is none of": "call 9999; exit",
    "helper that reads kernel memory": "r1 = r10; r1 += -8; r2 = 8; r3 = 0; call bpf_probe_read_kernel; exit",
    "helper of socket buffers in an XDP program": "r2 = 0; r3 = 0; call bpf_skb_change_tail; exit",
}

CASES: list[Case] = [
    *faults("memory", WRONG_MAPS | WILD),
    *faults("helper", WRONG_KINDS | SIZES | TEXTS),
    *returns(LEGAL),
    *refused(EINVAL, NEVER),
    *refused(
        EINVAL,
        {
            "GPL helper of another kind": """
        r1 = 0; r2 = 0; call bpf_xdp_adjust_head; exit"""
        },
        type=ProgramType.SCHED_CLS,
    ),
]
