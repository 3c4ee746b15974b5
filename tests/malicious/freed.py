"""Map values after they were deleted, replaced or evicted: readable until the run ends, and nobody else's memory."""

from __future__ import annotations

from tests.malicious.case import Case, faults, returns
from tests.malicious.pointers import EXIT


def _key(name: str, key: int) -> str:
    return f"*(u32 *)(r10 - 4) = {key}; r1 = map[{name}] ll; r2 = r10; r2 += -4"


def _find(name: str, key: int, register: str = "r6") -> str:
    return f"{_key(name, key)}; call bpf_map_lookup_elem; if r0 == 0 goto out; {register} = r0"


def _delete(name: str, key: int) -> str:
    return f"{_key(name, key)}; call bpf_map_delete_elem"


def _update(name: str, key: int, value: int) -> str:
    return f"""
        *(u64 *)(r10 - 24) = {value}; *(u64 *)(r10 - 16) = 0; {_key(name, key)}
        r3 = r10; r3 += -24; r4 = 0; call bpf_map_update_elem"""


ONE = int.from_bytes(b"one\0", "little")
FILL = "; ".join(_update("hash", key, 70 + key) for key in range(3, 7))
STALE = {
    "deleted, then read": (ONE, f"{_find('hash', 1)}; {_delete('hash', 1)}; r0 = *(u32 *)(r6 + 0); exit; out: {EXIT}"),
    "deleted, then written": (7, f"""
        {_find('hash', 1)}; {_delete('hash', 1)}; *(u32 *)(r6 + 0) = 7; r0 = *(u32 *)(r6 + 0); exit
        out: {EXIT}"""),
    "deleted, then not found": (0, f"""
        {_find('hash', 1)}; {_delete('hash', 1)}; {_key('hash', 1)}; call bpf_map_lookup_elem
        if r0 == 0 goto out; r0 = 1; exit; out: {EXIT}"""),
    "deleted twice": (0xFFFFFFFE, f"{_delete('hash', 1)}; {_delete('hash', 1)}; exit"),
    "deleted, made again, old one written": (9, f"""
        {_find('hash', 1)}; {_delete('hash', 1)}; {_update('hash', 1, 9)}; *(u32 *)(r6 + 0) = 7
        {_find('hash', 1, 'r7')}; r0 = *(u32 *)(r7 + 0); exit; out: {EXIT}"""),
    "deleted, others made in its place": (ONE, f"""
        {_find('hash', 1)}; {_delete('hash', 1)}; {FILL}; r0 = *(u32 *)(r6 + 0); exit; out: {EXIT}"""),
    "deleted, others made, old one written": (2, f"""
        {_find('hash', 1)}; {_delete('hash', 1)}; {FILL}; *(u64 *)(r6 + 0) = -1; *(u64 *)(r6 + 8) = -1
        {_find('hash', 3, 'r7')}; r0 = *(u32 *)(r7 + 0); r0 -= 71; exit; out: {EXIT}"""),
    "evicted from an LRU hash, then read": (ONE, f"""
        {_find('lru', 1)}; {_find('lru', 2, 'r7')}; {_update('lru', 3, 5)}; {_update('lru', 4, 5)}
        {_update('lru', 5, 5)}; r0 = *(u32 *)(r6 + 0); exit; out: {EXIT}"""),
    "deleted from an LRU hash, then written": (0, f"""
        {_find('lru', 1)}; {_delete('lru', 1)}; *(u64 *)(r6 + 8) = 7; {_update('lru', 9, 5)}; {EXIT}
        out: {EXIT}"""),
    "deleted per-CPU value": (0, f"""
        {_update('pchash', 1, 5)}; {_find('pchash', 1)}; {_delete('pchash', 1)}; r0 = *(u32 *)(r6 + 0)
        r0 -= 5; exit; out: {EXIT}"""),
    "array element that can't be deleted": (0xFFFFFFEA, f"{_delete('array', 1)}; exit"),
    "atomic addition to a deleted value": (0, f"""
        {_find('hash', 1)}; {_delete('hash', 1)}; r1 = 1; lock *(u64 *)(r6 + 8) += r1; {EXIT}; out: {EXIT}"""),
    "deleted value as the key of another map": (0, f"""
        {_find('hash', 1)}; {_delete('hash', 1)}; r1 = map[lru] ll; r2 = r6; call bpf_map_lookup_elem
        if r0 == 0 goto out; r0 = 1; exit; out: {EXIT}"""),
    "deleted value as the new value of its own map": (ONE, f"""
        {_find('hash', 1)}; {_delete('hash', 1)}; {_key('hash', 8)}; r3 = r6; r4 = 0
        call bpf_map_update_elem; {_find('hash', 8, 'r7')}; r0 = *(u32 *)(r7 + 0); exit; out: {EXIT}"""),
    "deleted value as a record": (0, f"""
        {_find('hash', 1)}; {_delete('hash', 1)}; r1 = map[ring] ll; r2 = r6; r3 = 16; r4 = 0
        call bpf_ringbuf_output; exit; out: {EXIT}"""),
    "every element deleted by the callback that sees it": (2, f"""
        r1 = map[hash] ll; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_for_each_map_elem; exit
        f: r6 = r3; r2 = *(u32 *)(r2 + 0); *(u32 *)(r10 - 4) = r2; r1 = map[hash] ll; r2 = r10; r2 += -4
        call bpf_map_delete_elem; *(u64 *)(r6 + 0) = 7; {EXIT}"""),
    "elements made by the callback that walks them": (2, f"""
        r1 = map[hash] ll; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_for_each_map_elem; exit
        f: {_update('hash', 77, 1)}; {EXIT}"""),
    "value given to a callback, used after it": (ONE, """
        r1 = map[hash] ll; r2 = func[f] ll; r3 = r10; r3 += -8; r4 = 0; call bpf_for_each_map_elem
        r6 = *(u64 *)(r10 - 8); r0 = *(u32 *)(r6 + 0); exit
        f: *(u64 *)(r4 + 0) = r3; r0 = 1; exit"""),
    "inner map, used after another look-up": (0, f"""
        {_find('outer', 0)}; *(u32 *)(r10 - 4) = 1; r1 = r6; r2 = r10; r2 += -4; call bpf_map_lookup_elem
        if r0 == 0 goto out; r0 = *(u32 *)(r0 + 0); exit; out: r0 = 9; exit"""),
    "thousand look-ups and deletions": (1000, f"""
        r7 = 0; again: {_update('hash', 5, 3)}; {_find('hash', 5)}; {_delete('hash', 5)}; *(u64 *)(r6 + 8) = 1; r7 += 1
        if r7 != 1000 goto again; out: r0 = r7; exit"""),
}  # fmt: skip
BOUNDS = {
    "behind a deleted value": f"{_find('hash', 1)}; {_delete('hash', 1)}; bad: *(u8 *)(r6 + 16) = 1; out: {EXIT}",
    "before a deleted value": f"{_find('hash', 1)}; {_delete('hash', 1)}; bad: r0 = *(u8 *)(r6 - 1); out: {EXIT}",
    "across the end of an evicted value": f"""
        {_find("lru", 1)}; {_update("lru", 3, 5)}; {_update("lru", 4, 5)}; {_update("lru", 5, 5)}
        bad: r0 = *(u64 *)(r6 + 9); out: {EXIT}""",
    "key of a callback, used after it": f"""
        r1 = map[hash] ll; r2 = func[f] ll; r3 = r10; r3 += -8; r4 = 0; call bpf_for_each_map_elem
        r6 = *(u64 *)(r10 - 8); bad: r0 = *(u32 *)(r6 + 0); exit
        f: *(u64 *)(r4 + 0) = r2; {EXIT}""",
    "key of a callback, written": f"""
        r1 = map[hash] ll; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_for_each_map_elem; exit
        f: bad: *(u32 *)(r2 + 0) = 1; {EXIT}""",
    "inner map as memory": f"{_find('outer', 0)}; bad: r0 = *(u32 *)(r6 + 0); exit; out: {EXIT}",
}
# The first run leaves an address in a map, the second one finds it. That of a value in native storage is the same in
# all runs, but leads nowhere else than to that value; all others mean nothing there.
NEXT_RUN = {
    "value of the run before, behind the end": f"""
        r7 = map[out][0] ll; r6 = *(u64 *)(r7 + 0); if r6 != 0 goto second
        {_find("hash", 1)}; {_find("hash", 2, "r8")}; *(u64 *)(r7 + 0) = r8; {EXIT}
        second: *(u64 *)(r7 + 0) = 0; bad: r0 = *(u32 *)(r6 + 16); out: {EXIT}""",
    "deleted value of the run before, before the start": f"""
        r7 = map[out][0] ll; r6 = *(u64 *)(r7 + 0); if r6 != 0 goto second
        {_find("hash", 1)}; {_find("hash", 2, "r8")}; *(u64 *)(r7 + 0) = r8; {_delete("hash", 2)}; {EXIT}
        second: *(u64 *)(r7 + 0) = 0; bad: *(u32 *)(r6 - 4) = 1; out: {EXIT}""",
    "record of the run before": f"""
        r7 = map[out][0] ll; r6 = *(u64 *)(r7 + 0); if r6 != 0 goto second
        r1 = map[ring] ll; r2 = 16; r3 = 0; call bpf_ringbuf_reserve; if r0 == 0 goto out
        *(u64 *)(r7 + 0) = r0; r1 = r0; r2 = 0; call bpf_ringbuf_discard; {EXIT}
        second: *(u64 *)(r7 + 0) = 0; bad: *(u32 *)(r6 + 0) = 1; out: {EXIT}""",
}

CASES: list[Case] = [*returns(STALE, budget=60_000), *faults("memory", BOUNDS), *faults("memory", NEXT_RUN, repeat=2)]
