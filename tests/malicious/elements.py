"""Elements of maps: neighbours, padding, the wrong map, the wrong key, results that nobody looked at."""

from __future__ import annotations

from tests.malicious.case import Case, faults, returns
from tests.malicious.pointers import EXIT, OUT


def _find(name: str, key: int = 1, register: str = "r6") -> str:
    return f"""
        *(u32 *)(r10 - 4) = {key}; r1 = map[{name}] ll; r2 = r10; r2 += -4
        call bpf_map_lookup_elem; if r0 == 0 goto out; {register} = r0"""


ODD_KEY = """
    *(u32 *)(r10 - 4) = 0x79656b; r1 = map[oddhash] ll; r2 = r10; r2 += -4
    call bpf_map_lookup_elem; if r0 == 0 goto out; r6 = r0"""
SIZES = {"array": 16, "odd": 13, "percpu": 16}
NEIGHBOURS = {
    name: text
    for map_, size in SIZES.items()
    for name, text in {
        f"next element of {map_}": f"{_find(map_)}; bad: r0 = *(u8 *)(r6 + {size}); {OUT}",
        f"element of {map_} before": f"{_find(map_)}; bad: r0 = *(u8 *)(r6 - 1); {OUT}",
        f"across the end of an element of {map_}": f"{_find(map_)}; bad: *(u32 *)(r6 + {size - 3}) = 1; {OUT}",
        f"two elements of {map_} at once": f"{_find(map_)}; bad: *(u64 *)(r6 + {size - 1}) = r6; {OUT}",
        f"behind the last element of {map_}": f"""
            {_find(map_, 2 if map_ != "percpu" else 1)}; r6 += {size}; bad: *(u8 *)(r6 + 0) = 1; {OUT}""",
        f"far behind an element of {map_}": f"{_find(map_)}; r6 += 4096; bad: *(u8 *)(r6 + 0) = 1; {OUT}",
        f"index into an element of {map_}": f"""
            r7 = *(u32 *)(r1 + 0); r7 = *(u8 *)(r7 + 17); {_find(map_)}; r6 += r7; bad: *(u8 *)(r6 + 0) = 1; {OUT}""",
        f"negative index into an element of {map_}": f"""
            r7 = *(u32 *)(r1 + 0); r7 = *(u8 *)(r7 + 1); r7 = -r7; {_find(map_)}; r6 += r7
            bad: r0 = *(u8 *)(r6 + 0); {OUT}""",
    }.items()
}
PADDING = {
    "padding of an element of 13 bytes": f"{_find('odd')}; bad: *(u8 *)(r6 + 15) = 1; {OUT}",
    "padding of a value of 5 bytes": f"{ODD_KEY}; bad: *(u8 *)(r6 + 5) = 1; {OUT}",
    "8 bytes of a value of 5": f"{ODD_KEY}; bad: r0 = *(u64 *)(r6 + 0); {OUT}",
    "key before a value": f"{ODD_KEY}; bad: *(u8 *)(r6 - 3) = 1; {OUT}",
    "what is far before a value": f"{ODD_KEY}; bad: *(u64 *)(r6 - 16) = 0; {OUT}",
    "element of the copy of another CPU": f"{_find('percpu')}; bad: *(u8 *)(r6 + 16) = 1; {OUT}",
}
UNCHECKED = {
    f"{what} of an element of {map_} that is not there": f"""
        *(u32 *)(r10 - 4) = 77; r1 = map[{map_}] ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem; bad: {use}; {EXIT}"""
    for map_ in ("array", "hash", "percpu", "pchash", "lru")
    for what, use in {
        "load": "r0 = *(u8 *)(r0 + 8)",
        "store": "*(u64 *)(r0 + 0) = 1",
        "atomic addition": "lock *(u64 *)(r0 + 8) += r10",
    }.items()
}
BEYOND_NULL = {
    "element that is not there, plus its number": f"""
        *(u32 *)(r10 - 4) = 77; r1 = map[hash] ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem
        r1 = 1; r1 <<= 62; r0 += r1; bad: r0 = *(u8 *)(r0 + 0); {EXIT}""",
    "element that is not there, checked the wrong way round": f"""
        *(u32 *)(r10 - 4) = 77; r1 = map[array] ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem
        if r0 != 0 goto out; bad: *(u8 *)(r0 + 0) = 1; {OUT}""",
    "element that is not there, checked by its low half": f"""
        {_find("hash")}; r7 = r6; r7 >>= 32; w6 = w6; if r7 == 0 goto out; bad: *(u8 *)(r6 + 0) = 1; {OUT}""",
    "element or null, merged": f"""
        {_find("hash")}; r2 = *(u8 *)(r6 + 0); if r2 != 0x6f goto on; r6 = 0; on: bad: *(u8 *)(r6 + 0) = 1; {OUT}""",
    "element of one map or another, behind the smaller": f"""
        {_find("array")}; r7 = *(u32 *)(r6 + 0); {_find("odd")}; r8 = r6; {_find("array")}; if r7 != 0 goto on; r6 = r8
        on: bad: *(u8 *)(r6 + 13) = 1; {OUT}""",
    "map chosen by a number, behind the smaller's element": f"""
        r3 = *(u32 *)(r1 + 0); r3 = *(u8 *)(r3 + 0); *(u32 *)(r10 - 4) = 1; r2 = r10; r2 += -4; r1 = map[odd] ll
        if r3 == 0 goto on; r1 = map[array] ll; on: call bpf_map_lookup_elem; if r0 == 0 goto out
        bad: *(u8 *)(r0 + 13) = 1; {OUT}""",
    "element spilled, another found, the first used behind its end": f"""
        {_find("odd")}; *(u64 *)(r10 - 16) = r6; {_find("array", 2)}; r6 = *(u64 *)(r10 - 16); bad: *(u8 *)(r6 + 13) = 1
        {OUT}""",
}
KEYS = {
    "key that is half below the stack": "r1 = map[hash] ll; r2 = r10; r2 += -514; bad: call bpf_map_lookup_elem; exit",
    "key of 3 bytes at the end of the stack, one too far": """
        r1 = map[oddhash] ll; r2 = r10; r2 += -2; bad: call bpf_map_lookup_elem; exit""",
    "key in the frame of the caller, too far up": f"""
        r1 = r10; call f; {EXIT}; f: r2 = r1; r2 += -3; r1 = map[array] ll; bad: call bpf_map_lookup_elem; exit""",
    "key at an index that leaves the stack": """
        r3 = *(u32 *)(r1 + 0); r3 = *(u8 *)(r3 + 6); r1 = map[array] ll; r2 = r10; r2 += -8; r2 += r3
        bad: call bpf_map_lookup_elem; exit""",
    "key in an element that ends before it": f"""
        {_find("odd")}; r1 = map[array] ll; r2 = r6; r2 += 10; bad: call bpf_map_lookup_elem; {OUT}""",
    "key in the padding of an element": f"""
        {_find("odd")}; r1 = map[oddhash] ll; r2 = r6; r2 += 13; bad: call bpf_map_lookup_elem; {OUT}""",
}
FINE = {
    "last byte of an element of 13": (0, f"{_find('odd')}; *(u8 *)(r6 + 12) = 5; {OUT}"),
    "last 8 bytes of an element of 13": (0, f"{_find('odd', 2)}; *(u64 *)(r6 + 5) = -1; {OUT}"),
    "last byte of a value of 5": (0x65, f"{ODD_KEY}; r0 = *(u8 *)(r6 + 4); exit; {OUT}"),
    "same element twice": (7, f"""
        {_find('array')}; *(u32 *)(r6 + 0) = 7; {_find('array', 1, 'r7')}; r0 = *(u32 *)(r7 + 0); exit
        {OUT}"""),
    "key of 4 bytes where only 3 count": (0x76, f"""
        {ODD_KEY.replace('0x79656b', '0xff79656b')}; r0 = *(u8 *)(r6 + 0); exit; {OUT}"""),
    "key that was never written": (0, """
        r1 = map[array] ll; r2 = r10; r2 += -100; call bpf_map_lookup_elem; r0 = *(u32 *)(r0 + 0); exit"""),
    "all elements in turn": (10, """
        r7 = 0; r8 = 0; again: *(u32 *)(r10 - 4) = r7; r1 = map[array] ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem
        if r0 == 0 goto done; r7 += 1; *(u64 *)(r0 + 8) = r7; r1 = *(u64 *)(r0 + 8); r8 += r1; goto again
        done: r0 = r8; exit"""),
    "map chosen by a number": (0, f"""
        r3 = *(u32 *)(r1 + 0); r3 = *(u8 *)(r3 + 0); *(u32 *)(r10 - 4) = 1; r2 = r10; r2 += -4; r1 = map[odd] ll
        if r3 == 0 goto on; r1 = map[array] ll; on: call bpf_map_lookup_elem; if r0 == 0 goto out
        *(u8 *)(r0 + 12) = 1; {OUT}"""),
}  # fmt: skip

CASES: list[Case] = [*faults("memory", NEIGHBOURS | PADDING | UNCHECKED | BEYOND_NULL | KEYS), *returns(FINE)]
