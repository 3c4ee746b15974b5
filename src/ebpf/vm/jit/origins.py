"""Where pointers come from: the region that each memory access most likely goes to.

An origin is a hint, except for its `exact` offset: compiled code compares an address with the bounds of its origin,
and what does not fit goes to the interpreter. So a wrong hint costs time, never a result. `exact` is proven: the
register holds the end of the frame's stack, or the start of the context, plus that constant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from heapq import heappop, heappush

from ebpf.abi.linux.contexts import PACKET as PACKET_START
from ebpf.abi.linux.contexts import PACKET_END, PACKET_META
from ebpf.abi.linux.functions import BPF_FUNC_MAP_LOOKUP_ELEM
from ebpf.asm.opcodes import (
    BPF_ADD,
    BPF_ALU,
    BPF_ALU64,
    BPF_ATOMIC,
    BPF_JMP,
    BPF_LDX,
    BPF_MEM,
    BPF_MOV,
    BPF_PSEUDO_MAP_IDX,
    BPF_PSEUDO_MAP_IDX_VALUE,
    BPF_STX,
    BPF_SUB,
    BPF_X,
    CALL,
    CALLX,
    LDIMM64,
    SIZES,
)
from ebpf.vm.jit.access import access_of
from ebpf.vm.jit.blocks import Function, calls_function
from ebpf.vm.jit.liveness import defined, used
from ebpf.vm.machine import STACK_SIZE
from ebpf.vm.program import Slot


class Region(Enum):
    """What a pointer points into. NONE: it is a number, or nothing is known; MANY: different things.

    END is the end of the packet. MAP is the address that stands for a map, DATA the value of an array of one, ELEMENT a
    value that was looked up.
    """

    NONE = "none"
    CONTEXT = "context"
    PACKET = "packet"
    END = "end"
    STACK = "stack"
    MAP = "map"
    DATA = "data"
    ELEMENT = "element"
    MANY = "many"


@dataclass(frozen=True, slots=True)
class Origin:
    """A region, and the offset where it is proven: from its start, of a stack from its end, of a packet from `data`.

    `which` is the index of the map, of an element the slot of the look-up. `sure`: what is no number is nothing else
    but a pointer there. What comes out of memory may also be what another path stored, or what a look-up found before.
    """

    region: Region
    exact: int | None = None
    which: int = 0
    sure: bool = True

    def moved(self, exact: int | None = None) -> Origin:
        """Return the same region, at another offset."""
        return Origin(self.region, exact, self.which, self.sure)


NOTHING = Origin(Region.NONE)
ANYTHING = Origin(Region.MANY)
"""A value that may be a pointer, into whatever."""
FRAME = Origin(Region.STACK, 0)
PACKET = Origin(Region.PACKET)


_POINTERS = {PACKET_START: Origin(Region.PACKET, 0), PACKET_END: Origin(Region.END, 0), PACKET_META: PACKET}
"""Kind of a field of the context → what is loaded from it."""


def join(a: Origin, b: Origin) -> Origin:
    """Return what is known of a value that is `a` on one path and `b` on another: less than of either, or as much."""
    if a == b:
        return a
    sure = a.sure and b.sure
    if b.region is Region.NONE or _is_in(a, b):
        return Origin(a.region, None, a.which, sure)
    return Origin(b.region, None, b.which, sure) if a.region is Region.NONE else Origin(Region.MANY, sure=sure)


Registers = list[Origin]
Facts = tuple[Registers, int]
"""Origins of the registers, and how many bytes from `data` on the program has found to be in the packet."""
_COMPARISONS = {0x20: (False, 0), 0x30: (False, 1), 0xA0: (True, 1), 0xB0: (True, 0)}
"""Comparison of a packet pointer with the end → whether the packet is long enough if it holds, or if it does not, and
whether by one byte more."""
_LOAD_ACQUIRE = 0x100
_FAR = 1 << 29
"""Distances from here on might lead around the address space."""
_TURNED = {0x20: 0xA0, 0x30: 0xB0, 0xA0: 0x20, 0xB0: 0x30}
"""Comparison → the same with its sides exchanged."""
_NULL_CHECKS = {0x15: 0, 0x55: 1}
"""`if r == 0` and `if r != 0` → whether a pointer that is not null takes the jump."""


@dataclass(slots=True)
class Found:
    """What is found of one function. Bare code may jump from one into another: what they share is different in each.

    `at[slot]` is the origin of the base register of a load or store, `lookups[slot]` a look-up that is compiled: the
    index of the map, and where in the frame its key is.
    """

    at: dict[int, Origin] = field(default_factory=dict)
    lookups: dict[int, tuple[int, int]] = field(default_factory=dict)
    verified: dict[int, int] = field(default_factory=dict)
    """Load or store through a pointer of an exact offset into the packet → how many bytes are there for sure."""
    stack_size: int = 0
    """Bytes of its frame, from the end on, that it may touch."""
    stack_pointers: dict[int, dict[int, int]] = field(default_factory=dict)
    """Registers that hold exact pointers into the frame before an instruction, and their offsets from its end."""
    bounds: set[int] = field(default_factory=set)
    """Jumps that compare pointers into the packet."""
    found: dict[int, int] = field(default_factory=dict)
    """Jumps that tell whether a look-up has found an element → where they lead then."""


class Origins:
    """The origins of a whole program: `of[entry]` are a function's.

    `packet_fields` are the kinds of packet pointers by their offset in the internal context; `has_context` tells if r1
    is a context at all; `moving` are the instructions that may move the packet, `callbacks` the functions that helpers
    may call; `key_sizes` are those of the maps, by index, in which look-ups are compiled.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        functions: Mapping[int, Function],
        *,
        has_context: bool,
        packet_fields: Mapping[int, str],
        key_sizes: Mapping[int, int],
        moving: Collection[int],
        callbacks: Collection[int],
    ) -> None:
        self.of = {entry: Found() for entry in functions}
        self._moving = moving
        self._key_sizes = key_sizes
        self._slots = slots
        self._functions = functions
        self._packet_fields = packet_fields
        self._arguments: dict[int, Registers | None] = dict.fromkeys(functions)
        self._cells: dict[int, dict[int, Origin]] = {entry: {} for entry in functions}
        first = Origin(Region.CONTEXT, 0) if has_context else NOTHING
        self._arguments[0] = [first, NOTHING, NOTHING, NOTHING, NOTHING]
        for entry in callbacks:
            # Helpers give them what they like, or the program something else than where it calls them itself.
            self._arguments[entry] = [ANYTHING] * 5
        self._changed = True
        while self._changed:  # what one function is called with depends on the others
            self._changed = False
            for function in functions.values():
                self._analyse(function)

    def _analyse(self, function: Function) -> None:
        arguments = self._arguments[function.entry]
        if arguments is None:  # not called, so far
            arguments = [NOTHING] * 5
        states: dict[int, Facts] = {function.entry: ([NOTHING, *arguments, *[NOTHING] * 4, FRAME], 0)}
        cells = self._cells[function.entry]
        self._now = self.of[function.entry]
        order = list(function.blocks)
        place = {start: index for index, start in enumerate(order)}
        pending, waiting = [0], {0}
        while pending:
            waiting.discard(pending[0])
            start = order[heappop(pending)]
            registers, verified = states[start][0].copy(), states[start][1]
            before = len(cells)
            block = function.blocks[start]
            pointers, described = _exact_pointers(registers), registers.copy()
            for at in block.slots:
                if registers != described:  # of most instructions nothing comes that is looked at here
                    pointers, described = _exact_pointers(registers), registers.copy()
                self._now.verified[at] = verified
                self._now.stack_pointers[at] = pointers
                self._note_stack(self._slots[at], registers)
                self._step(self._slots[at], at, registers, cells)
                if at in self._moving:
                    verified = 0
                    registers = [_void(origin) for origin in registers]
            if len(cells) != before:
                self._changed = True
            for after in block.successors:
                found = max(verified, self._found(block.slots[-1], after, registers))
                known = states.get(after)
                merged = (registers, found) if known is None else _joined(known, (registers, found))
                if known is not None and any(map(_is_lost, merged[0], known[0], registers)):
                    self._use_stack(STACK_SIZE)
                if merged != known:
                    states[after] = (merged[0].copy(), merged[1])
                    if place[after] not in waiting:
                        waiting.add(place[after])
                        heappush(pending, place[after])

    def _found(self, at: int, after: int, registers: Registers) -> int:
        """Return how many bytes from `data` on are in the packet if a jump leads to that block."""
        slot = self._slots[at]
        operation = slot.opcode & 0xF0
        if slot.opcode & 7 != BPF_JMP or not slot.opcode & BPF_X or operation not in _COMPARISONS:
            return 0
        a, b = registers[slot.dst], registers[slot.src]
        if a.region is Region.END:
            a, b, operation = b, a, _TURNED[operation]
        if a.region is not Region.PACKET or a.exact is None or b != Origin(Region.END, 0):
            return 0
        if_true, more = _COMPARISONS[operation]
        taken, next_ = at + 1 + slot.off, at + 1
        if taken == next_ or after != (taken if if_true else next_):
            return 0
        return a.exact + more if 0 < a.exact < _FAR else 0

    def _step(self, slot: Slot, at: int, registers: Registers, cells: dict[int, Origin]) -> None:
        kind = slot.opcode & 7
        if kind == BPF_ALU64:
            registers[slot.dst] = _arithmetic(slot, registers)
        elif kind == BPF_LDX:
            base = self._now.at[at] = registers[slot.src]
            registers[slot.dst] = self._loaded(slot, base, cells)
        elif kind in (2, BPF_STX):
            self._store(slot, at, registers, cells)
        elif calls_function(slot):
            self._call(at + 1 + slot.imm, registers)
        elif slot.opcode == CALL and slot.src == 0 and slot.imm == BPF_FUNC_MAP_LOOKUP_ELEM:
            self._lookup(at, registers)
        elif slot.opcode in (CALL, CALLX):
            registers[0] = ANYTHING
        elif slot.opcode == LDIMM64:
            registers[slot.dst] = _constant(slot, self._slots[at + 1].imm)
        elif kind == BPF_ALU:
            registers[slot.dst] = NOTHING
        elif slot.opcode & BPF_X and Region.PACKET in (registers[slot.dst].region, registers[slot.src].region):
            self._now.bounds.add(at)
        elif slot.opcode in _NULL_CHECKS and not slot.imm and registers[slot.dst].region is Region.ELEMENT:
            self._now.found[at] = at + 1 + slot.off * _NULL_CHECKS[slot.opcode]

    def _note_stack(self, slot: Slot, registers: Registers) -> None:
        """Note how far down the frame is used: all of it, once a pointer into it goes where it can't be followed."""
        if slot.opcode == CALL and slot.src == 0 and slot.imm == BPF_FUNC_MAP_LOOKUP_ELEM:
            return  # `_lookup` does
        read = used(slot)
        while read:
            register = read.bit_length() - 1
            read ^= 1 << register
            if registers[register].region is Region.STACK:
                self._use_stack(_reach(slot, register, registers[register]))

    def _use_stack(self, size: int) -> None:
        self._now.stack_size = max(self._now.stack_size, size)

    def _lookup(self, at: int, registers: Registers) -> None:
        map_, key = registers[1], registers[2]
        size = self._key_sizes.get(map_.which) if map_.region is Region.MAP and map_.exact == 0 else None
        inside = key.region is Region.STACK and key.exact is not None
        if size is None or not inside or not -STACK_SIZE <= (key.exact or 0) <= -size:
            self._now.lookups.pop(at, None)
            registers[0] = ANYTHING
            if any(origin.region is Region.STACK for origin in registers[1:6]):
                self._use_stack(STACK_SIZE)
            return
        self._use_stack(-(key.exact or 0))
        self._now.lookups[at] = (map_.which, key.exact or 0)
        element = Origin(Region.ELEMENT, None, at)
        # What the same instruction found before is another element.
        registers[:] = [ANYTHING if _is_in(origin, element) else origin for origin in registers]
        registers[0] = element

    def _loaded(self, slot: Slot, base: Origin, cells: Mapping[int, Origin]) -> Origin:
        if SIZES[slot.opcode & 0x18] != 8 or slot.opcode & 0xE0 != BPF_MEM:
            return NOTHING
        if base.region is Region.CONTEXT:
            return self._field(base.exact, slot.off)
        if base.exact is None:
            return ANYTHING
        place = base.exact + slot.off
        cell = cells.get(place, ANYTHING)
        return Origin(cell.region, None, cell.which, sure=False)

    def _field(self, start: int | None, offset: int) -> Origin:
        """Return what is loaded from the context; a pointer to it that was in memory is likely to its start."""
        kind = self._packet_fields.get((start or 0) + offset, "")
        if kind not in _POINTERS:
            return ANYTHING
        return _POINTERS[kind] if start is not None else Origin(_POINTERS[kind].region, sure=False)

    def _store(self, slot: Slot, at: int, registers: Registers, cells: dict[int, Origin]) -> None:
        base = self._now.at[at] = registers[slot.dst]
        atomic = slot.opcode & 7 == BPF_STX and slot.opcode & 0xE0 == BPF_ATOMIC
        if atomic:
            if slot.imm == _LOAD_ACQUIRE:
                self._now.at[at] = registers[slot.src]
            written = defined(slot)
            for register in range(11):
                if written >> register & 1:
                    registers[register] = NOTHING
        elif slot.opcode & 7 == BPF_STX and SIZES[slot.opcode & 0x18] == 8:
            stored = registers[slot.src].moved()
            if base.region is Region.STACK and base.exact is not None and stored != NOTHING:
                place = base.exact + slot.off
                cells[place] = join(cells.get(place, stored), stored)

    def _call(self, entry: int, registers: Registers) -> None:
        known = self._arguments[entry]
        given = [_passed(origin) for origin in registers[1:6]]
        joined = given if known is None else [join(a, b) for a, b in zip(known, given, strict=True)]
        if joined != known:
            self._arguments[entry] = joined
            self._changed = True
        registers[:6] = [ANYTHING] * 6


def _joined(a: Facts, b: Facts) -> Facts:
    return [join(x, y) for x, y in zip(a[0], b[0], strict=True)], min(a[1], b[1])


def _is_in(a: Origin, b: Origin) -> bool:
    return a.region is b.region and a.which == b.which


def _is_lost(joined: Origin, a: Origin, b: Origin) -> bool:
    """Tell whether a pointer into the frame can't be told from others any more."""
    return joined.region is Region.MANY and Region.STACK in (a.region, b.region)


def _void(origin: Origin) -> Origin:
    """Return what is left of an origin when the packet moves."""
    return Origin(Region.MANY) if origin.region in (Region.PACKET, Region.END) else origin


def _passed(origin: Origin) -> Origin:
    """Return what a callee knows: the stack of its caller is not its own."""
    if origin.region is Region.PACKET:
        return origin.moved()
    return Origin(Region.MANY) if origin.region in (Region.STACK, Region.ELEMENT) else origin


def _arithmetic(slot: Slot, registers: Registers) -> Origin:
    value, operation, by_register = registers[slot.dst], slot.opcode & 0xF0, slot.opcode & BPF_X
    if operation == BPF_MOV:
        return registers[slot.src] if by_register and slot.off == 0 else NOTHING
    if operation not in (BPF_ADD, BPF_SUB):
        return NOTHING
    if not by_register:
        if value.exact is None:
            return value
        return value.moved(value.exact + (slot.imm if operation == BPF_ADD else -slot.imm))
    pointers = [origin for origin in (value, registers[slot.src]) if origin.region not in (Region.NONE, Region.MANY)]
    if len(pointers) == 2:
        return NOTHING  # a distance between pointers
    return pointers[0].moved() if pointers else join(value, registers[slot.src]).moved()


def _constant(slot: Slot, high: int) -> Origin:
    if slot.src == BPF_PSEUDO_MAP_IDX:
        return Origin(Region.MAP, 0, slot.imm)
    return Origin(Region.DATA, high & 0xFFFFFFFF, slot.imm) if slot.src == BPF_PSEUDO_MAP_IDX_VALUE else NOTHING


def _reach(slot: Slot, register: int, origin: Origin) -> int:
    """Return how far down an instruction may touch the frame through a register."""
    if origin.region is not Region.STACK or origin.exact is None:
        return STACK_SIZE
    access, operation = access_of(slot), slot.opcode & 0xF0
    stored = slot.opcode & 7 == BPF_STX and slot.src == register and slot.imm != _LOAD_ACQUIRE
    if access is not None and register == access.base and not stored:
        return min(max(-(origin.exact + access.offset), 0), STACK_SIZE)
    moves = (operation == BPF_MOV and not slot.off) or (operation in (BPF_ADD, BPF_SUB) and not slot.opcode & BPF_X)
    return 0 if slot.opcode & 7 == BPF_ALU64 and moves else STACK_SIZE


def _exact_pointers(registers: Registers) -> dict[int, int]:
    return {
        register: origin.exact
        for register, origin in enumerate(registers[:10])
        if origin.region is Region.STACK and origin.exact is not None
    }
