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
_BINARY = ("+=", "-=", "*=", "|=", "&=", "^=")
_SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
_SLOTS = 8
_FURTHEST = 12
"""Instructions that a branch jumps over at most."""
_REACH = 256
_LOADS = {"xdp": ("*(u32 *)(r1 + 0)", "*(u32 *)(r1 + 4)"), "user": ("*(u64 *)(r1 + 0)", "*(u64 *)(r1 + 8)")}


def synthetic(length: int, shape: Shape, *, context: Literal["xdp", "user"] = "xdp") -> Instructions:
    """Return a program of `length` instructions that finds its packet in a `context` (see programs/program.h)."""
    source = random.Random(f"{shape} {length}")
    head, tail = _head(context), ("r0 <<= 33", "r0 >>= 33", "exit")
    room = length - len(head) - len(tail)
    if room < 0:
        raise ValueError(f"a synthetic program has at least {len(head) + len(tail)} instructions, not {length}")
    body = [_step(source, shape, left=room - done - 1) for done in range(room)]
    return Instructions.from_asm("\n".join((*head, *body, *tail)))


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


def _step(source: random.Random, shape: Shape, *, left: int) -> str:
    """Return one instruction; `left` are those behind it that it may jump over."""
    kind = source.random()
    if kind < 0.15:
        return f"{source.choice(_SCALARS)} = {_place(source)}"
    if kind < 0.22:
        return f"{_place(source)} = {source.choice(_SCALARS)}"
    if shape == "branchy" and kind < 0.42 and left:
        distance = source.randint(1, min(left, _FURTHEST))
        return (
            f"if {source.choice(_SCALARS)} {source.choice(('>', 's<', '==', '!='))} {_other(source)} goto +{distance}"
        )
    return _arithmetic(source)


def _place(source: random.Random) -> str:
    name = source.choice(tuple(_SIZES))
    if source.random() < 0.5:
        return f"*({name} *)(r10 - {8 * source.randint(1, _SLOTS)})"
    size = _SIZES[name]
    return f"*({name} *)(r6 + {source.randrange(0, _REACH, size)})"


def _arithmetic(source: random.Random) -> str:
    register = source.choice(_SCALARS)
    if source.random() < 0.15:
        return f"{register} {source.choice(('<<=', '>>=', 's>>='))} {source.randint(1, 31)}"
    if source.random() < 0.25:
        register = register.replace("r", "w")
        return f"{register} {source.choice(_BINARY)} {source.randint(1, 1 << 20)}"
    return f"{register} {source.choice(_BINARY)} {_other(source)}"


def _other(source: random.Random) -> str:
    return source.choice(_SCALARS) if source.random() < 0.7 else str(source.randint(1, 1 << 20))
