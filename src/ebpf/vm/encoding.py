"""Which instructions exist, and which of their fields must be zero (RFC 9669; kernel/bpf/verifier.c, do_check).

Reasons are worded as Linux words them, because people search for them.
"""

from __future__ import annotations

from struct import unpack

from ebpf.abi.linux import EACCES, EINVAL
from ebpf.asm.opcodes import (
    BPF_ADD,
    BPF_ALU,
    BPF_ALU64,
    BPF_AND,
    BPF_ARSH,
    BPF_CMPXCHG,
    BPF_DIV,
    BPF_END,
    BPF_FETCH,
    BPF_JEQ,
    BPF_JLT,
    BPF_JMP,
    BPF_JMP32,
    BPF_JSGE,
    BPF_JSLE,
    BPF_K,
    BPF_LDX,
    BPF_LOAD_ACQ,
    BPF_LSH,
    BPF_MOD,
    BPF_MOV,
    BPF_NEG,
    BPF_OR,
    BPF_RSH,
    BPF_ST,
    BPF_STORE_REL,
    BPF_STX,
    BPF_X,
    BPF_XCHG,
    BPF_XOR,
    CALL,
    CALLX,
    EXIT,
    GOTO,
    GOTOL,
    LDIMM64,
    MAY_GOTO,
    REGISTERS,
)
from ebpf.vm.fault import Rejected
from ebpf.vm.program import Slot, positions

FRAME_POINTER = REGISTERS - 1

_OPERATIONS = [operation for operation in range(BPF_ADD, BPF_ARSH + 1, 0x10) if operation != BPF_NEG]
_CONDITIONS = [*range(BPF_JEQ, BPF_JSGE + 1, 0x10), *range(BPF_JLT, BPF_JSLE + 1, 0x10)]
_ARITHMETIC = {op | source | width for op in _OPERATIONS for source in (0, BPF_X) for width in (BPF_ALU, BPF_ALU64)}
_BRANCHES = {op | source | width for op in _CONDITIONS for source in (0, BPF_X) for width in (BPF_JMP, BPF_JMP32)}
_UNARY = {BPF_ALU | BPF_NEG, BPF_ALU64 | BPF_NEG}
_SWAPS = {BPF_ALU | BPF_END, BPF_ALU | BPF_END | BPF_X, BPF_ALU64 | BPF_END}
LEGACY = {0x20, 0x28, 0x30, 0x40, 0x48, 0x50}
_LOADS = {0x61, 0x69, 0x71, 0x79, 0x81, 0x89, 0x91}
_STORES = {0x62, 0x6A, 0x72, 0x7A, 0x63, 0x6B, 0x73, 0x7B}
_ATOMICS = {0xC3, 0xCB, 0xD3, 0xDB}
_ATOMIC_OPERATIONS = frozenset(
    {op | fetch for op in (BPF_ADD, BPF_OR, BPF_AND, BPF_XOR) for fetch in (0, BPF_FETCH)}
    | {BPF_XCHG, BPF_CMPXCHG, BPF_LOAD_ACQ, BPF_STORE_REL}
)
_ODD = {LDIMM64, GOTO, GOTOL, CALL, EXIT, MAY_GOTO}
KNOWN = frozenset(_ARITHMETIC | _BRANCHES | _UNARY | _SWAPS | LEGACY | _LOADS | _STORES | _ATOMICS | _ODD)
"""All opcodes but callx, which only the conformance command takes."""


_REGISTERS, _SRC, _OFF, _IMM = 0xFF << 8, 0xF << 12, 0xFFFF << 16, 0xFFFFFFFF << 32
"""Where the fields are in a slot that was read as a little-endian number."""
_LOOKED_AT = {
    op | BPF_K | width for op in (BPF_DIV, BPF_MOD, BPF_LSH, BPF_RSH, BPF_ARSH) for width in (BPF_ALU, BPF_ALU64)
}
"""Operations whose immediate is not always fine."""
_ZERO = [(1 << 64) - 1] * 256
"""Opcode → fields of a slot; where they are 0, and the registers usual ones, the instruction is fine."""
for _op in _ARITHMETIC - _LOOKED_AT:
    _ZERO[_op] = _OFF | (_IMM if _op & BPF_X else _SRC)
for _op in _BRANCHES:
    _ZERO[_op] = _IMM if _op & BPF_X else _SRC
for _op in _STORES:
    _ZERO[_op] = _IMM if _op & 7 == BPF_STX else _SRC
for _op in _LOADS:
    _ZERO[_op] = _IMM
for _op in (GOTO, EXIT):
    _ZERO[_op] = _REGISTERS | _IMM
_UNUSUAL = (bytes(FRAME_POINTER) + b"\1" * (16 - FRAME_POINTER)) * REGISTERS + b"\1" * 16 * (16 - REGISTERS)
"""The registers of a slot → 1 where one of them may be wrong: r10 is written to only by mistake."""


def suspects(code: bytes) -> set[int]:
    """Return the slots that have to be looked at, `check_fields` and second halves; few are among them."""
    words = unpack(f"<{len(code) // 8}Q", code)
    zero = _ZERO
    found = {at for at, word in enumerate(words) if word & zero[word & 255]}
    found.update(positions(code[1::8].translate(_UNUSUAL)))
    found.update(positions(code[::8], 0))  # a slot of nothing but zeros
    return found


def check_fields(slot: Slot, *, strict: bool) -> None:
    """Refuse an instruction whose opcode or fields mean nothing.

    Without `strict`, what the instruction set defines and Linux refuses (shift counts beyond the width, division by
    an immediate 0, callx) is accepted.

    Raises:
        Rejected: EINVAL, or EACCES for a write to r10.
    """
    reason = _complaint(slot, strict)
    if reason is not None:
        raise Rejected(EINVAL, reason)
    if slot.dst >= REGISTERS or slot.src >= REGISTERS:
        raise Rejected(EINVAL, f"R{slot.dst if slot.dst >= REGISTERS else slot.src} is invalid")
    if written_register(slot) == FRAME_POINTER:
        raise Rejected(EACCES, "frame pointer is read only")


def written_register(slot: Slot) -> int | None:
    """Return the register that an instruction writes because its encoding says so (calls write r0 besides)."""
    kind = slot.opcode & 7
    if kind in (BPF_ALU, BPF_ALU64, BPF_LDX) or slot.opcode == LDIMM64:
        return slot.dst
    if slot.opcode in _ATOMICS:
        if slot.imm == BPF_LOAD_ACQ:
            return slot.dst
        return slot.src if slot.imm & BPF_FETCH and slot.imm & 0xF0 != 0xF0 else None
    return None


def _complaint(slot: Slot, strict: bool) -> str | None:
    opcode = slot.opcode
    if opcode == CALLX and not strict:
        return _call_by_register(slot)
    if opcode not in KNOWN:
        return f"unknown opcode {opcode:02x}"
    kind = opcode & 7
    if kind in (BPF_ALU, BPF_ALU64):
        return _arithmetic(slot, strict)
    if kind in (BPF_JMP, BPF_JMP32):
        return _jump(slot)
    return _memory(slot)


def _call_by_register(slot: Slot) -> str | None:
    # An older clang put the register into the immediate.
    older = slot.dst == 0 and 1 <= slot.imm <= 9
    return "BPF_CALL uses reserved fields" if slot.src or slot.off or (slot.imm and not older) else None


def _arithmetic(slot: Slot, strict: bool) -> str | None:
    op, by_register = slot.opcode & 0xF0, slot.opcode & BPF_X
    if op == BPF_NEG:
        return "BPF_NEG uses reserved fields" if slot.src or slot.off or slot.imm else None
    if op == BPF_END:
        return "BPF_END uses reserved fields" if slot.src or slot.off or slot.imm not in (16, 32, 64) else None
    unused = slot.imm if by_register else slot.src
    if op == BPF_MOV:
        cast = slot.off == 1 and slot.opcode == BPF_ALU64 | BPF_MOV | BPF_X
        return None if cast or (not unused and slot.off in _move_offsets(slot)) else "BPF_MOV uses reserved fields"
    if unused or slot.off not in ((0, 1) if op in (BPF_DIV, BPF_MOD) else (0,)):
        return "BPF_ALU uses reserved fields"
    return _immediate(slot, op) if strict and not by_register else None


def _move_offsets(slot: Slot) -> tuple[int, ...]:
    if not slot.opcode & BPF_X:
        return (0,)
    return (0, 8, 16, 32) if slot.opcode & 7 == BPF_ALU64 else (0, 8, 16)


def _immediate(slot: Slot, op: int) -> str | None:
    if op in (BPF_DIV, BPF_MOD) and slot.imm == 0:
        return "div by zero"
    width = 64 if slot.opcode & 7 == BPF_ALU64 else 32
    if op in (BPF_LSH, BPF_RSH, BPF_ARSH) and not 0 <= slot.imm < width:
        return f"invalid shift {slot.imm}"
    return None


def _jump(slot: Slot) -> str | None:
    opcode = slot.opcode
    if opcode == CALL:
        # A kernel function's call has the module in `off`.
        wrong = slot.dst or slot.src > 2 or (slot.off and slot.src != 2)
        return "BPF_CALL uses reserved fields" if wrong else None
    if opcode == EXIT:
        return "BPF_EXIT uses reserved fields" if slot.dst or slot.src or slot.imm else None
    if opcode in (GOTO, GOTOL):
        unused = slot.imm if opcode == GOTO else slot.off
        return "BPF_JA uses reserved fields" if slot.dst or slot.src or unused else None
    if opcode == MAY_GOTO:
        return f"invalid may_goto imm {slot.imm}" if slot.dst or slot.src or slot.imm else None
    unused = slot.imm if opcode & BPF_X else slot.src
    return "BPF_JMP/JMP32 uses reserved fields" if unused else None


def _memory(slot: Slot) -> str | None:
    kind = slot.opcode & 7
    if kind == BPF_LDX:
        return "BPF_LDX uses reserved fields" if slot.imm else None
    if kind == BPF_ST:
        return "BPF_ST uses reserved fields" if slot.src else None
    if slot.opcode in _ATOMICS:
        return _atomic(slot)
    if kind == BPF_STX:
        return "BPF_STX uses reserved fields" if slot.imm else None
    if slot.opcode == LDIMM64:
        return "BPF_LD_IMM64 uses reserved fields" if slot.off else None
    wrong = slot.dst or slot.off or (slot.opcode < 0x40 and slot.src)
    return "BPF_LD_[ABS|IND] uses reserved fields" if wrong else None


def _atomic(slot: Slot) -> str | None:
    if slot.imm not in _ATOMIC_OPERATIONS:
        return f"BPF_ATOMIC uses invalid atomic opcode {slot.imm & 0xFFFF_FFFF:02x}"
    narrow = slot.opcode in (0xCB, 0xD3)
    return "invalid atomic operand size" if narrow and slot.imm not in (BPF_LOAD_ACQ, BPF_STORE_REL) else None
