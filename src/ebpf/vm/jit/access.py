"""What a load, store or atomic operation accesses."""

from __future__ import annotations

from dataclasses import dataclass

from ebpf.asm.opcodes import (
    BPF_ATOMIC,
    BPF_CMPXCHG,
    BPF_FETCH,
    BPF_LDX,
    BPF_LOAD_ACQ,
    BPF_MEM,
    BPF_MEMSX,
    BPF_ST,
    BPF_STORE_REL,
    BPF_STX,
    SIZES,
)
from ebpf.vm.program import Slot

CHANGES = {0x00: "add", 0x40: "or", 0x50: "and", 0xA0: "xor", 0xE0: "xchg"}
"""Operation of an atomic change, without the bit that asks for the old value → operation of atomicrmw."""


@dataclass(frozen=True, slots=True)
class Access:
    """One access: the register with the address, bytes from there, what is done."""

    base: int
    offset: int
    size: int
    reads: bool
    writes: bool


def access_of(slot: Slot) -> Access | None:
    """Return what a load or store accesses; None for another instruction, and for those that the host carries out."""
    kind, mode, size = slot.opcode & 7, slot.opcode & 0xE0, SIZES[slot.opcode & 0x18]
    if kind == BPF_LDX and (mode == BPF_MEM or (mode == BPF_MEMSX and size < 8)):
        return Access(slot.src, slot.off, size, True, False)
    if kind in (BPF_ST, BPF_STX) and mode == BPF_MEM:
        return Access(slot.dst, slot.off, size, False, True)
    if kind != BPF_STX or mode != BPF_ATOMIC:
        return None
    if slot.imm == BPF_LOAD_ACQ:
        return Access(slot.src, slot.off, size, True, False)
    if slot.imm == BPF_STORE_REL:
        return Access(slot.dst, slot.off, size, False, True)
    known = slot.imm == BPF_CMPXCHG or slot.imm & ~BPF_FETCH in CHANGES
    exchange_without_result = slot.imm & ~BPF_FETCH == 0xE0 and not slot.imm & BPF_FETCH
    if size < 4 or not known or exchange_without_result:
        return None
    return Access(slot.dst, slot.off, size, True, True)
