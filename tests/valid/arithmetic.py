"""Phrases on numbers and memory: every arithmetic operation, every access to stack, map values, packet and context."""

from __future__ import annotations

from ebpf.abi.types import ProgramType
from tests.isa.case import slot, wide
from tests.valid.code import add, add_register, load, map_value, mask, move, put, store, store_constant
from tests.valid.draft import Draft
from tests.valid.frame import CHECKED, CONTEXT, NUMBERS, OUT, PACKET, SHARED, VALUE, VALUE_SIZE, Frame

SIZES = (1, 2, 4, 8)
_OPERATIONS = [op << 4 for op in range(13)]
_SHIFTS = (0x60, 0x70, 0xC0)
_DIVISIONS = (0x30, 0x90)
_ATOMICS = (0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xA0, 0xA1, 0xE1, 0xF1)
_XDP_FIELDS = (12, 16)
_READ_FIELDS = (0, 4, 8, 16, 20, 32, 40, 44, 48, 52, 60, 64)
_WRITTEN_FIELDS = (8, 32, 44, 48, 52, 60, 64)


def number(value: int) -> int:
    """Return a register that holds a number."""
    return NUMBERS[value % len(NUMBERS)]


def arithmetic(frame: Frame, draft: Draft) -> bytes:
    """Any operation on 32 or 64 bits, with a register or a constant."""
    op, wide_, by_register = _OPERATIONS[draft.choice % 13], draft.choice >> 4 & 1, draft.choice >> 5 & 1
    width = 64 if wide_ else 32
    opcode = op | (7 if wide_ else 4)
    dst, src, imm = number(draft.dst), number(draft.src), draft.imm
    if op == 0x80:
        return slot(opcode, dst)
    if op in _SHIFTS:
        imm %= width
    off = draft.choice >> 6 & 1 if op in _DIVISIONS else 0
    if op == 0xB0 and by_register:
        off = (0, 8, 16, 32 if wide_ else 16)[draft.choice >> 6 & 3]
    if by_register:
        return slot(opcode | 8, dst, src, off)
    return slot(opcode, dst, 0, off, imm or (op in _DIVISIONS))


def byte_order(frame: Frame, draft: Draft) -> bytes:
    """A conversion of 16, 32 or 64 bits."""
    opcode, bits = (0xD4, 0xDC, 0xD7)[draft.choice % 3], (16, 32, 64)[draft.choice // 3 % 3]
    return slot(opcode, number(draft.dst), imm=bits)


def constant(frame: Frame, draft: Draft) -> bytes:
    """A constant of 64 bits."""
    return wide(number(draft.dst), draft.imm << 31 ^ draft.choice ^ draft.imm)


def _access(draft: Draft, base: int, off: int, size: int) -> bytes:
    """Load or store in one of the three ways."""
    way = draft.choice >> 8 & 3
    if way == 0:
        return store(size, base, off, number(draft.src))
    if way == 1:
        return store_constant(size, base, off, draft.imm)
    return load(size, number(draft.dst), base, off, signed=way == 3)


def stack(frame: Frame, draft: Draft) -> bytes:
    """An access to the stack at a constant place."""
    size = SIZES[draft.choice & 3]
    return _access(draft, 10, -size * (1 + (draft.choice >> 2) % (frame.numbers // size)), size)


def stack_by_index(frame: Frame, draft: Draft) -> bytes:
    """An access to the stack at a place that a number chooses."""
    places = frame.numbers // 16 * 8 - 8
    at = move(1, number(draft.src)) + mask(1, places) + move(2, 10) + add(2, -frame.numbers) + add_register(2, 1)
    way = draft.choice & 3
    if way == 0:
        return at + store_constant(8, 2, draft.choice >> 4 & 8, draft.imm) + put(2, draft.imm)
    if way == 1:
        return at + store(8, 2, 8, 3) + move(2, 3)
    return at + load(8, 2, 2, 8 * (way & 1), signed=False) + add_register(0, 2)


def callers_stack(frame: Frame, draft: Draft) -> bytes:
    """An access to what the caller lets see of its stack."""
    if frame.main:
        return stack(frame, draft)
    size = SIZES[draft.choice & 3]
    return _access(draft, CONTEXT, size * ((draft.choice >> 2) % (SHARED // size)), size)


def value(frame: Frame, draft: Draft) -> bytes:
    """An access to the map's value at a constant place, aligned or not."""
    size = SIZES[draft.choice & 3]
    return _access(draft, VALUE, 64 + (draft.choice >> 2) % (VALUE_SIZE - 64 - size + 1), size)


def value_by_index(frame: Frame, draft: Draft) -> bytes:
    """An access to the map's value at a place that a number chooses."""
    size = SIZES[draft.choice & 3]
    at = move(1, number(draft.src)) + mask(1, 31) + move(2, VALUE) + add_register(2, 1)
    way = draft.choice >> 8 & 3
    if way == 0:
        return at + store(size, 2, 64, 3) + move(2, 3)
    if way == 1:
        return at + store_constant(size, 2, 70, draft.imm) + put(2, 3)
    return at + load(size, 2, 2, 64 + (draft.choice >> 2 & 15), signed=way == 3) + slot(0xAF, 0, 2)


def moved_value(frame: Frame, draft: Draft) -> bytes:
    """The map's value by another register, moved there and back."""
    distance = draft.choice >> 4 & 63
    by = map_value(3, OUT) + add(3, distance)
    return by + store_constant(4, 3, 64 - distance, draft.imm) + add(3, -distance) + load(4, 3, 3, 64 + (distance & 56))


def atomic(frame: Frame, draft: Draft) -> bytes:
    """An atomic operation on the stack or the map's value."""
    wide_ = draft.choice & 1
    size = 8 if wide_ else 4
    operation = _ATOMICS[draft.choice >> 1 & 7 if draft.choice & 0x100 else (draft.choice >> 1) % 10]
    base, off = _aligned(frame, draft, size)
    return slot(0xDB if wide_ else 0xC3, base, number(draft.src), off, operation)


def _aligned(frame: Frame, draft: Draft, size: int) -> tuple[int, int]:
    place = draft.choice >> 6
    if draft.choice >> 5 & 1:
        return VALUE, 64 + place * size % 64
    return 10, -size - place * size % frame.numbers


def ordered(frame: Frame, draft: Draft) -> bytes:
    """A load that acquires or a store that releases."""
    size = SIZES[draft.choice & 3]
    opcode = {1: 0xD3, 2: 0xCB, 4: 0xC3, 8: 0xDB}[size]
    base, off = _aligned(frame, draft, size)
    if draft.choice >> 4 & 1:
        return slot(opcode, number(draft.dst), base, off, 0x100)
    return slot(opcode, base, number(draft.src), off, 0x110)


def packet(frame: Frame, draft: Draft) -> bytes:
    """An access to the part of the packet that is known to be there."""
    if frame.callback:
        return callers_stack(frame, draft)
    size = SIZES[draft.choice & 3]
    return _access(draft, PACKET, (draft.choice >> 2) % (CHECKED - size + 1), size)


def bounds(frame: Frame) -> tuple[int, int]:
    """Return where the context has the packet's start and end."""
    return (0, 4) if frame.type == ProgramType.XDP else (76, 80)


def packet_by_index(frame: Frame, draft: Draft) -> bytes:
    """An access to the packet at a place that a number chooses, after a look whether it is there."""
    if not frame.main:
        return packet(frame, draft)
    size = SIZES[draft.choice & 3]
    at = move(1, number(draft.src)) + mask(1, 127) + move(2, PACKET) + add_register(2, 1)
    at += load(4, 3, CONTEXT, bounds(frame)[1]) + move(4, 2) + add(4, size)
    way = draft.choice >> 8 & 3
    body = store(size, 2, 0, 0) if way == 0 else load(size, 0, 2, 0, signed=way == 3)
    # The four ways to ask the same: is the end of the access behind the end of the packet?
    ask = {
        0: slot(0x2D, 4, 3, len(body) // 8),
        1: slot(0xAD, 3, 4, len(body) // 8),
        2: slot(0x3D, 3, 4, 1) + slot(0x05, off=len(body) // 8),
        3: slot(0xBD, 4, 3, 1) + slot(0x05, off=len(body) // 8),
    }[draft.choice >> 10 & 3]
    return at + ask + body + frame.refill(1, 2, 3, 4)


def context(frame: Frame, draft: Draft) -> bytes:
    """An access to a field of the context."""
    if frame.callback:
        return stack(frame, draft)
    reload = b"" if frame.main else load(8, 1, 10, frame.context)
    base = CONTEXT if frame.main else 1
    restore = b"" if frame.main else put(1, 5)
    if frame.type == ProgramType.XDP:
        dst = number(draft.dst)
        done = load(4, dst, base, _XDP_FIELDS[draft.choice & 1])
        return reload + done + (b"" if dst == 1 else restore)
    if draft.choice & 1:
        done = store(4, base, _WRITTEN_FIELDS[(draft.choice >> 1) % len(_WRITTEN_FIELDS)], 2)
        return reload + done + restore
    dst = number(draft.dst)
    done = load(4, dst, base, _READ_FIELDS[(draft.choice >> 1) % len(_READ_FIELDS)])
    return reload + done + (b"" if dst == 1 else restore)


def spilled(frame: Frame, draft: Draft) -> bytes:
    """A pointer put on the stack and taken back."""
    register = VALUE if frame.callback or draft.choice & 1 else PACKET
    return store(8, 10, frame.spill, register) + put(register, 0) + load(8, register, 10, frame.spill)
