"""Wild pointers: constants, arithmetic that leaves a region, pointers taken apart and put together again."""

from __future__ import annotations

from tests.malicious.case import Case, faults, returns

SIZES = ("u8", "u16", "u32", "u64")
EXIT = "r0 = 0; exit"
OUT = f"out: {EXIT}"
LOOKUP = """
    *(u32 *)(r10 - 4) = 1; r1 = map[hash] ll; r2 = r10; r2 += -4
    call bpf_map_lookup_elem; if r0 == 0 goto out; r6 = r0"""
PACKET = "r7 = *(u32 *)(r1 + 0); r8 = *(u32 *)(r1 + 4)"

ADDRESSES = {
    "null": 0,
    "null page": 8,
    "last of the null region": 0xFFFFFFFF,
    "all ones": 0xFFFFFFFFFFFFFFFF,
    "sign bit": 1 << 63,
    "kernel half": 0xFFFF888000000000,
    "user half": 0x7FFFFFFFE000,
    "text of a process": 0x555555554000,
    "region that is not there": 77 << 32 | 16,
    "region far away": 0x3FFFFF << 32,
    "number of a region as address": 3,
}
CONSTANTS = {
    **{f"load from {name}": f"r1 = {at:#x} ll; bad: r0 = *(u64 *)(r1 + 0); exit" for name, at in ADDRESSES.items()},
    **{f"store to {name}": f"r1 = {at:#x} ll; bad: *(u64 *)(r1 + 0) = 1; {EXIT}" for name, at in ADDRESSES.items()},
    **{f"null load of {size}": f"r1 = 0; bad: r0 = *({size} *)(r1 + 0); exit" for size in (*SIZES, "s8", "s16", "s32")},
    **{f"null store of {size}": f"r1 = 0; bad: *({size} *)(r1 + 8) = r1; {EXIT}" for size in SIZES},
    **{f"null store of constant {size}": f"r1 = 0; bad: *({size} *)(r1 + 8) = 1; {EXIT}" for size in SIZES},
    **{f"end of all memory as {size}": f"r1 = -1; bad: r0 = *({size} *)(r1 + 0); exit" for size in SIZES},
    "load far behind null": "r1 = 0; bad: r0 = *(u8 *)(r1 + 32767); exit",
    "load far before null": "r1 = 0; bad: r0 = *(u8 *)(r1 - 32767); exit",
    "load far above the stack": "bad: r0 = *(u8 *)(r10 + 32767); exit",
    "load far below the stack": "bad: r0 = *(u8 *)(r10 - 32767); exit",
    "store far behind a map value": f"r1 = map[out][0] ll; bad: *(u8 *)(r1 + 32767) = 1; {EXIT}",
    "store far before a map value": f"r1 = map[out][0] ll; bad: *(u8 *)(r1 - 32767) = 1; {EXIT}",
    "null + offset of a field": f"r1 = 0; r1 += 40; bad: r0 = *(u64 *)(r1 + 8); {EXIT}",
    "offset wraps around to the start": f"r1 = -8; bad: r0 = *(u64 *)(r1 + 16); {EXIT}",
    "register that was never written": "bad: r0 = *(u64 *)(r9 + 0); exit",
}

CHANGES = {
    "times 3": "r6 *= 3",
    "shifted left": "r6 <<= 8",
    "shifted right": "r6 >>= 8",
    "shifted right by 32": "r6 >>= 32",
    "negated": "r6 = -r6",
    "inverted": "r6 ^= -1",
    "truncated to 32 bits": "w6 = w6",
    "low half alone": "r6 = (s32)r6",
    "low byte alone": "r6 = (s8)r6",
    "bytes reversed": "r6 = bswap64 r6",
    "big endian 32": "r6 = be32 r6",
    "high bit flipped": "r1 = 1; r1 <<= 63; r6 ^= r1",
    "bit 40 flipped": "r1 = 1; r1 <<= 40; r6 ^= r1",
    "bit 62 flipped": "r1 = 1; r1 <<= 62; r6 ^= r1",
    "twice": "r6 += r6",
    "plus the stack pointer": "r6 += r10",
    "or the stack pointer, shifted": "r6 |= r10; r6 <<= 1",
    "modulo": "r6 %= 1000",
    "divided": "r6 /= 7",
    "32-bit sum": "w6 += 0",
    "plus 2^31": "r1 = 1; r1 <<= 31; r6 += r1",
    "plus 2^40": "r1 = 1; r1 <<= 40; r6 += r1",
    "minus 2^31": "r1 = 1; r1 <<= 31; r6 -= r1",
    "plus 1, 64 times": "; ".join(["r6 += 1"] * 64),
    "plus 2^20": "r6 += 0x100000",
    "minus 1000": "r6 += -1000",
}
BASES = {"map value": "r6 = map[out][40] ll", "stack": "r6 = r10; r6 += -64", "packet": "r6 = *(u32 *)(r1 + 0)"}
MANGLED = {
    f"{base} {what}": f"{start}; {change}; bad: *(u8 *)(r6 + 0) = 1; {EXIT}"
    for what, change in CHANGES.items()
    for base, start in BASES.items()
    if (base, what) != ("map value", "high bit set")  # where it is set already
}

SPILL = "r6 = map[out][0] ll; *(u64 *)(r10 - 8) = r6"
RELOAD = "r6 = *(u64 *)(r10 - 8)"
STORE = f"bad: *(u8 *)(r6 + 0) = 1; {EXIT}"
THROUGH = "r6 = map[out][0] ll; *(u64 *)(r6 + 8) = r10; r7 = *(u64 *)(r6 + 8); *(u64 *)(r6 + 8) = 0"
IN_MEMORY = {
    "spilled, a byte of the region number changed": f"{SPILL}; *(u8 *)(r10 - 3) = 9; {RELOAD}; {STORE}",
    "spilled, the offset made large": f"{SPILL}; *(u32 *)(r10 - 8) = 64; {RELOAD}; {STORE}",
    "low half of a spilled pointer": f"{SPILL}; r6 = *(u32 *)(r10 - 8); {STORE}",
    "high half of a spilled pointer": f"{SPILL}; r6 = *(u32 *)(r10 - 4); {STORE}",
    "read across the edge of a spilled pointer": f"{SPILL}; r6 = *(u64 *)(r10 - 12); {STORE}",
    "atomic addition to a spilled pointer": f"{SPILL}; r1 = 64; lock *(u64 *)(r10 - 8) += r1; {RELOAD}; {STORE}",
    "what an exchange left of a pointer": f"{SPILL}; r1 = 0; r1 = xchg_64(r10 - 8, r1); {RELOAD}; {STORE}",
    "stack pointer through a map, above the frame": f"{THROUGH}; bad: *(u8 *)(r7 + 0) = 9; {EXIT}",
    "stack pointer through a map, below the frame": f"{THROUGH}; bad: *(u64 *)(r7 - 513) = r7; {EXIT}",
    "map value's address through the packet": f"""
        {PACKET}; r6 = map[out][0] ll; *(u64 *)(r7 + 3) = r6; r6 = *(u64 *)(r7 + 3); *(u64 *)(r7 + 3) = 0
        bad: r0 = *(u16 *)(r6 + 63); exit""",
    "pointer that a helper overwrote": f"""
        {SPILL}; r1 = map[ro][0] ll; r2 = 8; r3 = 0; r4 = r10; r4 += -8; call bpf_strtol; {RELOAD}; {STORE}""",
    "pointer that a callee moved in memory": f"""
        {SPILL}; r1 = r10; r1 += -8; call spoil; {RELOAD}; {STORE}
        spoil: r2 = *(u64 *)(r1 + 0); r2 += 64; *(u64 *)(r1 + 0) = r2; {EXIT}""",
}

# Where two paths meet, an engine that knows where a pointer comes from does not know it any more.
VALUE_OR_STACK = "r6 = map[out][0] ll; if r2 == 0 goto on; r6 = r10; r6 += -64; on: "
PACKET_OR_VALUE = f"{PACKET}; if r2 == 0 goto on; r7 = map[out][0] ll; on: "
NULL_OR_STACK = "r6 = 0; if r2 == 0 goto on; r6 = r10; on: "
MERGED = {
    f"{name}, path {path}": f"r2 = {path}; {text}; {EXIT}"
    for path in (0, 1)
    for name, text in {
        "value or stack, behind the end": f"{VALUE_OR_STACK} bad: *(u8 *)(r6 + 64) = 1",
        "value or stack, across the end": f"{VALUE_OR_STACK} *(u8 *)(r6 + 0) = 1; bad: r0 = *(u64 *)(r6 + 57)",
        "packet or value, across the end": f"{PACKET_OR_VALUE} bad: r0 = *(u32 *)(r7 + 61)",
        "null or stack, below": f"{NULL_OR_STACK} bad: r0 = *(u8 *)(r6 - 600)",
    }.items()
}
WALKS = {
    "walk out of a map value": f"""
        r6 = map[out][0] ll; r7 = 0
        bad: *(u8 *)(r6 + 0) = 1; r6 += 8; r7 += 1; if r7 < 9 goto bad; {EXIT}""",
    "walk out of a map value backwards": f"""
        r6 = map[out][0] ll; r6 += 56; r7 = 9
        bad: *(u8 *)(r6 + 0) = 1; r6 += -8; r7 += -1; if r7 != 0 goto bad; {EXIT}""",
}
ENDLESS_WALKS = {
    "walk down the stack": "r6 = r10; bad: *(u8 *)(r6 - 8) = 1; r6 += -8; goto bad",
    "walk through the packet": f"{PACKET}; bad: r0 = *(u8 *)(r7 + 0); r7 += 1; goto bad",
}

OBJECTS = {
    "load from a map object": "r1 = map[hash] ll; bad: r0 = *(u64 *)(r1 + 0); exit",
    "store to a map object": f"r1 = map[hash] ll; bad: *(u32 *)(r1 + 0) = 1; {EXIT}",
    "load from a function": "r1 = func[f] ll; bad: r0 = *(u64 *)(r1 + 0); exit; f: r0 = 0; exit",
    "store to a function": f"r1 = func[f] ll; bad: *(u64 *)(r1 + 0) = 1; {EXIT}; f: r0 = 0; exit",
    "write into a read-only map": f"r1 = map[ro][0] ll; bad: *(u8 *)(r1 + 0) = 1; {EXIT}",
    "read from a write-only map": "r1 = map[wo][0] ll; bad: r0 = *(u8 *)(r1 + 0); exit",
    "value that was not found": """
        *(u32 *)(r10 - 4) = 99; r1 = map[hash] ll; r2 = r10; r2 += -4
        call bpf_map_lookup_elem; bad: r0 = *(u8 *)(r0 + 0); exit""",
    **{
        f"{size} across the end of a looked-up value": f"""
            {LOOKUP}; bad: *({size} *)(r6 + {17 - bytes_}) = 1; out: {EXIT}"""
        for size, bytes_ in zip(SIZES, (1, 2, 4, 8), strict=True)
    },
    **{f"{size} before a looked-up value": f"{LOOKUP}; bad: r0 = *({size} *)(r6 - 1); out: {EXIT}" for size in SIZES},
    **{
        f"map value indexed by {index}": f"""
        {PACKET}; *(u32 *)(r7 + 0) = {index}; r2 = *(s32 *)(r7 + 0)
        r1 = map[out][0] ll; r1 += r2; bad: *(u8 *)(r1 + 0) = 1; {EXIT}"""
        for index in (64, 1 << 20, 0x7FFFFFFF, -1, -64)
    },
}
HARMLESS = {
    "spilled and reloaded is still good": (5, f"{SPILL}; {RELOAD}; *(u8 *)(r6 + 9) = 5; r0 = *(u8 *)(r6 + 9); exit"),
    "exchanged into memory and out": (0, f"{SPILL}; r1 = 0; r1 = xchg_64(r10 - 8, r1); *(u8 *)(r1 + 63) = 7; {EXIT}"),
    "stack pointer through a map": (9, f"{THROUGH}; *(u8 *)(r7 - 1) = 9; r0 = *(u8 *)(r10 - 1); exit"),
    "there and back again": (0, f"r6 = map[out][0] ll; r6 += 4096; r6 -= 4096; *(u8 *)(r6 + 0) = 3; {EXIT}"),
    "far offset, near base": (3, "r6 = r10; r6 += -20000; *(u8 *)(r6 + 19999) = 3; r0 = *(u8 *)(r10 - 1); exit"),
    "write into a write-only map": (0, f"r1 = map[wo][0] ll; *(u8 *)(r1 + 0) = 1; {EXIT}"),
    "value or stack, last bytes of the value": (3, f"r2 = 0; {VALUE_OR_STACK} *(u64 *)(r6 + 56) = 3; r0 = 3; exit"),
    "value or stack, last bytes of the stack": (3, f"r2 = 1; {VALUE_OR_STACK} *(u64 *)(r6 + 56) = 3; r0 = 3; exit"),
    "last bytes of a looked-up value": (0, f"{LOOKUP}; *(u64 *)(r6 + 8) = 1; *(u8 *)(r6 + 15) = 2; out: {EXIT}"),
}

CASES: list[Case] = [
    *faults("memory", CONSTANTS | MANGLED | IN_MEMORY | MERGED | OBJECTS | ENDLESS_WALKS),
    *faults("memory", WALKS, out=(b"\1" + bytes(7)) * 8),
    *returns(HARMLESS),
]
