"""What a random program is made from: drafts of its phrases, few numbers each, that can be drawn, kept and dropped."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from hypothesis import strategies as st

from ebpf.abi.types import ProgramType

KINDS = 64
"""Kinds are drawn from this many numbers; how many of them mean a phrase is its weight."""
IMMEDIATES = (0, 1, 2, 3, 4, 7, 8, 16, 31, 32, 33, 63, 64, 255, -1, -2, -8, -64, -(1 << 31), 0x7FFFFFFF)
TYPES = (ProgramType.XDP, ProgramType.SCHED_CLS)
MOST_FUNCTIONS = 3


class Draft(NamedTuple):
    """A phrase: what kind, registers, a constant, and a number for everything else that there is to choose."""

    kind: int
    dst: int
    src: int
    imm: int
    choice: int


@dataclass(frozen=True)
class Plan:
    """A whole program: phrases of the main program, of its functions, its callbacks, and of a tail call's target.

    `fault` chooses what the program does wrong, and after how many phrases; None: nothing.
    """

    type: ProgramType
    main: tuple[Draft, ...]
    functions: tuple[tuple[Draft, ...], ...]
    callbacks: tuple[tuple[Draft, ...], ...]
    target: tuple[Draft, ...]
    packet: bytes
    fault: tuple[int, int] | None = None


_DRAFTS = st.builds(
    Draft,
    kind=st.integers(0, KINDS - 1),
    dst=st.integers(0, 255),
    src=st.integers(0, 255),
    imm=st.one_of(st.sampled_from(IMMEDIATES), st.integers(-(1 << 31), (1 << 31) - 1)),
    choice=st.integers(0, 0xFFFF),
)


def _phrases(*lengths: int) -> st.SearchStrategy[tuple[Draft, ...]]:
    # Left to itself, Hypothesis makes short lists, and programs that do little.
    lists = [st.lists(_DRAFTS, min_size=length, max_size=length).map(tuple) for length in lengths]
    return st.one_of(*lists)


_BODIES = st.lists(_phrases(2, 5), min_size=MOST_FUNCTIONS, max_size=MOST_FUNCTIONS).map(tuple)
VALID = st.builds(
    Plan,
    type=st.sampled_from(TYPES),
    main=_phrases(6, 16, 24),
    functions=_BODIES,
    callbacks=_BODIES,
    target=_phrases(1, 5),
    packet=st.binary(min_size=64, max_size=96),
)
"""Programs that the kernel accepts."""


def random_plan(seed: int) -> Plan:
    """Draw a plan without Hypothesis; every fourth is faulty."""
    choose = random.Random(seed)

    def draft() -> Draft:
        imm = choose.choice((choose.choice(IMMEDIATES), choose.randrange(-(1 << 31), 1 << 31)))
        return Draft(
            choose.randrange(KINDS), choose.randrange(256), choose.randrange(256), imm, choose.randrange(1 << 16)
        )

    def phrases(most: int) -> tuple[Draft, ...]:
        return tuple(draft() for _ in range(choose.randrange(most + 1)))

    return Plan(
        type=choose.choice(TYPES),
        main=phrases(40),
        functions=tuple(phrases(8) for _ in range(MOST_FUNCTIONS)),
        callbacks=tuple(phrases(8) for _ in range(MOST_FUNCTIONS)),
        target=phrases(10),
        packet=choose.randbytes(choose.randrange(64, 97)),
        fault=(choose.randrange(256), choose.randrange(40)) if choose.randrange(4) == 0 else None,
    )
