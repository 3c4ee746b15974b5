"""Which block every way to a block goes through, and what happens on the ways between the two."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ebpf.asm.opcodes import CALL
from ebpf.vm.jit.blocks import Function
from ebpf.vm.jit.liveness import ARGUMENTS, defined
from ebpf.vm.program import Slot

_FAR = 256
"""Blocks between two that are looked at; beyond that nothing is known to stay as it is."""


class Dominance:
    """The dominators of a function's blocks (Cooper, Harvey and Kennedy, A Simple, Fast Dominance Algorithm)."""

    def __init__(self, slots: Sequence[Slot], function: Function) -> None:
        self._function = function
        self._order = {start: place for place, start in enumerate(function.blocks)}
        self._changed = {start: _changed(slots, block.slots) for start, block in function.blocks.items()}
        self._above: dict[int, int] = {function.entry: function.entry}
        moving = True
        while moving:
            moving = False
            for start, block in function.blocks.items():
                if start != function.entry:
                    known = [before for before in block.predecessors if before in self._above]
                    above = known[0]
                    for other in known[1:]:
                        above = self._common(above, other)
                    if self._above.get(start) != above:
                        self._above[start] = above
                        moving = True

    def _common(self, a: int, b: int) -> int:
        while a != b:
            while self._order[a] > self._order[b]:
                a = self._above[a]
            while self._order[b] > self._order[a]:
                b = self._above[b]
        return a

    def above(self, start: int, avoid: Collection[int]) -> int | None:
        """Return the nearest block, not one to avoid, that every way to a block goes through."""
        if start == self._function.entry:
            return None
        above = self._above[start]
        while above in avoid:
            if above == self._function.entry:
                return None
            above = self._above[above]
        return above

    def between(self, above: int, start: int) -> set[int] | None:
        """Return the blocks on the ways from a dominator's end to a block's start; None where they are too many."""
        found: set[int] = set()
        pending = list(self._function.blocks[start].predecessors)
        while pending:
            block = pending.pop()
            if block != above and block not in found:
                found.add(block)
                if len(found) > _FAR:
                    return None
                pending.extend(self._function.blocks[block].predecessors)
        return found

    def changed(self, blocks: Collection[int]) -> int:
        """Return the registers that blocks write, as bits."""
        registers = 0
        for block in blocks:
            registers |= self._changed[block]
        return registers


def _changed(slots: Sequence[Slot], numbers: Sequence[int]) -> int:
    registers = 0
    for at in numbers:
        registers |= defined(slots[at])
        if slots[at].opcode == CALL:  # what a function leaves in r1 to r5 is its own
            registers |= ARGUMENTS
    return registers
