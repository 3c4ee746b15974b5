"""Loops whose number of iterations is known before they begin, and what they access.

A loop with one usual way through its blocks, a register that changes by a constant on it, and an exit that compares
that with something constant, is written twice: the usual way without looks at the fuel and without the checks that one
comparison before the loop replaces, and the whole loop with all of them for every other case. All ways but the usual
one lead from the former to the latter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ebpf.asm.opcodes import (
    BPF_ADD,
    BPF_ALU,
    BPF_ALU64,
    BPF_JMP32,
    BPF_K,
    BPF_MOV,
    BPF_SUB,
    BPF_X,
    CALL,
    CALLX,
    GOTO,
    GOTOL,
    LDIMM64,
    MAY_GOTO,
)
from ebpf.vm.flow import jump_target
from ebpf.vm.jit.access import Access, access_of
from ebpf.vm.jit.blocks import Block, Function
from ebpf.vm.jit.liveness import defined
from ebpf.vm.program import Slot

_LSH = 0x60
_SMALL = 1 << 30
"""Bounds, steps and distances of 32-bit counters: their sums have no sign, and nothing is cut off."""
_STAYS = {0x50: "ne", 0xA0: "ult", 0xB0: "ule", 0xC0: "slt", 0xD0: "sle"}
"""Jump that stays in a loop which counts up → what the register is to the bound while it stays."""
_OPPOSITE = {
    0x10: 0x50,
    0x20: 0xB0,
    0x30: 0xA0,
    0x50: 0x10,
    0x60: 0xD0,
    0x70: 0xC0,
    0xA0: 0x30,
    0xB0: 0x20,
    0xC0: 0x70,
    0xD0: 0x60,
}
"""Jump → the one that goes where the other does not."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A sum: of registers as they are when the iteration begins, each times a number, and a constant."""

    terms: tuple[tuple[int, int], ...]
    constant: int = 0

    def plus(self, other: Linear, times: int = 1) -> Linear:
        """Return this + other × times."""
        terms = dict(self.terms)
        for register, factor in other.terms:
            terms[register] = terms.get(register, 0) + factor * times
        kept = tuple(sorted((register, factor) for register, factor in terms.items() if factor))
        return Linear(kept, self.constant + other.constant * times)


@dataclass(frozen=True, slots=True)
class Test:
    """The exit that bounds the loop: it goes on while `counter` + `offset` is `relation` to `bound`.

    `counter` is a register that changes by `step` > 0 in each iteration, `bound` a sum of registers that do not change.
    `narrow`: only the lower halves are compared. `place` is that of its block in the loop.
    """

    counter: int
    step: int
    offset: int
    relation: str
    bound: Linear
    narrow: bool
    place: int


@dataclass(frozen=True, slots=True)
class Reach:
    """An access of the loop: where it is, the sum that its address is, and whether the test is behind it by then."""

    at: int
    access: Access
    address: Linear
    tested: bool


@dataclass(slots=True)
class Loop:
    """A loop: first slots of the blocks of the usual way, the header's first, and of all of its `body`.

    `steps` are what the registers change by in an iteration, of so many instructions; at the slots `narrow` the counter
    changes by a 32-bit addition.
    """

    blocks: list[int]
    body: set[int]
    instructions: int
    test: Test
    steps: dict[int, int]
    narrow: set[int]
    reaches: list[Reach] = field(default_factory=list)

    @property
    def header(self) -> int:
        return self.blocks[0]

    def follows(self, start: int, after: int) -> bool:
        """Tell whether the usual way leads from one block to another."""
        place = self.blocks.index(start)
        return after == self.blocks[(place + 1) % len(self.blocks)]

    def compares_small(self, start: int) -> bool:
        """Tell whether the jump at the end of a block compares lower halves, and the upper ones are zero."""
        return self.test.narrow and self.blocks[self.test.place] == start

    def widened(self, at: int, slot: Slot) -> Slot:
        """Return what an instruction does with all 64 bits, if it changes the counter in 32, which stays small.

        LLVM knows the number of iterations then, and where addresses lead.
        """
        return slot._replace(opcode=slot.opcode | BPF_ALU64) if at in self.narrow else slot

    def slope(self, sum_: Linear) -> int:
        """Return by how much a sum changes from one iteration to the next."""
        return sum(factor * self.steps.get(register, 0) for register, factor in sum_.terms)


def find_loops(
    slots: Sequence[Slot],
    function: Function,
    lookups: Mapping[int, object],
    found_elements: Mapping[int, int],
    quiet: Mapping[int, bool],
) -> dict[int, Loop]:
    """Return such loops by header.

    `lookups` are the calls that are part of the code, `found_elements` the jumps after them and where they lead
    usually, `quiet` the constants, by slot, that never ask the host.
    """
    found = {}
    for block in function.blocks.values():
        if block.is_loop_header and block.start != function.entry:
            chain = _usual_way(function, block, found_elements)
            loop = _Walk(slots, chain, lookups, quiet).loop(_body(function, block)) if chain else None
            if loop is not None:
                found[loop.header] = loop
    return found


def _usual_way(function: Function, header: Block, found_elements: Mapping[int, int]) -> list[Block]:
    """Return the blocks that an iteration usually goes through, nothing where that is not known."""
    body = _body(function, header)
    way = [header]
    while len(way) <= len(body):
        block = way[-1]
        after = [start for start in block.successors if start in body]
        usual = found_elements.get(block.slots[-1])
        if len(after) > 1 and usual in after:
            after = [start for start in after if start == usual]
        if len(after) != 1:
            return []
        if after[0] == header.start:
            return way
        way.append(function.blocks[after[0]])
    return []


def _body(function: Function, header: Block) -> set[int]:
    """Return the blocks of a loop: all from which its header is reached again."""
    order = {start: place for place, start in enumerate(function.blocks)}
    body = {header.start}
    pending = [start for start in header.predecessors if order[start] >= order[header.start]]
    while pending:
        start = pending.pop()
        if start not in body:
            body.add(start)
            pending.extend(function.blocks[start].predecessors)
    return body


class _Walk:
    """One iteration with sums in the registers."""

    def __init__(
        self, slots: Sequence[Slot], chain: list[Block], lookups: Mapping[int, object], quiet: Mapping[int, bool]
    ) -> None:
        self._slots = slots
        self._chain = chain
        self._lookups = lookups
        self._quiet = quiet
        self._sums: dict[int, Linear] = {register: Linear(((register, 1),)) for register in range(11)}
        self._narrow: dict[int, int] = {}
        """Slot → register that a 32-bit addition changes. That is the counter, else the sums don't hold."""
        self._reaches: list[tuple[int, Access, Linear, int]] = []
        self._exits: list[tuple[int, int, Linear, Linear, bool]] = []

    def loop(self, body: set[int]) -> Loop | None:
        """Return the loop if it is one that is counted."""
        for place, block in enumerate(self._chain):
            for at in block.slots:
                if not self._step(self._slots[at], at, place):
                    return None
            self._exit(block, place)
        steps = {}
        for register in range(11):
            end = self._sums.get(register)
            if end is not None and end.terms == ((register, 1),):
                steps[register] = end.constant
        test = self._test(steps)
        if test is None or any(register != test.counter for register in self._narrow.values()):
            return None
        blocks = [block.start for block in self._chain]
        loop = Loop(blocks, body, sum(len(block.slots) for block in self._chain), test, steps, set(self._narrow))
        for at, access, address, place in self._reaches:
            if all(register in steps for register, _ in address.terms):
                loop.reaches.append(Reach(at, access, address, place > test.place))
        return loop

    def _step(self, slot: Slot, at: int, place: int) -> bool:
        """Follow one instruction; False where the loop may ask the host, or is none that is counted."""
        if slot.opcode in (CALL, CALLX):
            if at not in self._lookups:
                return False
            self._sums.pop(0, None)
            return True
        if slot.opcode == MAY_GOTO or (slot.opcode == LDIMM64 and not self._quiet.get(at, True)):
            return False
        access = access_of(slot)
        if access is not None and access.base in self._sums:
            address = self._sums[access.base].plus(Linear((), access.offset))
            self._reaches.append((at, access, address, place))
        result = self._arithmetic(slot, at)
        for register in range(11):
            if defined(slot) >> register & 1:
                self._sums.pop(register, None)
        if result is not None:
            self._sums[slot.dst] = result
        return True

    def _arithmetic(self, slot: Slot, at: int) -> Linear | None:
        kind, operation = slot.opcode & 7, slot.opcode & 0xF0
        if kind not in (BPF_ALU, BPF_ALU64):
            return None
        before, constant = self._sums.get(slot.dst), slot.opcode & BPF_X == BPF_K
        if kind == BPF_ALU:
            if operation in (BPF_ADD, BPF_SUB) and constant and before is not None:
                result = before.plus(Linear((), slot.imm if operation == BPF_ADD else -slot.imm))
                # What comes out is the sum only if that is a number of 32 bits.
                if result.terms != ((slot.dst, 1),) or not 0 <= result.constant < _SMALL:
                    return None
                self._narrow[at] = slot.dst
                return result
            return Linear((), slot.imm) if operation == BPF_MOV and constant and slot.imm >= 0 else None
        other = Linear((), slot.imm) if constant else self._sums.get(slot.src)
        if other is None or (operation == BPF_MOV and slot.off):
            return None
        if operation == BPF_MOV:
            return other
        if before is None:
            return None
        if operation in (BPF_ADD, BPF_SUB):
            return before.plus(other, 1 if operation == BPF_ADD else -1)
        if operation == _LSH and constant and 0 <= slot.imm < 16:
            return Linear(()).plus(before, 1 << slot.imm)
        return None

    def _exit(self, block: Block, place: int) -> None:
        """Note the comparison at the end of a block, as that which stays in the loop."""
        at = block.slots[-1]
        slot = self._slots[at]
        target = jump_target(slot, at)
        if target is None or slot.opcode in (GOTO, GOTOL) or len(block.successors) != 2:
            return
        operation = slot.opcode & 0xF0
        members = {other.start for other in self._chain}
        stays = operation if target in members else _OPPOSITE.get(operation, 0)
        a = self._sums.get(slot.dst)
        b = Linear((), slot.imm) if slot.opcode & BPF_X == BPF_K else self._sums.get(slot.src)
        if a is not None and b is not None and stays in _STAYS:
            self._exits.append((stays, place, a, b, slot.opcode & 7 == BPF_JMP32))

    def _test(self, steps: Mapping[int, int]) -> Test | None:
        """Return the exit that bounds the loop; one with a constant bound if there is any."""
        found = []
        for stays, place, a, b, narrow in self._exits:
            counters = [register for register, factor in a.terms if factor == 1 and steps.get(register, 0) > 0]
            fixed = all(steps.get(register) == 0 for register, _ in b.terms)
            if len(a.terms) != 1 or len(counters) != 1 or not fixed or steps[counters[0]] >= _SMALL:
                continue
            narrow = narrow or counters[0] in self._narrow.values()
            if narrow and (b.terms or not 0 <= b.constant < _SMALL or abs(a.constant) >= _SMALL):
                continue
            found.append(Test(counters[0], steps[counters[0]], a.constant, _STAYS[stays], b, narrow, place))
        return min(found, key=lambda test: len(test.bound.terms), default=None)
