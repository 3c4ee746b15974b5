"""The context where it does not belong: moved, cut, copied into maps, given to helpers as memory."""

from __future__ import annotations

from ebpf.abi.linux import EACCES, EINVAL
from ebpf.abi.types import ProgramType
from tests.malicious.case import ANY, Case, faults, refused, returns
from tests.malicious.pointers import EXIT

TC, RAW, CALL = ProgramType.SCHED_CLS, ProgramType.RAW_TRACEPOINT, ProgramType.SYSCALL
KEY = "r2 = r10; r2 += -4; *(u32 *)(r10 - 4) = 1"
# Behind a map value nobody knows that it is the context; the copy is wiped out, for addresses are no results.
LAUNDER = "r6 = map[out][0] ll; *(u64 *)(r6 + 0) = r1; r7 = *(u64 *)(r6 + 0); *(u64 *)(r6 + 0) = 0"

AT_LOAD = {
    "field moved": f"r1 += 4; r0 = *(u32 *)(r1 + 0); {EXIT}",
    "field moved by a register": f"r2 = 0; r1 += r2; r0 = *(u32 *)(r1 + 0); {EXIT}",
    "field moved and back": f"r1 += 4; r1 += -4; r0 = *(u32 *)(r1 + 0); {EXIT}",
    "context with an operation on it": f"r1 ^= 0; r0 = *(u32 *)(r1 + 0); {EXIT}",
    "behind the context": f"r0 = *(u32 *)(r1 + 24); {EXIT}",
    "far behind the context": f"r0 = *(u32 *)(r1 + 32764); {EXIT}",
    "before the context": f"r0 = *(u32 *)(r1 - 4); {EXIT}",
    "between two fields": f"r0 = *(u32 *)(r1 + 2); {EXIT}",
    "two fields at once": f"r0 = *(u64 *)(r1 + 0); {EXIT}",
    "field written": f"*(u32 *)(r1 + 16) = 1; {EXIT}",
    "context or stack": f"if r1 == 0 goto on; r1 = r10; on: r0 = *(u32 *)(r1 + 0); {EXIT}",
    "context or null": f"r2 = r1; if r2 != 0 goto on; r2 = 0; on: r0 = *(u32 *)(r2 + 0); {EXIT}",
    "spilled, reloaded, moved": f"""
        *(u64 *)(r10 - 8) = r1; r1 = *(u64 *)(r10 - 8); r1 += 1; r0 = *(u8 *)(r1 + 0); {EXIT}""",
    "moved by a function": f"call f; {EXIT}; f: r1 += 8; r0 = *(u32 *)(r1 + 0); exit",
    "moved in a callback": f"""
        r3 = r1; r1 = 1; r2 = func[f] ll; r4 = 0; call bpf_loop; {EXIT}; f: r2 += 8; r0 = *(u32 *)(r2 + 0)
        exit""",
    "load with a sign of a pointer": f"r0 = *(s32 *)(r1 + 0); {EXIT}",
}
DISGUISED = {
    "cut to 32 bits": f"w1 = w1; bad: r0 = *(u32 *)(r1 + 0); {EXIT}",
    "times 2": f"{LAUNDER}; r7 += r7; bad: r0 = *(u32 *)(r7 + 0); {EXIT}",
    "in a map, then behind its end": f"{LAUNDER}; bad: r0 = *(u8 *)(r7 + 4096); {EXIT}",
    "in a map, then before its start": f"{LAUNDER}; bad: r0 = *(u8 *)(r7 - 1); {EXIT}",
    "in a map, then written": f"{LAUNDER}; bad: *(u32 *)(r7 + 0) = 1; {EXIT}",
    "low half through the stack": f"*(u64 *)(r10 - 8) = r1; r1 = *(u32 *)(r10 - 8); bad: r0 = *(u8 *)(r1 + 0); {EXIT}",
    "bytes reversed": f"r1 = be64 r1; {LAUNDER}; bad: r0 = *(u8 *)(r7 + 0); {EXIT}",
    "negated": f"r1 = -r1; {LAUNDER}; bad: r0 = *(u8 *)(r7 + 0); {EXIT}",
}
IN_RUN_BEFORE = {
    "context of the run before, behind the end": f"""
        r7 = map[out][0] ll; r6 = *(u64 *)(r7 + 0); if r6 != 0 goto second; *(u64 *)(r7 + 0) = r1; {EXIT}
        second: *(u64 *)(r7 + 0) = 0; bad: r0 = *(u64 *)(r6 + 4096); {EXIT}""",
}
AS_MEMORY = {
    "context as a key": "r2 = r1; r1 = map[hash] ll; bad: call bpf_map_lookup_elem; exit",
    "context as a value": f"r3 = r1; r1 = map[hash] ll; {KEY}; r4 = 0; bad: call bpf_map_update_elem; exit",
    "context as a record": "r2 = r1; r1 = map[ring] ll; r3 = 8; r4 = 0; bad: call bpf_ringbuf_output; exit",
    "context pushed to a queue": "r2 = r1; r1 = map[queue] ll; r3 = 0; bad: call bpf_map_push_elem; exit",
    "queue popped into the context": "r2 = r1; r1 = map[queue] ll; bad: call bpf_map_pop_elem; exit",
    "name of the task into the context": "r2 = 8; bad: call bpf_get_current_comm; exit",
    "context as the bytes to store": "r3 = r1; r2 = 0; r4 = 8; bad: call bpf_xdp_store_bytes; exit",
    "context as the bytes to fill": "r3 = r1; r2 = 0; r4 = 8; bad: call bpf_xdp_load_bytes; exit",
    "context printed": "r2 = 8; r3 = 0; bad: call bpf_trace_printk; exit",
    "middle of the context as a key": "r2 = r1; r2 += 4; r1 = map[hash] ll; bad: call bpf_map_lookup_elem; exit",
}
AS_CONTEXT = {
    f"{what} instead of the context": f"{change}; r2 = 0; bad: call bpf_xdp_adjust_head; exit"
    for what, change in {
        "null": "r1 = 0",
        "the stack": "r1 = r10",
        "the packet": "r1 = *(u32 *)(r1 + 0)",
        "a map value": "r1 = map[out][0] ll",
        "a map": "r1 = map[hash] ll",
        "the context's middle": "r1 += 8",
        "the context before its start": "r1 += -8",
        "half the context's address": "w1 = w1",
        "a wild number": "r1 = 0x4141414141414141 ll",
        "a neighbour of the context": "r2 = 1; r2 <<= 32; r1 += r2",
    }.items()
}
PLAIN_BOUNDS = {
    "syscall context, behind its end by an index": f"""
        r2 = *(u8 *)(r1 + 0); {LAUNDER}; r7 += r2; bad: *(u8 *)(r7 + 0) = 1; {EXIT}""",
    "syscall context, before its start": f"{LAUNDER}; bad: *(u8 *)(r7 - 1) = 1; {EXIT}",
    "syscall context, across its end": f"{LAUNDER}; bad: *(u64 *)(r7 + 60) = 1; {EXIT}",
    "syscall context as memory, too long": """
        r2 = r1; r1 = map[ring] ll; r3 = 65; r4 = 0; bad: call bpf_ringbuf_output; exit""",
}
FINE = {
    "spilled and reloaded": (64, """
        *(u64 *)(r10 - 8) = r1; r2 = *(u64 *)(r10 - 8); r0 = *(u32 *)(r2 + 4); r1 = *(u32 *)(r2 + 0)
        r0 -= r1; exit"""),
    "passed eight frames down": (64, """
        call a; exit; a: call b; exit; b: call c; exit; c: call d; exit; d: call e; exit; e: call f; exit
        f: call g; exit
        g: r0 = *(u32 *)(r1 + 4); r1 = *(u32 *)(r1 + 0); r0 -= r1; exit"""),
    "passed to a callback": (65, """
        r3 = r1; r9 = r1; r1 = 1; r2 = func[f] ll; r4 = 0; call bpf_loop; r2 = *(u64 *)(r10 - 8); r0 += 64; exit
        f: r0 = *(u32 *)(r2 + 4); r0 = 0; exit"""),
    "copied into a map and read there": (7, f"{LAUNDER}; r0 = *(u8 *)(r7 + 0); r0 = 7; exit"),
    "compared with other pointers": (ANY, "r0 = 0; if r1 > r10 goto on; r0 = 1; on: exit"),
}  # fmt: skip
FINE_CALL = {
    "syscall context as a record": (0, """
        r2 = r1; r1 = map[ring] ll; r3 = 64; r4 = 0; call bpf_ringbuf_output; exit"""),
}  # fmt: skip
ARGUMENTS = {
    "tracepoint arguments written": f"*(u64 *)(r1 + 0) = 1; {EXIT}",
    "tracepoint arguments, moved": "r1 += 8; r0 = *(u64 *)(r1 + 0); exit",
}
SHORT = {"context shorter than what is read": "r0 = *(u64 *)(r1 + 56); exit"}

CASES: list[Case] = [
    *refused(EACCES, AT_LOAD),
    *refused(EACCES, ARGUMENTS, type=RAW, ctx=bytes(16)),
    *refused(EINVAL, SHORT, type=RAW, ctx=bytes(56)),
    *faults("memory", DISGUISED),
    *faults("memory", IN_RUN_BEFORE, repeat=2),
    *faults("helper", AS_MEMORY | AS_CONTEXT),
    *faults("memory", PLAIN_BOUNDS, type=CALL, ctx=bytes([64]) * 64),
    *returns(FINE),
    *returns(FINE_CALL, type=CALL, ctx=bytes(64)),
]
