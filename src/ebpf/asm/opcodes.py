"""Numbers that make up an instruction (include/uapi/linux/bpf.h and bpf_common.h; RFC 9669, sections 3 to 5).

Names are the kernel's. An opcode is class | operation | source for arithmetic and jumps, class | mode | size for
loads and stores.
"""

from __future__ import annotations

from typing import Final

# Class: the low 3 bits.
BPF_LD: Final = 0x00
BPF_LDX: Final = 0x01
BPF_ST: Final = 0x02
BPF_STX: Final = 0x03
BPF_ALU: Final = 0x04
BPF_JMP: Final = 0x05
BPF_JMP32: Final = 0x06
BPF_ALU64: Final = 0x07

# Size of a load or store.
BPF_W: Final = 0x00
BPF_H: Final = 0x08
BPF_B: Final = 0x10
BPF_DW: Final = 0x18
SIZES: Final = {BPF_W: 4, BPF_H: 2, BPF_B: 1, BPF_DW: 8}
"""Size bits of an opcode → bytes."""

# Mode of a load or store.
BPF_IMM: Final = 0x00
BPF_ABS: Final = 0x20
BPF_IND: Final = 0x40
BPF_MEM: Final = 0x60
BPF_MEMSX: Final = 0x80
BPF_ATOMIC: Final = 0xC0

# Source operand: a register or the immediate. For BPF_END: to big or to little endian.
BPF_K: Final = 0x00
BPF_X: Final = 0x08
BPF_TO_LE: Final = 0x00
BPF_TO_BE: Final = 0x08

# Arithmetic.
BPF_ADD: Final = 0x00
BPF_SUB: Final = 0x10
BPF_MUL: Final = 0x20
BPF_DIV: Final = 0x30
BPF_OR: Final = 0x40
BPF_AND: Final = 0x50
BPF_LSH: Final = 0x60
BPF_RSH: Final = 0x70
BPF_NEG: Final = 0x80
BPF_MOD: Final = 0x90
BPF_XOR: Final = 0xA0
BPF_MOV: Final = 0xB0
BPF_ARSH: Final = 0xC0
BPF_END: Final = 0xD0

# Jumps.
BPF_JA: Final = 0x00
BPF_JEQ: Final = 0x10
BPF_JGT: Final = 0x20
BPF_JGE: Final = 0x30
BPF_JSET: Final = 0x40
BPF_JNE: Final = 0x50
BPF_JSGT: Final = 0x60
BPF_JSGE: Final = 0x70
BPF_CALL: Final = 0x80
BPF_EXIT: Final = 0x90
BPF_JLT: Final = 0xA0
BPF_JLE: Final = 0xB0
BPF_JSLT: Final = 0xC0
BPF_JSLE: Final = 0xD0
BPF_JCOND: Final = 0xE0

# `imm` of BPF_ATOMIC: an arithmetic operation, perhaps with BPF_FETCH, or one of the others.
BPF_FETCH: Final = 0x01
BPF_XCHG: Final = 0xE0 | BPF_FETCH
BPF_CMPXCHG: Final = 0xF0 | BPF_FETCH
BPF_LOAD_ACQ: Final = 0x100
BPF_STORE_REL: Final = 0x110

# `off` of BPF_MOV | BPF_X in BPF_ALU64: 8, 16 and 32 sign-extend, 1 casts between address spaces.
BPF_ADDR_SPACE_CAST: Final = 1

# `src` of ldimm64: what the 64-bit immediate means until the program is loaded.
BPF_PSEUDO_MAP_FD: Final = 1
BPF_PSEUDO_MAP_VALUE: Final = 2
BPF_PSEUDO_BTF_ID: Final = 3
BPF_PSEUDO_FUNC: Final = 4
BPF_PSEUDO_MAP_IDX: Final = 5
BPF_PSEUDO_MAP_IDX_VALUE: Final = 6

# `src` of a call: 0 is a helper.
BPF_PSEUDO_CALL: Final = 1
BPF_PSEUDO_KFUNC_CALL: Final = 2

# `src` of BPF_JCOND.
BPF_MAY_GOTO: Final = 0

# Whole opcodes that need a name.
LDIMM64: Final = BPF_LD | BPF_IMM | BPF_DW
CALL: Final = BPF_JMP | BPF_CALL
CALLX: Final = BPF_JMP | BPF_CALL | BPF_X
EXIT: Final = BPF_JMP | BPF_EXIT
GOTO: Final = BPF_JMP | BPF_JA
GOTOL: Final = BPF_JMP32 | BPF_JA
GOTOX: Final = BPF_JMP | BPF_JA | BPF_X
MAY_GOTO: Final = BPF_JMP | BPF_JCOND

REGISTERS: Final = 11
"""r0 to r10; the encoding has room for sixteen."""
