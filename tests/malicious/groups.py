"""The whole corpus: name of a group → its programs."""

from __future__ import annotations

from dataclasses import replace

from tests.malicious import (
    again,
    arguments,
    arithmetic,
    atomics,
    context,
    counted,
    elements,
    frames,
    freed,
    jumps,
    locks,
    loops,
    order,
    packet,
    pointers,
    registers,
    ring,
    stack,
    tailcalls,
)
from tests.malicious.case import Case

_MODULES = (
    pointers, stack, loops, frames, atomics, tailcalls, freed, ring, packet, context, arguments, locks, arithmetic,
    jumps, elements, order, again, registers, counted,
)  # fmt: skip


def _named(name: str, cases: list[Case]) -> list[Case]:
    return [replace(case, group=name) for case in cases]


GROUPS: dict[str, list[Case]] = {
    name: _named(name, module.CASES) for module in _MODULES for name in [module.__name__.rpartition(".")[2]]
}
CASES = [case for cases in GROUPS.values() for case in cases]
