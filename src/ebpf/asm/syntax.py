"""Words of the assembly language, shared by assembler and disassembler (the kernel's and LLVM's syntax).

One instruction a line (or separated by `;`); labels end in a colon; comments begin with `#` or `//`, and with `;`
at the start of a line. Listings are read as well: a slot number (`12:`, `12: (b7)`) before an instruction is skipped,
and there `;` begins a comment anywhere. `+3` and `pc+3` are slots behind the next slot.

| text | instruction |
|---|---|
| `r1 = 5` `w1 += w2` `r1 s/= 3` `r1 = -r1` `r1 = (s8)r2` | arithmetic; `w` names the low 32 bits, `s` is signed |
| `r1 = be16 r1` `r1 = le32 r1` `r1 = bswap64 r1` | byte order |
| `r1 = addr_space_cast(r2, 0, 1)` | cast to address space 0 from 1 |
| `r1 = *(u32 *)(r2 + 4)` `r1 = *(s8 *)(r2 + 0)` | load, with sign extension |
| `*(u32 *)(r1 + 4) = r2` `*(u64 *)(r10 - 8) = 0` | store |
| `r0 = *(u16 *)skb[12]` `r0 = *(u8 *)skb[r1 + 2]` | legacy packet access |
| `lock *(u64 *)(r1 + 0) += r2` | atomic |
| `r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)` | atomic, returns the old value |
| `r2 = xchg_64(r1 + 0, r2)` `w0 = cmpxchg32_32(r1 + 0, w0, w2)` | exchange |
| `r1 = load_acquire((u64 *)(r2 + 0))` `store_release((u8 *)(r1 + 0), w2)` | ordered access |
| `if r1 s> 5 goto +3` `if w1 & w2 goto out` `goto out` `gotol out` `gotox r1` `may_goto out` | jumps |
| `call 1` `call bpf_map_lookup_elem` `call function` `call pc+3` `call kfunc name` `callx r1` `exit` | calls |
| `r1 = 0x123456789a ll` | 64-bit immediate |
| `r1 = map[name] ll` `r1 = map[name][8] ll` `r1 = func[name] ll` `r1 = ksym[name] ll` | symbolic references |
| `r1 = map_fd[5] ll` `r1 = map_idx[0][8] ll` `r1 = btf_id[7] ll` `r1 = func[+3] ll` | the same by number |
| `.insn 0x8d, 0, 0, 0, 1` | any fields: opcode, dst, src, off, imm |
"""

from __future__ import annotations

import json
import re
from typing import Final

from ebpf.asm import opcodes as op
from ebpf.asm.metadata import ReferenceKind

SIZES: Final = {"u8": op.BPF_B, "u16": op.BPF_H, "u32": op.BPF_W, "u64": op.BPF_DW}
SIGNED_SIZES: Final = {"s8": op.BPF_B, "s16": op.BPF_H, "s32": op.BPF_W}
EXTENSIONS: Final = {"s8": 8, "s16": 16, "s32": 32}

ARITHMETIC: Final = {
    "+=": (op.BPF_ADD, 0), "-=": (op.BPF_SUB, 0), "*=": (op.BPF_MUL, 0), "/=": (op.BPF_DIV, 0),
    "%=": (op.BPF_MOD, 0), "s/=": (op.BPF_DIV, 1), "s%=": (op.BPF_MOD, 1), "|=": (op.BPF_OR, 0),
    "&=": (op.BPF_AND, 0), "^=": (op.BPF_XOR, 0), "<<=": (op.BPF_LSH, 0), ">>=": (op.BPF_RSH, 0),
    "s>>=": (op.BPF_ARSH, 0),
}  # fmt: skip
"""Assignment operator → (operation, off)."""

CONDITIONS: Final = {
    "==": op.BPF_JEQ, "!=": op.BPF_JNE, ">": op.BPF_JGT, ">=": op.BPF_JGE, "<": op.BPF_JLT, "<=": op.BPF_JLE,
    "s>": op.BPF_JSGT, "s>=": op.BPF_JSGE, "s<": op.BPF_JSLT, "s<=": op.BPF_JSLE, "&": op.BPF_JSET,
}  # fmt: skip

SWAPS: Final = {
    f"{name}{bits}": (opcode, bits)
    for name, opcode in (
        ("le", op.BPF_ALU | op.BPF_END | op.BPF_TO_LE),
        ("be", op.BPF_ALU | op.BPF_END | op.BPF_TO_BE),
        ("bswap", op.BPF_ALU64 | op.BPF_END),
    )
    for bits in (16, 32, 64)
}
"""Name → (opcode, imm)."""

LOCKED: Final = {"+=": op.BPF_ADD, "|=": op.BPF_OR, "&=": op.BPF_AND, "^=": op.BPF_XOR}
FETCHES: Final = {"add": op.BPF_ADD, "or": op.BPF_OR, "and": op.BPF_AND, "xor": op.BPF_XOR}

IMMEDIATES: Final = {
    "map_fd": (op.BPF_PSEUDO_MAP_FD, op.BPF_PSEUDO_MAP_VALUE),
    "map_idx": (op.BPF_PSEUDO_MAP_IDX, op.BPF_PSEUDO_MAP_IDX_VALUE),
    "btf_id": (op.BPF_PSEUDO_BTF_ID, op.BPF_PSEUDO_BTF_ID),
}
"""Word before the bracket of an ldimm64 by number → source register (without, with a second bracket)."""

REFERENCES: Final = {
    "map": (ReferenceKind.MAP, op.BPF_PSEUDO_MAP_FD),
    "kconfig": (ReferenceKind.KCONFIG, op.BPF_PSEUDO_MAP_VALUE),
    "ksym": (ReferenceKind.KSYM, 0),
    "kfunc": (ReferenceKind.KFUNC, 0),
}
"""Word before the bracket of an ldimm64 by name → what it refers to, source register. `map` may have an offset into
the value in a second bracket, which makes it a MAP_VALUE, and `kconfig` its place in the section."""

UNLINKED: Final = -1
"""`imm` of a call by name until load."""

STATEMENTS: Final = (
    "if", "goto", "gotol", "gotox", "may_goto", "call", "callx", "exit", "lock", "store_release", ".insn",
)  # fmt: skip

_BARE = re.compile(r"[A-Za-z_.$][A-Za-z0-9_.$]*")
_RESERVED = frozenset((*STATEMENTS, "pc", "kfunc", "skb", "ll"))
REGISTER: Final = re.compile(r"([rw])([0-9]+)")


def quote(name: str) -> str:
    """Return a symbol as it stands in text: bare, or in double quotes where it could be taken for something else."""
    if _BARE.fullmatch(name) and name not in _RESERVED and not REGISTER.fullmatch(name):
        return name
    return json.dumps(name)
