"""Synthetic programs of any length: arithmetic, 15 % loads and 7 % stores; branchy ones with 20 % forward branches.

A program always ends, touches its stack and the first 256 bytes of its packet, and is the same on every machine.
"""

from __future__ import annotations

import random
from typing import Literal

from ebpf import CollectionSpec, Instructions, ProgramSpec, ProgramType

Shape = Literal["straight", "branchy"]
SHAPES: tuple[Shape, ...] = ("straight", "branchy")

_SCALARS = ("r0", "r1", "r2", "r3", "r4", "r5", "r7", "r8", "r9")
"""r6 is the packet."""
_BINARY = ("+=", "+=", "-=", "-=", "^=", "^=", "|=", "&=", "*=")
"""Mostly what keeps all bits of a value: else all of them would be zeros soon, and a compiler would know."""
_SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
_SLOTS = 8
_FURTHEST = 12
"""Instructions that a branch jumps over at most."""
_REACH = 256
_LOADS = {"xdp": ("*(u32 *)(r1 + 0)", "*(u32 *)(r1 + 4)"), "user": ("*(u64 *)(r1 + 0)", "*(u64 *)(r1 + 8)")}


def synthetic(length: int, shape: Shape, *, context: Literal["xdp", "user"] = "xdp") -> Instructions:
    """Return a program of `length` instructions that finds its packet in a `context` (see programs/program.h)."""
    head, tail = _head(context), (*(f"r0 += {register}" for register in _SCALARS[1:]), "r0 <<= 33", "r0 >>= 33", "exit")
    room = length - len(head) - len(tail)
    if room < 0:
        raise ValueError(f"a synthetic program has at least {len(head) + len(tail)} instructions, not {length}")
    body = _Body(random.Random(f"{shape} {length}"), shape)
    steps = [body.step(room - done - 1) for done in range(room)]
    return Instructions.from_asm("\n".join((*head, *steps, *tail)))


def spec_of(insns: Instructions) -> CollectionSpec:
    """Return a collection with these instructions as an XDP program called "program"."""
    spec = CollectionSpec()
    spec.programs["program"] = ProgramSpec("program", ProgramType.XDP, insns, license="GPL")
    return spec


def _head(context: str) -> tuple[str, ...]:
    data, end = _LOADS[context]
    return (
        f"r6 = {data}",
        f"r2 = {end}",
        "r3 = r6",
        f"r3 += {_REACH}",
        "r0 = 0",
        "if r3 <= r2 goto +1",
        "exit",
        *(f"{register} = {7 * number + 1}" for number, register in enumerate(_SCALARS)),
        *(f"*(u64 *)(r10 - {8 * slot}) = r{slot % 6}" for slot in range(1, _SLOTS + 1)),
    )


class _Body:
    """Writes instructions, of which none is dead: a value is not loaded over before it was used."""

    def __init__(self, source: random.Random, shape: Shape) -> None:
        self._source = source
        self._shape = shape
        self._unused = set(_SCALARS)

    def step(self, left: int) -> str:
        """Return one instruction; `left` are those behind it that it may jump over."""
        kind = self._source.random()
        used = [register for register in _SCALARS if register not in self._unused]
        if kind < 0.15 and used:
            return f"{self._write(self._source.choice(used))} = {self._place()}"
        if kind < 0.22:
            return f"{self._place()} = {self._read()}"
        if self._shape == "branchy" and kind < 0.42 and left:
            distance = self._source.randint(1, min(left, _FURTHEST))
            condition, register = self._source.choice((">", "s<", "==", "!=")), self._read()
            return f"if {register} {condition} {self._operand(register)} goto +{distance}"
        return self._arithmetic()

    def _read(self, other_than: str = "") -> str:
        register = self._source.choice([one for one in _SCALARS if one != other_than])
        self._unused.discard(register)
        return register

    def _write(self, register: str) -> str:
        self._unused.add(register)
        return register

    def _operand(self, register: str) -> str:
        """Return what is computed or compared with a register: another one, or a number."""
        return self._read(register) if self._source.random() < 0.7 else str(self._source.randint(1, 1 << 20))

    def _place(self) -> str:
        name = self._source.choice(tuple(_SIZES))
        if self._source.random() < 0.5:
            return f"*({name} *)(r10 - {8 * self._source.randint(1, _SLOTS)})"
        return f"*({name} *)(r6 + {self._source.randrange(0, _REACH, _SIZES[name])})"

    def _arithmetic(self) -> str:
        register = self._source.choice(_SCALARS)
        operand = self._operand(register)
        self._write(register)
        kind = self._source.random()
        if kind < 0.06:
            return f"{register} {self._source.choice(('<<=', '>>=', 's>>='))} {self._source.randint(1, 7)}"
        if kind < 0.25:
            return f"{register.replace('r', 'w')} {self._source.choice(_BINARY)} {operand.replace('r', 'w')}"
        return f"{register} {self._source.choice(_BINARY)} {operand}"
