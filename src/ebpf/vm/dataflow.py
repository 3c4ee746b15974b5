"""Follows the context pointer through a program: which memory accesses go to the context (design, section 5).

Values flow through moves, spills to the stack, arguments of subprograms and of callbacks, also through pointers
into a caller's stack; where paths meet, they join. Each function is looked at once for every state in which it is
called. A store through a stack pointer of unknown offset is taken not to touch a spilled context pointer: Linux
refuses programs where it could, and here the access that follows would still be checked when it runs.
"""

from __future__ import annotations

from typing import TypeAlias

from ebpf.abi.linux import E2BIG
from ebpf.asm.opcodes import (
    BPF_ADD,
    BPF_ALU,
    BPF_ALU64,
    BPF_ATOMIC,
    BPF_CMPXCHG,
    BPF_FETCH,
    BPF_LD,
    BPF_LDX,
    BPF_LOAD_ACQ,
    BPF_MEM,
    BPF_MOV,
    BPF_PSEUDO_CALL,
    BPF_PSEUDO_FUNC,
    BPF_STORE_REL,
    BPF_STX,
    BPF_SUB,
    BPF_X,
    CALL,
    EXIT,
    LDIMM64,
    SIZES,
)
from ebpf.plain import NamedTuple
from ebpf.vm.fault import Rejected
from ebpf.vm.flow import IS_END, Flow, called_function, leads_to
from ebpf.vm.machine import MAX_FRAMES, STACK_SIZE
from ebpf.vm.program import Slot

_MAX_STATES = 1 << 17
"""Blocks looked at before a program is too complex (Linux stops at a million instructions)."""


class Origin:
    """What a value is as far as the context matters: one of the four below."""

    __slots__ = ("meaning",)

    def __init__(self, meaning: str) -> None:
        self.meaning = meaning

    def __repr__(self) -> str:
        return f"<{self.meaning}>"


OTHER = Origin("other")
CONTEXT = Origin("context")
MODIFIED = Origin("context plus something")
MIXED = Origin("context on one path, something else on another")


class StackPointer(NamedTuple):
    """An address in the stack of a frame, relative to its end; `offset` None where it is not constant."""

    frame: int
    offset: int | None


class FunctionPointer(NamedTuple):
    """The address of a function of the program."""

    slot: int


Value: TypeAlias = Origin | StackPointer | FunctionPointer

Cells: TypeAlias = dict[tuple[int, int], Value]
"""(frame, offset) → value of the 8 bytes there; what is missing is OTHER."""


def join(a: Value, b: Value) -> Value:
    """Return what is known of a value that is `a` on one path and `b` on another."""
    if a == b:
        return a
    if isinstance(a, StackPointer) and isinstance(b, StackPointer) and a.frame == b.frame:
        return StackPointer(a.frame, None)
    tracked = (CONTEXT, MODIFIED, MIXED)
    return MIXED if a in tracked or b in tracked else OTHER


def _join_cells(a: Cells, b: Cells) -> Cells:
    joined = {key: join(a.get(key, OTHER), b.get(key, OTHER)) for key in a.keys() | b.keys()}
    return {key: value for key, value in joined.items() if value is not OTHER}


class State:
    """Registers of the current function and the stack cells of all live frames. Joined states may share them.

    Those at the beginning of a block are not changed any more; a block begins with a copy.
    """

    __slots__ = ("cells", "registers")

    def __init__(self, registers: list[Value], cells: Cells) -> None:
        self.registers = registers
        self.cells = cells

    def copy(self) -> State:
        return State(self.registers.copy(), self.cells.copy())

    def joined(self, other: State) -> State:
        """Return what holds on both paths: this very state where that is the same."""
        registers, cells = self.registers, self.cells
        if registers != other.registers:
            registers = [join(a, b) for a, b in zip(registers, other.registers, strict=True)]
        if cells != other.cells:
            cells = _join_cells(cells, other.cells)
        return self if registers == self.registers and cells == self.cells else State(registers, cells)


class _Analysis:
    __slots__ = ("accesses", "ends", "extents", "flow", "opcodes", "registers", "results", "slots", "visits")

    def __init__(self, code: bytes, slots: list[Slot], flow: Flow) -> None:
        self.slots = slots
        self.opcodes, self.registers = code[::8], code[1::8]
        self.flow = flow
        self.accesses: dict[int, Origin] = {}
        self.results: dict[object, State | None] = {}
        self.ends = _block_ends(self.opcodes, flow)
        ends = (*flow.functions[1:], len(slots))
        self.extents = dict(zip(flow.functions, zip(flow.functions, ends, strict=True), strict=True))
        self.visits = 0

    def function(self, entry: int, frame: int, arguments: list[Value], cells: Cells) -> State | None:
        """Return the state in which a function returns (r0 and cells of outer frames), None if it never does."""
        if frame >= MAX_FRAMES:
            raise Rejected(E2BIG, f"the call stack of {frame + 1} frames is too deep")
        key = (entry, frame, tuple(arguments), frozenset(cells.items()))
        if key not in self.results:
            registers: list[Value] = [OTHER, *arguments, OTHER, OTHER, OTHER, OTHER, StackPointer(frame, 0)]
            result = self._blocks(entry, frame, State(registers, cells.copy()))
            if result is not None:
                result.cells = {place: value for place, value in result.cells.items() if place[0] < frame}
            self.results[key] = result
        return self.results[key]

    def _blocks(self, entry: int, frame: int, start: State) -> State | None:
        states = {entry: start}
        first, end = self.extents[entry] if self.flow.apart else (0, len(self.slots))
        waiting = bytearray(end - first)  # a 1 for each block that is to be looked at, the first one first
        at = entry
        waiting[at - first] = 1
        result: State | None = None
        while (place := waiting.find(1, at - first)) >= 0:
            waiting[place], at = 0, first + place
            self.visits += 1
            if self.visits > _MAX_STATES:
                raise Rejected(E2BIG, "BPF program is too complex: the context pointer can't be followed")
            state = states[at].copy()
            last = self._block(at, frame, state)
            if last is None:
                continue
            if self.opcodes[last] == EXIT:
                result = state if result is None else result.joined(state)
            for after in leads_to(self.opcodes[last], last, self.flow.jumps.get(last)):
                known = states.get(after)
                merged = state if known is None else known.joined(state)
                if merged is not known:
                    states[after] = merged
                    waiting[after - first] = 1
                    at = min(at, after)
        return result

    def _block(self, at: int, frame: int, state: State) -> int | None:
        """Go to the end of a block and return its last slot; None where a call in it never returns."""
        values, opcodes, registers = state.registers, self.opcodes, self.registers
        last = self.ends.find(1, at)
        for at in range(at, last + 1):  # noqa: B020 - from there on
            opcode = opcodes[at]
            kind = opcode & 7
            if kind == BPF_ALU64:
                dst, src = registers[at] & 15, registers[at] >> 4
                if values[dst] is not OTHER or (opcode & BPF_X and values[src] is not OTHER):
                    values[dst] = _arithmetic(self.slots[at], values)
            elif kind == BPF_ALU:
                values[registers[at] & 15] = OTHER  # half a pointer is none
            elif opcode == CALL:
                if not self._call(self.slots[at], at, frame, state):
                    return None
            elif kind <= BPF_STX and opcode:  # not the second half of a constant
                self._step(self.slots[at], at, state)
        return last

    def _call(self, slot: Slot, at: int, frame: int, state: State) -> bool:
        registers = state.registers
        returned: Value = OTHER
        if slot.src == BPF_PSEUDO_CALL:
            result = self._enter(at + 1 + slot.imm, frame, registers[1:6], state)
            if result is None:
                return False
            returned = result.registers[0]
        else:
            self._callback(slot.imm, frame, state)
        registers[:6] = [returned, OTHER, OTHER, OTHER, OTHER, OTHER]
        return True

    def _enter(self, entry: int, frame: int, arguments: list[Value], state: State) -> State | None:
        # Without a pointer into the stack the callee can't see the frames outside of it.
        sees_stack = any(isinstance(value, StackPointer) for value in arguments)
        result = self.function(entry, frame + 1, arguments, state.cells if sees_stack else {})
        if sees_stack and result is not None:
            state.cells = result.cells.copy()
        return result

    def _callback(self, number: int, frame: int, state: State) -> None:
        from ebpf.vm.callbacks import CALLBACKS  # with the names of all helpers, which many programs need none of

        if number not in CALLBACKS:
            return
        register, passed = CALLBACKS[number]
        function = state.registers[register]
        if not isinstance(function, FunctionPointer):
            return
        arguments = [state.registers[passed[i]] if i in passed else OTHER for i in range(1, 6)]
        while True:  # it may run any number of times, each on what the one before left
            before = state.cells
            if self._enter(function.slot, frame, arguments, state) is None:
                return
            state.cells = _join_cells(before, state.cells)
            if state.cells == before:
                return

    def _step(self, slot: Slot, at: int, state: State) -> None:
        """Follow a constant, a load or a store."""
        kind = slot.opcode & 7
        if kind == BPF_LD:
            self._load_constant(slot, at, state.registers)
        elif kind == BPF_LDX or (slot.opcode & 0xE0 == BPF_ATOMIC and kind == BPF_STX and slot.imm == BPF_LOAD_ACQ):
            self._load(slot, at, state)
        else:
            self._store(slot, at, state)

    def _load_constant(self, slot: Slot, at: int, registers: list[Value]) -> None:
        if slot.opcode != LDIMM64:  # legacy packet access
            registers[:6] = [OTHER] * 6
            return
        function = called_function(slot, at) if slot.src == BPF_PSEUDO_FUNC else None
        registers[slot.dst] = OTHER if function is None else FunctionPointer(function)

    def _load(self, slot: Slot, at: int, state: State) -> None:
        base = state.registers[slot.src]
        self._record(at, base)
        whole = SIZES[slot.opcode & 0x18] == 8 and slot.opcode & 0xE0 in (BPF_MEM, BPF_ATOMIC)
        loaded: Value = OTHER
        if whole and isinstance(base, StackPointer) and base.offset is not None:
            loaded = state.cells.get((base.frame, base.offset + slot.off), OTHER)
        state.registers[slot.dst] = loaded

    def _store(self, slot: Slot, at: int, state: State) -> None:
        registers = state.registers
        base = registers[slot.dst]
        self._record(at, base)
        size = SIZES[slot.opcode & 0x18]
        atomic = slot.opcode & 7 == BPF_STX and slot.opcode & 0xE0 == BPF_ATOMIC and slot.imm != BPF_STORE_REL
        stored = registers[slot.src] if slot.opcode & 7 == BPF_STX and size == 8 and not atomic else OTHER
        if isinstance(base, StackPointer) and base.offset is not None:
            _put(state.cells, base.frame, base.offset + slot.off, size, stored)
        if atomic and slot.imm & BPF_FETCH:
            registers[0 if slot.imm == BPF_CMPXCHG else slot.src] = OTHER

    def _record(self, at: int, base: Value) -> None:
        origin = base if isinstance(base, Origin) else OTHER
        known = self.accesses.setdefault(at, origin)
        if known is not origin:
            self.accesses[at] = MIXED


def _block_ends(opcodes: bytes, flow: Flow) -> bytearray:
    """Return a 1 for each slot with which a block ends: before what is jumped to, and where straight code ends."""
    ends = bytearray(opcodes.translate(IS_END))
    for target in set(flow.jumps.values()):
        if 0 < target < len(opcodes):
            ends[target - 1] = 1  # of a constant its second half
    return ends


def _put(cells: Cells, frame: int, offset: int, size: int, value: Value) -> None:
    if not -STACK_SIZE <= offset < 0:
        return
    for place in range(offset - 7, offset + size):
        cells.pop((frame, place), None)
    if value is not OTHER:
        cells[frame, offset] = value


def _arithmetic(slot: Slot, registers: list[Value]) -> Value:
    value, operation = registers[slot.dst], slot.opcode & 0xF0
    by_register = slot.opcode & BPF_X
    if operation == BPF_MOV:
        return registers[slot.src] if by_register and slot.off == 0 else OTHER
    if operation in (BPF_ADD, BPF_SUB) and not by_register:
        return _moved(value, slot.imm if operation == BPF_ADD else -slot.imm)
    if operation == BPF_ADD and not _is_pointer(value):
        value = registers[slot.src]
    if operation in (BPF_ADD, BPF_SUB) and isinstance(value, StackPointer):
        return StackPointer(value.frame, None)
    return MODIFIED if value in (CONTEXT, MODIFIED, MIXED) else OTHER


def _is_pointer(value: Value) -> bool:
    return value is not OTHER and not isinstance(value, FunctionPointer)


def _moved(value: Value, distance: int) -> Value:
    if isinstance(value, StackPointer):
        return value if value.offset is None else StackPointer(value.frame, value.offset + distance)
    if value in (CONTEXT, MODIFIED, MIXED):
        return value if distance == 0 else MODIFIED
    return OTHER


def context_accesses(code: bytes, slots: list[Slot], flow: Flow) -> dict[int, Origin]:
    """Map the slot of each load or store that can be reached to what its base register holds.

    `slots` are those of `code`.

    Raises:
        Rejected: E2BIG when calls nest too deep or the program is too complex.
    """
    analysis = _Analysis(code, slots, flow)
    analysis.function(0, 0, [CONTEXT, OTHER, OTHER, OTHER, OTHER], {})
    return analysis.accesses
