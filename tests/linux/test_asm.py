"""What the kernel's verifier prints for an instruction, our assembler turns back into that instruction."""

from __future__ import annotations

import re

import pytest

from ebpf.asm import Instructions, assemble
from tests.linux.raw import load

SOCKET_FILTER = 1
EVERY_INSTRUCTION = 2
_LINE = re.compile(r"^([0-9]+): \([0-9a-f]{2}\) .*$", re.MULTILINE)

PROGRAMS = {
    "arithmetic": """
        r6 = r1
        r0 = *(u32 *)(r6 + 0)
        r1 = 7
        r2 = -7
        w3 = 9
        w4 = w3
        r1 += r2; r1 -= 3; r1 *= r0; w1 /= w3; r1 %= r3; r1 s/= r2; w1 s%= 3
        r1 |= 1; r1 &= r0; w1 ^= w0; r1 <<= 3; r1 >>= r3; w1 s>>= 2; r1 s>>= r3
        r1 = -r1
        w1 = -w1
        r1 = (s8)r0
        r1 = (s16)r0
        r1 = (s32)r0
        w1 = (s8)w0
        w1 = (s16)w0
        r1 = be16 r1
        r1 = be32 r1
        r1 = be64 r1
        r1 = le16 r1
        r1 = le64 r1
        r1 = bswap16 r1
        r1 = bswap32 r1
        r1 = bswap64 r1
        r0 = 0
        exit
    """,
    "memory": """
        r6 = r1
        *(u64 *)(r10 - 8) = -1
        *(u64 *)(r10 - 16) = 0
        *(u8 *)(r10 - 1) = 1
        *(u16 *)(r10 - 2) = 2
        *(u32 *)(r10 - 4) = 0x7fffffff
        r1 = 3
        *(u8 *)(r10 - 8) = r1
        *(u16 *)(r10 - 8) = r1
        *(u32 *)(r10 - 8) = r1
        *(u64 *)(r10 - 8) = r1
        r1 = *(u8 *)(r10 - 8)
        r1 = *(u16 *)(r10 - 8)
        r1 = *(u32 *)(r10 - 8)
        r1 = *(u64 *)(r10 - 8)
        r1 = *(s8 *)(r10 - 8)
        r1 = *(s16 *)(r10 - 8)
        r1 = *(s32 *)(r10 - 8)
        r0 = *(u8 *)skb[5]
        r0 = *(u16 *)skb[12]
        r0 = *(u32 *)skb[0]
        r7 = 4
        r0 = *(u8 *)skb[r7]
        r0 = *(u16 *)skb[r7 + 2]
        r0 = *(u32 *)skb[r7 + 100]
        r0 = 0
        exit
    """,
    "atomics": """
        *(u64 *)(r10 - 8) = 0
        r0 = 1
        r1 = 2
        r2 = r10
        r2 += -8
        lock *(u64 *)(r10 - 8) += r1
        lock *(u32 *)(r10 - 8) += w1
        lock *(u64 *)(r2 + 0) |= r1
        lock *(u32 *)(r10 - 8) &= w1
        lock *(u64 *)(r10 - 8) ^= r1
        r1 = atomic_fetch_add((u64 *)(r10 - 8), r1)
        w1 = atomic_fetch_or((u32 *)(r10 - 8), w1)
        r1 = atomic_fetch_and((u64 *)(r10 - 8), r1)
        w1 = atomic_fetch_xor((u32 *)(r10 - 4), w1)
        r1 = xchg_64(r10 - 8, r1)
        w1 = xchg32_32(r10 - 8, w1)
        r0 = cmpxchg_64(r10 - 8, r0, r1)
        w0 = cmpxchg32_32(r10 - 8, w0, w1)
        r0 = 0
        exit
    """,
    "ordered": """
        *(u64 *)(r10 - 8) = 0
        r1 = 2
        store_release((u64 *)(r10 - 8), r1)
        store_release((u32 *)(r10 - 8), w1)
        store_release((u16 *)(r10 - 8), w1)
        store_release((u8 *)(r10 - 8), w1)
        r1 = load_acquire((u64 *)(r10 - 8))
        w1 = load_acquire((u32 *)(r10 - 8))
        w1 = load_acquire((u16 *)(r10 - 8))
        w1 = load_acquire((u8 *)(r10 - 8))
        r0 = 0
        exit
    """,
    "jumps": """
        r6 = r1
        r0 = *(u32 *)(r6 + 0)
        r1 = *(u32 *)(r6 + 4)
        if r0 == 5 goto +0
        if r0 != r1 goto +0
        if r0 > 5 goto +0
        if w0 >= w1 goto +0
        if r0 < -1 goto +0
        if r0 <= r1 goto +0
        if r0 s> 5 goto +0
        if w0 s>= -5 goto +0
        if r0 s< r1 goto +0
        if w0 s<= w1 goto +0
        if r0 & 8 goto +0
        if w0 & w1 goto +0
        goto +1
        goto +1
        goto -2
        gotol +0
        may_goto +0
        call bpf_get_prandom_u32
        call bpf_ktime_get_ns
        call twice
        r0 = 0
        exit
    twice:
        r0 = 0
        exit
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_verifier_log_assembles_to_the_program(name: str) -> None:
    insns = assemble(PROGRAMS[name])
    assert all(not str(insn).startswith(".insn") for insn in insns)
    code = insns.encode()
    result, log = load(code, SOCKET_FILTER, log_level=EVERY_INSTRUCTION)
    assert result >= 0, log
    seen = set()
    for match in _LINE.finditer(log):
        slot = int(match[1])
        assert assemble(match[0]).encode() == code[slot * 8 : slot * 8 + 8], match[0]
        seen.add(slot)
    assert seen == set(range(insns.slots))


def test_every_statement_of_the_programs_reads_back() -> None:
    for text in PROGRAMS.values():
        insns = assemble(text)
        assert Instructions.decode(insns.encode()) == insns == assemble(str(insns))
