"""Atomic instructions (RFC 9669, section 5.3; load-acquire and store-release of Linux 6.15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ebpf.asm.opcodes import (
    BPF_ADD,
    BPF_AND,
    BPF_CMPXCHG,
    BPF_FETCH,
    BPF_LOAD_ACQ,
    BPF_OR,
    BPF_STORE_REL,
    BPF_XCHG,
    BPF_XOR,
)
from ebpf.vm import M64
from ebpf.vm.fault import Fault
from ebpf.vm.memory import ATOMIC

if TYPE_CHECKING:
    from ebpf.vm.program import Slot
    from ebpf.vm.reference import Machine
    from ebpf.vm.steps import Registers, Step

_CHANGES: dict[int, Callable[[int, int], int]] = {
    BPF_ADD: lambda old, value: old + value,
    BPF_OR: lambda old, value: old | value,
    BPF_AND: lambda old, value: old & value,
    BPF_XOR: lambda old, value: old ^ value,
    BPF_XCHG & ~BPF_FETCH: lambda old, value: value,
}
"""Operation without its fetch bit → new value of the memory."""


def atomic_step(slot: Slot, size: int, after: int) -> Step:
    """Return the step of a BPF_STX | BPF_ATOMIC instruction."""
    if slot.imm == BPF_LOAD_ACQ:
        return _load_acquire(slot, size, after)
    if slot.imm == BPF_STORE_REL:
        return _store_release(slot, size, after)
    if slot.imm == BPF_CMPXCHG:
        return _compare_exchange(slot, size, after)
    return _change(slot, size, after)


def _change(slot: Slot, size: int, after: int) -> Step:
    dst, src, off, fetch = slot.dst, slot.src, slot.off, slot.imm & BPF_FETCH
    change, mask = _CHANGES[slot.imm & ~BPF_FETCH], (1 << 8 * size) - 1

    def step(r: Registers, m: Machine) -> int:
        address = aligned(r[dst] + off, size)
        with ATOMIC:
            old = m.memory.load(address, size)
            m.memory.store(address, size, change(old, r[src] & mask))
        if fetch:
            r[src] = old
        return after

    return step


def _compare_exchange(slot: Slot, size: int, after: int) -> Step:
    dst, src, off, mask = slot.dst, slot.src, slot.off, (1 << 8 * size) - 1

    def step(r: Registers, m: Machine) -> int:
        address = aligned(r[dst] + off, size)
        with ATOMIC:
            old = m.memory.load(address, size)
            # Written back even when different: a program without permission to write must not pass by luck.
            m.memory.store(address, size, r[src] & mask if old == r[0] & mask else old)
        r[0] = old
        return after

    return step


def _load_acquire(slot: Slot, size: int, after: int) -> Step:
    dst, src, off = slot.dst, slot.src, slot.off

    def step(r: Registers, m: Machine) -> int:
        with ATOMIC:
            r[dst] = m.memory.load(aligned(r[src] + off, size), size)
        return after

    return step


def _store_release(slot: Slot, size: int, after: int) -> Step:
    dst, src, off = slot.dst, slot.src, slot.off

    def step(r: Registers, m: Machine) -> int:
        with ATOMIC:
            m.memory.store(aligned(r[dst] + off, size), size, r[src])
        return after

    return step


def aligned(address: int, size: int) -> int:
    """Wrap an address to 64 bits and insist on natural alignment."""
    address &= M64
    if address % size:
        raise Fault("alignment", f"atomic access of {size} bytes at {address:#x} is not aligned", address=address)
    return address
