"""Phrases that end the program with a fault, if they are reached."""

from __future__ import annotations

from tests.isa.case import slot
from tests.valid.arithmetic import number
from tests.valid.code import add, add_register, helper, load, map_, mask, move, put, store, store_constant, unless_zero
from tests.valid.frame import ARRAY, HASH, RING, VALUE, VALUE_SIZE, Frame

WRONGS = 16
"""How many ways there are to do wrong."""

_RESERVE = map_(1, RING) + put(2, 16) + put(3, 0) + helper(131)
_SUBMIT = move(1, 0) + put(2, 0)


def _behind(base: int, limit: int) -> bytes:
    """An access behind the end, at a place that a number chooses."""
    return move(1, 8) + mask(1, 0xFF) + add(1, limit) + move(2, base) + add_register(2, 1) + store(4, 2, 0, 0)


def wrong(frame: Frame, choice: int) -> bytes:
    """Return a phrase that faults."""
    at, which = number(choice >> 4), choice % WRONGS
    return (
        put(at, choice) + load(8, at, at, 8),
        put(at, 0) + store(4, at, 16, 8),
        move(1, VALUE) + add(1, VALUE_SIZE) + store(8, 1, -4, 0),
        _behind(VALUE, VALUE_SIZE),
        _behind(10, 0),
        move(1, 10) + add(1, -frame.numbers - 600) + load(1, 0, 1, 0),
        move(1, VALUE) + put(2, 1) + slot(0xDB, 1, 2, 68, 0),
        move(1, VALUE) + put(2, 1) + slot(0xC3, 1, 2, 66, 0x01),
        slot(0x7F, VALUE, VALUE) + load(2, 0, VALUE, 64),
        _RESERVE + unless_zero(0, _SUBMIT + helper(132) + store_constant(1, 1, 0, 1) + load(1, 0, 1, 0)),
        _RESERVE + unless_zero(0, move(7, 0) + _SUBMIT + helper(132) + move(1, 7) + put(2, 0) + helper(132)),
        map_(1, HASH) + put(2, 5) + helper(1),
        map_(1, RING) + move(2, 10) + add(2, -8) + helper(1),
        put(1, 1) + put(2, 1) + put(3, 0) + put(4, 0) + helper(181),
        map_(1, ARRAY) + add(1, 8) + move(2, 10) + add(2, -8) + helper(1),
        slot(0x1D, 8, 8, off=-1),
    )[which]
