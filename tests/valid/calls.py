"""Phrases that call: helpers on maps and rings, functions, callbacks, tail calls, changes of the packet's bounds."""

from __future__ import annotations

from ebpf.abi.types import ProgramType
from tests.isa.case import EXIT, slot
from tests.valid.arithmetic import SIZES, bounds, number, stack
from tests.valid.code import (
    add,
    function,
    helper,
    load,
    map_,
    mask,
    move,
    pointer,
    put,
    store,
    store_constant,
    unless_zero,
)
from tests.valid.draft import Draft
from tests.valid.frame import (
    ARRAY,
    CHECKED,
    CONTEXT,
    HASH,
    NUMBERS,
    OUTER,
    PACKET,
    PER_CPU_HASH,
    PERCPU,
    PROGS,
    QUEUE,
    RING,
    SHARED,
    STACK,
    Frame,
    after_call,
)

_LOOKED_UP = (ARRAY, HASH, PERCPU, PER_CPU_HASH)
_CHANGED = (ARRAY, HASH, HASH, PER_CPU_HASH, PERCPU)
_TOO_SHORT = 77
"""What a program returns that finds its packet too short."""


def _key(frame: Frame, draft: Draft) -> bytes:
    """Put a key of 4 bytes at the start of the scratch, and its address into r2."""
    if draft.choice >> 12 & 1:
        key = move(2, number(draft.src)) + mask(2, 7) + store(4, 10, frame.scratch, 2)
    else:
        key = store_constant(4, 10, frame.scratch, draft.choice >> 13)
    return key + move(2, 10) + add(2, frame.scratch)


def lookup(frame: Frame, draft: Draft) -> bytes:
    """An element looked up, and an access to it if it is there."""
    size = SIZES[draft.choice & 3]
    off = (draft.choice >> 2) % (17 - size)
    way = draft.choice >> 6 & 3
    if way == 0:
        body = store(size, 0, off, 8) + put(0, 1)
    elif way == 1:
        body = put(1, draft.imm) + slot(0xDB, 0, 1, 8 * (off & 1), 0) + put(0, 2)
    else:
        body = load(size, 0, 0, off, signed=way == 3)
    call = _key(frame, draft) + map_(1, _LOOKED_UP[draft.choice >> 8 & 3]) + helper(1)
    return call + unless_zero(0, body) + after_call(frame)


def update(frame: Frame, draft: Draft) -> bytes:
    """An element made or changed, with or without a condition, or deleted."""
    target = _CHANGED[(draft.choice >> 8) % len(_CHANGED)]
    if draft.choice & 3 == 0:
        return _key(frame, draft) + map_(1, HASH if draft.choice & 4 else PER_CPU_HASH) + helper(3) + after_call(frame)
    new = store(8, 10, frame.scratch + 8, number(draft.dst)) + store_constant(8, 10, frame.scratch + 16, draft.imm)
    call = map_(1, target) + move(3, 10) + add(3, frame.scratch + 8) + put(4, (draft.choice >> 2) % 3)
    return new + _key(frame, draft) + call + helper(2) + after_call(frame)


def queue(frame: Frame, draft: Draft) -> bytes:
    """A value pushed, popped or peeked at."""
    new = store(8, 10, frame.scratch + 8, number(draft.dst)) + store_constant(8, 10, frame.scratch + 16, draft.imm)
    call = map_(1, STACK if draft.choice & 1 else QUEUE) + move(2, 10) + add(2, frame.scratch + 8)
    which = draft.choice >> 1 & 3
    if which < 2:
        return new + call + put(3, 2 if draft.choice & 8 else 0) + helper(87) + after_call(frame)
    return call + helper(88 if which == 2 else 89) + after_call(frame) + load(8, 1, 10, frame.scratch + 8)


def output(frame: Frame, draft: Draft) -> bytes:
    """A record written out of the stack."""
    size = 1 + draft.choice % 32
    return map_(1, RING) + move(2, 10) + add(2, -32) + put(3, size) + put(4, 0) + helper(130) + after_call(frame)


def record(frame: Frame, draft: Draft) -> bytes:
    """A record reserved, written to, and submitted or discarded."""
    size = 8 + draft.choice % 40
    fill = b"".join(store_constant(8, 0, at, 0) for at in range(0, size - 7, 8))
    if size % 8:
        fill += store_constant(8, 0, size - 8, 0)
    body = fill + store(4, 0, draft.choice >> 6 & 3, 8) + store_constant(1, 0, size - 1, draft.imm)
    body += move(1, 0) + put(2, 0) + helper(133 if draft.choice >> 9 & 3 == 0 else 132)
    return (
        map_(1, RING) + put(2, size) + put(3, 0) + helper(131) + unless_zero(0, body) + after_call(frame, result=False)
    )


def nested(frame: Frame, draft: Draft) -> bytes:
    """An element of a map that is in a map."""
    inner = (
        _key(frame, draft._replace(src=NUMBERS.index(8)))
        + move(1, 0)
        + helper(1)
        + unless_zero(0, load(8, 0, 0, draft.choice & 8))
    )
    key = store_constant(4, 10, frame.scratch, draft.choice >> 4 & 1) + move(2, 10) + add(2, frame.scratch)
    return key + map_(1, OUTER) + helper(1) + unless_zero(0, inner) + after_call(frame)


def call(frame: Frame, draft: Draft) -> bytes:
    """A function called with a part of the stack, two numbers, the packet and the context."""
    if frame.callback or not frame.depth:
        return stack(frame, draft)
    callee = draft.choice % 3 if frame.main else 1 + draft.choice % 2
    context = move(5, CONTEXT) if frame.main else load(8, 5, 10, frame.context)
    arguments = move(2, number(draft.src)) + move(4, 8) + move(3, PACKET) + move(1, 10) + add(1, -SHARED)
    return arguments + context + function(callee) + after_call(frame)


def loop(frame: Frame, draft: Draft) -> bytes:
    """A callback called a few times."""
    if frame.callback:
        return stack(frame, draft)
    count = put(1, draft.choice & 7)
    if draft.choice & 8:
        count = move(1, number(draft.src)) + mask(1, 7)
    arguments = pointer(2, 3 + draft.choice // 16 % 3) + move(3, 10) + add(3, -SHARED) + put(4, 0)
    return count + arguments + helper(181) + after_call(frame)


def each(frame: Frame, draft: Draft) -> bytes:
    """A callback called for every element of an array."""
    if frame.callback:
        return stack(frame, draft)
    arguments = map_(1, PERCPU if draft.choice & 1 else ARRAY) + pointer(2, 6 + draft.choice // 2 % 3)
    return arguments + move(3, 10) + add(3, -SHARED) + put(4, 0) + helper(164) + after_call(frame)


def tail_call(frame: Frame, draft: Draft) -> bytes:
    """A tail call, most of them to where there is no program."""
    if not frame.main:
        return stack(frame, draft)
    index = put(3, (1, 2, 0, 5)[draft.choice & 3])
    if draft.choice & 4:
        index = move(3, number(draft.src)) + mask(3, 7)
    return index + move(1, CONTEXT) + map_(2, PROGS) + helper(12) + after_call(frame, result=False)


def check_packet(frame: Frame) -> bytes:
    """Look the packet up again; end the program if CHECKED bytes of it are not there."""
    start, end = bounds(frame)
    again = load(4, PACKET, CONTEXT, start) + load(4, 1, CONTEXT, end) + move(2, PACKET) + add(2, CHECKED)
    return again + slot(0xBD, 2, 1, 2) + put(0, _TOO_SHORT) + EXIT


def change_packet(frame: Frame, draft: Draft) -> bytes:
    """The packet's start or end moved, and the packet looked up again."""
    if not frame.main:
        return stack(frame, draft)
    by = (-16, -8, 0, 4, 8, -4, 12, 300)[draft.choice & 7]
    if frame.type == ProgramType.XDP:
        change = put(2, by) + helper((44, 65, 44)[draft.choice // 8 % 3])
    elif draft.choice & 8:
        change = put(2, 48 + draft.choice // 16 % 32) + put(3, 0) + helper(38)
    else:
        change = put(2, draft.choice // 16 % 64) + helper(39)
    return (
        move(1, CONTEXT)
        + change
        + store(8, 10, frame.scratch, 0)
        + check_packet(frame)
        + after_call(frame, result=False)
    )


def packet_load(frame: Frame, draft: Draft) -> bytes:
    """A load of the old kind, which ends the program where the packet is too short."""
    if not frame.main or frame.type == ProgramType.XDP:
        return stack(frame, draft)
    size_bits = (0x10, 0x08, 0x00)[draft.choice % 3]
    if draft.choice & 8:
        at = move(1, number(draft.src)) + mask(1, 31)
        return at + slot(0x40 | size_bits, 0, 1, imm=draft.choice >> 4 & 15) + after_call(frame)
    return slot(0x20 | size_bits, imm=draft.choice >> 4 & 127) + after_call(frame)


def processor(frame: Frame, draft: Draft) -> bytes:
    """A helper without arguments."""
    return helper(8) + after_call(frame)
