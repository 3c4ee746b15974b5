"""Atomic instructions (RFC 9669, section 5.3; load-acquire and store-release of Linux 6.15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ebpf.vm.alu import M64
from ebpf.vm.fault import Fault
from ebpf.vm.memory import ATOMIC

if TYPE_CHECKING:
    from ebpf.vm.program import Slot
    from ebpf.vm.reference import Machine
    from ebpf.vm.steps import Registers, Step

FETCH = 0x01
XCHG = 0xE1
CMPXCHG = 0xF1
LOAD_ACQUIRE = 0x100
STORE_RELEASE = 0x110

_CHANGES: dict[int, Callable[[int, int], int]] = {
    0x00: lambda old, value: old + value,
    0x40: lambda old, value: old | value,
    0x50: lambda old, value: old & value,
    0xA0: lambda old, value: old ^ value,
    0xE0: lambda old, value: value,
}
"""Operation without its fetch bit → new value of the memory."""

OPERATIONS = frozenset(
    {op | fetch for op in (0x00, 0x40, 0x50, 0xA0) for fetch in (0, FETCH)}
    | {XCHG, CMPXCHG, LOAD_ACQUIRE, STORE_RELEASE}
)
"""All operations that the `imm` of an atomic instruction may name."""


def atomic_step(slot: Slot, size: int, after: int) -> Step:
    """Return the step of a BPF_STX | BPF_ATOMIC instruction."""
    if slot.imm == LOAD_ACQUIRE:
        return _load_acquire(slot, size, after)
    if slot.imm == STORE_RELEASE:
        return _store_release(slot, size, after)
    if slot.imm == CMPXCHG:
        return _compare_exchange(slot, size, after)
    return _change(slot, size, after)


def _change(slot: Slot, size: int, after: int) -> Step:
    dst, src, off, fetch = slot.dst, slot.src, slot.off, slot.imm & FETCH
    change, mask = _CHANGES[slot.imm & ~FETCH], (1 << 8 * size) - 1

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
