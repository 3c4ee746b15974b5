"""The stack smashed: below and above the frame, through helpers, into the frames of others and of functions gone."""

from __future__ import annotations

from tests.malicious.case import Case, faults, returns
from tests.malicious.pointers import EXIT

WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
FROM_PACKET = "r2 = *(u32 *)(r1 + 0); r2 = *(u8 *)(r2 + 5); r3 = r10"  # r2 = 5, which nobody can know

EDGES = {
    name: text
    for size, width in WIDTHS.items()
    for name, text in {
        f"load of {size} below the frame": f"bad: r0 = *({size} *)(r10 - {512 + width}); exit",
        f"load of {size} across the lower end": f"bad: r0 = *({size} *)(r10 - {512 + 1}); exit",
        f"load of {size} at r10": f"bad: r0 = *({size} *)(r10 + 0); exit",
        f"load of {size} across r10": f"bad: r0 = *({size} *)(r10 - {width - 1}); exit",
        f"store of {size} below the frame": f"bad: *({size} *)(r10 - {512 + width}) = 1; {EXIT}",
        f"store of {size} at r10": f"bad: *({size} *)(r10 + 0) = r1; {EXIT}",
        f"store of {size} across r10": f"bad: *({size} *)(r10 - {width - 1}) = 1; {EXIT}",
    }.items()
}
del EDGES["load of u8 across r10"], EDGES["store of u8 across r10"]  # these are at r10
VARIABLE = {
    "index below the frame": f"{FROM_PACKET}; r2 *= 103; r3 -= r2; bad: *(u8 *)(r3 + 0) = 1; {EXIT}",
    "index above the frame": f"{FROM_PACKET}; r3 += r2; bad: *(u8 *)(r3 - 5) = 1; {EXIT}",
    "index up to the end, access across it": f"{FROM_PACKET}; r3 -= r2; bad: *(u64 *)(r3 + 0) = r2; {EXIT}",
    "negative index": f"{FROM_PACKET}; r2 = -r2; r2 <<= 8; r3 += r2; bad: r0 = *(u8 *)(r3 + 0); exit",
    "index of 32 bits": f"{FROM_PACKET}; r2 <<= 29; r3 += r2; bad: r0 = *(u8 *)(r3 - 8); exit",
    "large constant added": f"r3 = r10; r3 += 0x7fffffff; bad: *(u8 *)(r3 + 0) = 1; {EXIT}",
    "moved down twice": f"r3 = r10; r3 += -300; r3 += -300; bad: *(u8 *)(r3 + 0) = 1; {EXIT}",
    "moved down in a loop": f"""
        r3 = r10; r4 = 0; bad: *(u64 *)(r3 - 8) = r4; r3 += -8; r4 += 1; if r4 < 66 goto bad; {EXIT}""",
    "copied by a loop upwards": f"""
        r3 = r10; r3 += -64; r4 = 0; bad: *(u8 *)(r3 + 0) = r4; r3 += 1; if r4 != 9 goto bad; {EXIT}""",
}
BY_HELPERS = {
    "key above the stack": "r1 = map[hash] ll; r2 = r10; bad: call bpf_map_lookup_elem; exit",
    "key across the end": "r1 = map[hash] ll; r2 = r10; r2 += -3; bad: call bpf_map_lookup_elem; exit",
    "key below the stack": "r1 = map[hash] ll; r2 = r10; r2 += -516; bad: call bpf_map_delete_elem; exit",
    "value across the end": f"""
        r1 = map[hash] ll; r2 = r10; r2 += -64; r3 = r10; r3 += -15; r4 = 0
        bad: call bpf_map_update_elem; {EXIT}""",
    "record longer than the stack": """
        r1 = map[ring] ll; r2 = r10; r2 += -512; r3 = 513; r4 = 0; bad: call bpf_ringbuf_output; exit""",
    "record above the stack": """
        r1 = map[ring] ll; r2 = r10; r2 += -8; r3 = 16; r4 = 0; bad: call bpf_ringbuf_output; exit""",
    "name written across the end": "r1 = r10; r1 += -4; r2 = 16; bad: call bpf_get_current_comm; exit",
    "popped value written above the stack": "r1 = map[queue] ll; r2 = r10; r2 += -4; bad: call bpf_map_pop_elem; exit",
    "packet bytes written below the stack": "r2 = 0; r3 = r10; r3 += -520; r4 = 16; bad: call bpf_xdp_load_bytes; exit",
    "number written across the end": """
        r1 = map[ro][0] ll; r2 = 8; r3 = 0; r4 = r10; r4 += -7; bad: call bpf_strtol; exit""",
}
OTHER_FRAMES = {
    "callee writes above its caller's frame": f"r1 = r10; call f; {EXIT}; f: bad: *(u64 *)(r1 + 0) = 1; {EXIT}",
    "callee writes below its caller's frame": f"r1 = r10; call f; {EXIT}; f: bad: *(u64 *)(r1 - 520) = 1; {EXIT}",
    "callee reaches for its caller from its own frame": f"call f; {EXIT}; f: bad: *(u64 *)(r10 + 8) = 1; {EXIT}",
    "callee reaches for where return addresses are": "call f; exit; f: bad: r0 = *(u64 *)(r10 + 0); exit",
    "caller reaches for its callee's frame": f"call f; bad: r0 = *(u64 *)(r10 - 520); exit; f: {EXIT}",
    "pointer to the frame of a function gone": "call f; bad: r0 = *(u64 *)(r0 - 8); exit; f: r0 = r10; exit",
    "store into the frame of a function gone": f"call f; bad: *(u8 *)(r0 - 8) = 1; {EXIT}; f: r0 = r10; exit",
    "frame of a function gone, through the caller's stack": f"""
        r1 = r10; r1 += -8; call f; r1 = *(u64 *)(r10 - 8); bad: *(u8 *)(r1 - 1) = 1; {EXIT}
        f: *(u64 *)(r1 + 0) = r10; {EXIT}""",
    "frame of a function gone, through a map": f"""
        call f; r1 = map[out][0] ll; r2 = *(u64 *)(r1 + 0); *(u64 *)(r1 + 0) = 0; bad: r0 = *(u8 *)(r2 - 1); exit
        f: r1 = map[out][0] ll; *(u64 *)(r1 + 0) = r10; {EXIT}""",
    "frame of a function gone, while another has its place": """
        call f; r1 = r0; call g; exit; f: r0 = r10; exit; g: *(u64 *)(r10 - 8) = 7; bad: r0 = *(u64 *)(r1 - 8); exit""",
    "frame of a callback gone": f"""
        r1 = 2; r2 = func[f] ll; r3 = r10; r3 += -8; r4 = 0; call bpf_loop
        r1 = *(u64 *)(r10 - 8); bad: r0 = *(u8 *)(r1 - 1); exit
        f: *(u64 *)(r2 + 0) = r10; {EXIT}""",
    "frame that the last call of a callback had": f"""
        r1 = 2; r2 = func[f] ll; r3 = r10; r3 += -8; r4 = 0; *(u64 *)(r10 - 8) = 0; call bpf_loop; {EXIT}
        f: r3 = *(u64 *)(r2 + 0); if r3 == 0 goto first; bad: *(u8 *)(r3 - 1) = 1
        first: *(u64 *)(r2 + 0) = r10; {EXIT}""",
    "callback writes above the frame it was given": f"""
        r1 = 1; r2 = func[f] ll; r3 = r10; r4 = 0; call bpf_loop; {EXIT}
        f: *(u64 *)(r2 - 8) = 3; bad: *(u64 *)(r2 + 0) = 3; {EXIT}""",
    "key of a helper in the frame of a function gone": """
        call f; r2 = r0; r1 = map[hash] ll; bad: call bpf_map_lookup_elem; exit; f: r0 = r10; r0 += -4; exit""",
}
AFTER_TAIL_CALL = {
    "stack of the program before the tail call": f"""
        r6 = map[out][0] ll; *(u64 *)(r6 + 0) = r10; r2 = map[progs] ll; r3 = 0; call bpf_tail_call; {EXIT}""",
}
AFTERWARDS = f"""
    r7 = map[out][0] ll; r6 = *(u64 *)(r7 + 0); *(u64 *)(r7 + 0) = 0; bad: *(u8 *)(r6 - 1) = 1; {EXIT}"""
ACROSS = {
    "u64 in the middle of two": (0x0102_0304, """
        *(u32 *)(r10 - 8) = 0x03040506; *(u32 *)(r10 - 4) = 0x0102; r0 = *(u64 *)(r10 - 8); r0 >>= 16; exit"""),
    "whole frame is there": (2, "*(u8 *)(r10 - 512) = 1; *(u8 *)(r10 - 1) = 1; r0 = *(u8 *)(r10 - 512); r0 += 1; exit"),
    "frame begins with zeros": (0, """
        r1 = 1; call f; call g; exit; f: *(u64 *)(r10 - 8) = r1; r0 = 1; exit; g: r0 = *(u64 *)(r10 - 8)
        exit"""),
    "frame begins with zeros, in a callback": (0, f"""
        r1 = 2; r2 = func[f] ll; r3 = r10; r3 += -8; r4 = 0; call bpf_loop; r0 = *(u64 *)(r10 - 8); exit
        f: r3 = *(u64 *)(r10 - 16); *(u64 *)(r2 + 0) = r3; *(u64 *)(r10 - 16) = 9; {EXIT}"""),
    "callee can't change r10": (7, f"""
        *(u8 *)(r10 - 1) = 7; call f; r0 = *(u8 *)(r10 - 1); exit; f: *(u8 *)(r10 - 1) = 8; {EXIT}"""),
    "callee writes within its caller's frame": (9, f"""
        r1 = r10; r1 += -8; call f; r0 = *(u64 *)(r10 - 8); exit; f: *(u64 *)(r1 + 0) = 9; {EXIT}"""),
    "callee five frames down writes into the first": (5, f"""
        r1 = r10; call a; r0 = *(u8 *)(r10 - 1); exit; a: call b; {EXIT}; b: call c; {EXIT}; c: call d; {EXIT}
        d: *(u8 *)(r1 - 1) = 5; {EXIT}"""),
}  # fmt: skip

CASES: list[Case] = [
    *faults("memory", EDGES | VARIABLE | BY_HELPERS | OTHER_FRAMES),
    *faults("memory", AFTER_TAIL_CALL, slots={0: AFTERWARDS}),
    *returns(ACROSS),
]
