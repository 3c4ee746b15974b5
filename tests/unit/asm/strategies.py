"""Hypothesis strategies for instructions."""

from __future__ import annotations

from hypothesis import strategies as st

from ebpf.asm import Insn, Instructions
from ebpf.asm.opcodes import LDIMM64

_OFF = st.one_of(st.sampled_from([0, 1, 8, 16, 32, -1, 32767, -32768]), st.integers(-(1 << 15), (1 << 15) - 1))
_ATOMIC_IMM = [0, 1, 0x40, 0x41, 0x50, 0x51, 0xA0, 0xA1, 0xE1, 0xF1, 0x100, 0x110]
_IMM = st.one_of(
    st.sampled_from([0, 1, 16, 32, 64, -1, (1 << 31) - 1, -(1 << 31), *_ATOMIC_IMM]),
    st.integers(-(1 << 31), (1 << 31) - 1),
)
_WIDE_IMM = st.one_of(
    st.integers(0, 0xFFFFFFFF), st.integers(0, (1 << 64) - 1), st.integers(0, 0xFFFFFFFF).map(lambda n: n << 32)
)
# Mostly fields that mean something, because random ones are nearly always reserved.
_REGISTER = st.one_of(st.integers(0, 10), st.integers(0, 15))
_NARROW = st.tuples(
    st.integers(0, 255).filter(lambda opcode: opcode != LDIMM64),
    _REGISTER,
    st.one_of(st.just(0), _REGISTER),
    st.one_of(st.just(0), _OFF),
    st.one_of(st.just(0), _IMM),
)
_WIDE = st.tuples(st.just(LDIMM64), _REGISTER, st.integers(0, 15), st.one_of(st.just(0), _OFF), _WIDE_IMM)

insns = st.one_of(_NARROW, _NARROW, _NARROW, _WIDE).map(lambda fields: Insn(*fields))
"""Any instruction that can be encoded, reserved fields and unknown opcodes included."""

programs = st.lists(insns, max_size=20).map(Instructions)
