"""Atomic operations that are misaligned, out of bounds, or on memory that may not be written."""

from __future__ import annotations

from ebpf.abi.linux import EACCES, EINVAL
from ebpf.abi.types import ProgramType
from tests.malicious.case import Case, faults, refused, returns
from tests.malicious.pointers import EXIT

# Name → text for a size: `{p}` is the address.
OPERATIONS = {
    "add": "lock *({u} *)({p}) += {r}2",
    "or": "lock *({u} *)({p}) |= {r}2",
    "and": "lock *({u} *)({p}) &= {r}2",
    "xor": "lock *({u} *)({p}) ^= {r}2",
    "fetch_add": "{r}2 = atomic_fetch_add(({u} *)({p}), {r}2)",
    "fetch_or": "{r}2 = atomic_fetch_or(({u} *)({p}), {r}2)",
    "fetch_and": "{r}2 = atomic_fetch_and(({u} *)({p}), {r}2)",
    "fetch_xor": "{r}2 = atomic_fetch_xor(({u} *)({p}), {r}2)",
    "xchg": "{r}2 = xchg{s}({p}, {r}2)",
    "cmpxchg": "{r}0 = cmpxchg{s}({p}, {r}0, {r}2)",
    "load_acquire": "{r}2 = load_acquire(({u} *)({p}))",
    "store_release": "store_release(({u} *)({p}), {r}2)",
}
WIDE = {"u": "u64", "r": "r", "s": "_64"}
NARROW = {"u": "u32", "r": "w", "s": "32_32"}


def _atomic(name: str, place: str, size: dict[str, str] | None = None) -> str:
    return OPERATIONS[name].format(p=place, **(size or WIDE))


VALUE = "r1 = map[out][0] ll; r0 = 0; r2 = 1"
MISALIGNED = {
    **{f"{name} of u64 at offset {off}": f"{VALUE}; bad: {_atomic(name, f'r1 + {off}')}; {EXIT}"
       for name in OPERATIONS for off in (1, 4, 60)},
    **{f"{name} of u32 at offset {off}": f"{VALUE}; bad: {_atomic(name, f'r1 + {off}', NARROW)}; {EXIT}"
       for name in OPERATIONS for off in (2, 61)},
    "load_acquire of u16 at offset 1": f"{VALUE}; bad: w2 = load_acquire((u16 *)(r1 + 1)); {EXIT}",
    "store_release of u16 at offset 63": f"{VALUE}; bad: store_release((u16 *)(r1 + 63), w2); {EXIT}",
    "add on the stack": f"r2 = 1; bad: lock *(u64 *)(r10 - 12) += r2; {EXIT}",
    "add on the stack, moved": f"r1 = r10; r1 += -7; r2 = 1; bad: lock *(u32 *)(r1 + 0) += w2; {EXIT}",
    "add in the packet": f"r1 = *(u32 *)(r1 + 0); r2 = 1; bad: lock *(u64 *)(r1 + 4) += r2; {EXIT}",
    "add at an address that is nowhere": f"r1 = 0x123456789ab1 ll; r2 = 1; bad: lock *(u64 *)(r1 + 0) += r2; {EXIT}",
    "add behind the end, misaligned": f"{VALUE}; bad: lock *(u64 *)(r1 + 66) += r2; {EXIT}",
    "exchange in a read-only map, misaligned": f"r1 = map[ro][0] ll; r2 = 1; bad: r2 = xchg_64(r1 + 3, r2); {EXIT}",
}  # fmt: skip
OUTSIDE = {
    **{f"{name} at null": f"r1 = 0; r0 = 0; r2 = 1; bad: {_atomic(name, 'r1 + 0')}; {EXIT}" for name in OPERATIONS},
    **{f"{name} behind a map value": f"{VALUE}; bad: {_atomic(name, 'r1 + 64')}; {EXIT}" for name in OPERATIONS},
    **{f"{name} in a read-only map": f"r1 = map[ro][0] ll; r0 = 9; r2 = 1; bad: {_atomic(name, 'r1 + 8')}; {EXIT}"
       for name in OPERATIONS if name != "load_acquire"},
    "add below the stack": f"r2 = 1; bad: lock *(u64 *)(r10 - 520) += r2; {EXIT}",
    "add at r10": f"r2 = 1; bad: lock *(u64 *)(r10 + 0) += r2; {EXIT}",
    "add to a map object": f"r1 = map[hash] ll; r2 = 1; bad: lock *(u64 *)(r1 + 0) += r2; {EXIT}",
    "add behind the packet": f"r1 = *(u32 *)(r1 + 4); r2 = 1; bad: lock *(u64 *)(r1 + 0) += r2; {EXIT}",
    "add before the packet": f"r1 = *(u32 *)(r1 + 0); r2 = 1; bad: lock *(u64 *)(r1 - 8) += r2; {EXIT}",
    "add to a context that went through memory": f"""
        r6 = map[out][0] ll; *(u64 *)(r6 + 0) = r1; r1 = *(u64 *)(r6 + 0); *(u64 *)(r6 + 0) = 0
        r2 = 1; bad: lock *(u64 *)(r1 + 0) += r2; {EXIT}""",
    "compare and exchange that would change nothing, read-only": f"""
        r1 = map[ro][0] ll; r0 = *(u64 *)(r1 + 0); r2 = r0; bad: r0 = cmpxchg_64(r1 + 0, r0, r2); {EXIT}""",
    "load_acquire in a write-only map": f"r1 = map[wo][0] ll; bad: r2 = load_acquire((u64 *)(r1 + 0)); {EXIT}",
    "add in a write-only map": f"r1 = map[wo][0] ll; r2 = 1; bad: lock *(u64 *)(r1 + 0) += r2; {EXIT}",
}  # fmt: skip
RESULTS = {
    "fetch of 32 bits clears the upper half": (0, f"""
        r1 = map[out][0] ll; r2 = -1; {_atomic('fetch_add', 'r1 + 8', NARROW)}; r0 = r2; r0 >>= 32; exit"""),
    "exchange of 32 bits leaves its neighbour": (5, f"""
        r1 = map[out][0] ll; *(u32 *)(r1 + 12) = 5; r2 = -1; {_atomic('xchg', 'r1 + 8', NARROW)}
        r0 = *(u32 *)(r1 + 12); exit"""),
    "compare of 32 bits ignores the upper half": (7, f"""
        r1 = map[out][0] ll; r0 = 1; r0 <<= 32; r2 = 7; {_atomic('cmpxchg', 'r1 + 8', NARROW)}
        r0 = *(u32 *)(r1 + 8); exit"""),
    "compare that fails writes nothing": (0, f"""
        r1 = map[out][0] ll; r0 = 1; r2 = 7; {_atomic('cmpxchg', 'r1 + 8')}; r0 = *(u64 *)(r1 + 8); exit"""),
    "compare that fails gives the old value": (3, f"""
        r1 = map[out][0] ll; *(u64 *)(r1 + 8) = 3; r0 = 1; r2 = 7; {_atomic('cmpxchg', 'r1 + 8')}; exit"""),
    "add with itself as the operand": (2, """
        r1 = r10; r1 += -8; *(u64 *)(r10 - 8) = 1; r2 = *(u64 *)(r10 - 8); lock *(u64 *)(r1 + 0) += r2
        r0 = *(u64 *)(r10 - 8); exit"""),
    "pointer added to what it points to": (0, """
        r1 = map[out][0] ll; lock *(u64 *)(r1 + 8) += r1; lock *(u64 *)(r1 + 8) ^= r1; r0 = *(u64 *)(r1 + 8)
        exit"""),
    "fetch into the base register": (0, """
        r1 = map[out][0] ll; r1 = atomic_fetch_add((u64 *)(r1 + 8), r1); r0 = r1; r1 = map[out][0] ll
        *(u64 *)(r1 + 8) = 0; exit"""),
    "exchange into the base register": (9, """
        r1 = map[out][0] ll; *(u64 *)(r1 + 8) = 9; r1 = xchg_64(r1 + 8, r1); r0 = r1; r1 = map[out][0] ll
        *(u64 *)(r1 + 8) = 0; exit"""),
    "store_release of one byte": (0x1FF, """
        *(u64 *)(r10 - 8) = 0x100; r1 = -1; store_release((u8 *)(r10 - 8), w1); r0 = *(u64 *)(r10 - 8); exit"""),
}  # fmt: skip
CONTEXT = {
    "add to the context": f"r2 = 1; lock *(u32 *)(r1 + 8) += w2; {EXIT}",
    "exchange with the context": f"r2 = 1; r2 = xchg_64(r1 + 48, r2); {EXIT}",
    "acquire from the context": f"w2 = load_acquire((u32 *)(r1 + 8)); {EXIT}",
}
MALFORMED = {
    "unknown operation": f".insn 0xdb, 10, 2, -8, 0x70; {EXIT}",
    "exchange without fetch": f".insn 0xdb, 10, 2, -8, 0xe0; {EXIT}",
    "add of one byte": f".insn 0xd3, 10, 2, -8, 0; {EXIT}",
    "exchange of two bytes": f".insn 0xcb, 10, 2, -8, 0xe1; {EXIT}",
    "register that there is none of": f".insn 0xdb, 10, 12, -8, 0; {EXIT}",
}

CASES: list[Case] = [
    *faults("alignment", MISALIGNED),
    *faults("memory", OUTSIDE),
    *returns(RESULTS),
    *refused(EACCES, CONTEXT, type=ProgramType.SCHED_CLS),
    *refused(EACCES, {"fetch into r10": f"r1 = r10; .insn 0xdb, 1, 10, -8, 1; {EXIT}"}),
    *refused(EINVAL, MALFORMED),
]
