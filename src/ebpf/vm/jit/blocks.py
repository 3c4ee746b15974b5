"""Functions of a program as basic blocks in the order in which they are compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ebpf.asm.opcodes import BPF_PSEUDO_CALL, CALL, EXIT, LDIMM64
from ebpf.vm.flow import successors
from ebpf.vm.program import Slot


@dataclass(slots=True)
class Block:
    """Slots that run one after the other: `slots` are their numbers, second halves of ldimm64 left out."""

    slots: list[int]
    successors: tuple[int, ...]
    predecessors: list[int] = field(default_factory=list)
    is_loop_header: bool = False

    @property
    def start(self) -> int:
        return self.slots[0]


@dataclass(slots=True)
class Function:
    """What can be reached from `entry` without a call. `blocks` are by first slot, in reverse postorder."""

    entry: int
    blocks: dict[int, Block]
    calls: frozenset[int]
    """First slots of the functions that it calls."""


def find_functions(slots: Sequence[Slot], entries: Sequence[int]) -> dict[int, Function]:
    """Take a program apart: `entries` are the first slots of its functions."""
    return {entry: _function(slots, entry) for entry in entries}


def _function(slots: Sequence[Slot], entry: int) -> Function:
    leaders = _leaders(slots, entry)
    blocks = {start: _block(slots, start, leaders) for start in leaders}
    order = _postorder(blocks, entry)[::-1]
    place = {start: index for index, start in enumerate(order)}
    for start in order:
        for after in blocks[start].successors:
            blocks[after].predecessors.append(start)
            if place[after] <= place[start]:
                blocks[after].is_loop_header = True
    called = (at + 1 + slots[at].imm for block in blocks.values() for at in block.slots if calls_function(slots[at]))
    return Function(entry, {start: blocks[start] for start in order}, frozenset(called))


def calls_function(slot: Slot) -> bool:
    """Tell whether an instruction calls a function of the program."""
    return slot.opcode == CALL and slot.src == BPF_PSEUDO_CALL


def _leaders(slots: Sequence[Slot], entry: int) -> set[int]:
    """Return where blocks begin: the entry, and all that follows an instruction with more than one way on."""
    leaders, seen, pending = {entry}, {entry}, [entry]
    while pending:
        at = pending.pop()
        after = successors(slots, at)
        if len(after) != 1 or after[0] != _next(slots, at):
            leaders.update(after)
        for target in after:
            if target not in seen:
                seen.add(target)
                pending.append(target)
    return leaders


def _next(slots: Sequence[Slot], at: int) -> int:
    return at + (2 if slots[at].opcode == LDIMM64 else 1)


def _block(slots: Sequence[Slot], start: int, leaders: set[int]) -> Block:
    numbers, at = [], start
    while True:
        numbers.append(at)
        after = _next(slots, at)
        ways = successors(slots, at)
        if ways != (after,) or after in leaders or slots[at].opcode == EXIT:
            return Block(numbers, tuple(dict.fromkeys(ways)))
        at = after


def _postorder(blocks: dict[int, Block], entry: int) -> list[int]:
    order: list[int] = []
    seen = {entry}
    stack = [(entry, iter(blocks[entry].successors))]
    while stack:
        start, ways = stack[-1]
        after = next((way for way in ways if way not in seen), None)
        if after is None:
            order.append(start)
            stack.pop()
        else:
            seen.add(after)
            stack.append((after, iter(blocks[after].successors)))
    return order
