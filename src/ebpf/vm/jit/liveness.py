"""Which registers an instruction reads and writes, and which of them still matter where (as sets of bits)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ebpf.abi.linux.functions import BPF_FUNC_TAIL_CALL
from ebpf.abi.linux.prototypes import PROTOTYPES, Arg
from ebpf.asm.opcodes import (
    BPF_ALU,
    BPF_ALU64,
    BPF_JMP,
    BPF_JMP32,
    BPF_LDX,
    BPF_ST,
    BPF_STX,
    CALL,
    CALLX,
    EXIT,
    LDIMM64,
)
from ebpf.vm.jit.blocks import Block, Function, calls_function
from ebpf.vm.program import Slot

ALL = 0x7FF
ARGUMENTS = 0b111110
"""r1 to r5."""
PASSED = ARGUMENTS | 1
"""What compiled functions pass on to others: a function without a result returns the r0 that it found."""
SAVED = 0b1111000000
"""r6 to r9. A function that reads one before it writes it finds its caller's."""
_CALLING_BACK = frozenset(helper for helper, prototype in PROTOTYPES.items() if Arg.CALLBACK in prototype.args)
_MOV, _FETCH, _CMPXCHG, _LOAD_ACQ = 0xB0, 1, 0xF1, 0x100
_ATOMIC, _MODE, _SOURCE_X, _KIND = 0xC0, 0xE0, 8, 0xF0


def used(slot: Slot) -> int:
    """Return the registers that an instruction reads."""
    dst, src, kind = 1 << slot.dst, 1 << slot.src, slot.opcode & 7
    by_register = src if slot.opcode & _SOURCE_X else 0
    if kind in (BPF_ALU, BPF_ALU64):
        if slot.opcode & _KIND in (0x80, 0xD0):
            return dst
        return by_register if slot.opcode & _KIND == _MOV else dst | by_register
    if kind in (BPF_JMP, BPF_JMP32):
        return _used_by_jump(slot, dst | by_register)
    if kind == BPF_LDX:
        return src
    if kind == BPF_ST:
        return dst
    if kind == BPF_STX:
        return dst | src | (1 if slot.opcode & _MODE == _ATOMIC and slot.imm == _CMPXCHG else 0)
    return 0 if slot.opcode in (LDIMM64, 0) else ALL  # legacy packet loads are the interpreter's


def _used_by_jump(slot: Slot, operands: int) -> int:
    if slot.opcode == EXIT:
        return 1
    if slot.opcode == CALL:
        # A program that is called in a tail finds the registers as they were.
        return ALL if slot.src == 0 and slot.imm == BPF_FUNC_TAIL_CALL else ARGUMENTS
    if slot.opcode == CALLX:
        return ARGUMENTS | 1 << (slot.dst or slot.imm) & ALL
    return 0 if slot.opcode & _KIND in (0x00, 0xE0) else operands


def defined(slot: Slot) -> int:
    """Return the registers that an instruction writes."""
    kind = slot.opcode & 7
    if kind in (BPF_ALU, BPF_ALU64, BPF_LDX) or slot.opcode == LDIMM64:
        return 1 << slot.dst
    if slot.opcode in (CALL, CALLX):
        return 1
    if kind == BPF_STX and slot.opcode & _MODE == _ATOMIC:
        if slot.imm == _CMPXCHG:
            return 1
        if slot.imm == _LOAD_ACQ:
            return 1 << slot.dst
        return 1 << slot.src if slot.imm & _FETCH else 0
    return 0


def find_liveness(
    slots: Sequence[Slot], functions: Mapping[int, Function], arguments: Callable[[int], int]
) -> dict[int, Liveness]:
    """Return the liveness of each function; `arguments` tells how many a helper takes."""
    entries = dict.fromkeys(functions, 0)
    while True:
        found = {entry: Liveness(slots, function, entries, arguments) for entry, function in functions.items()}
        now = {entry: liveness.entry for entry, liveness in found.items()}
        if now == entries:
            return found
        entries = now


class Liveness:
    """For each slot of a function: the registers that matter before it.

    `entries` are those that matter at the start of the functions that it calls.
    """

    __slots__ = ("_arguments", "_entries", "before", "entry")

    def __init__(
        self,
        slots: Sequence[Slot],
        function: Function,
        entries: Mapping[int, int],
        arguments: Callable[[int], int],
    ) -> None:
        self._entries = entries
        self._arguments = arguments
        self.before: dict[int, int] = {}
        starts = dict.fromkeys(function.blocks, 0)
        pending = list(function.blocks)  # popped from the end: the order of a backward analysis
        waiting = set(pending)
        while pending:
            start = pending.pop()
            waiting.discard(start)
            block = function.blocks[start]
            live = self._walk(slots, block, starts)
            if live != starts[start]:
                starts[start] = live
                fresh = [before for before in block.predecessors if before not in waiting]
                waiting.update(fresh)
                pending.extend(fresh)
        self.entry = starts[function.entry]

    def _walk(self, slots: Sequence[Slot], block: Block, starts: Mapping[int, int]) -> int:
        live = 0
        for after in block.successors:
            live |= starts[after]
        for at in reversed(block.slots):
            slot = slots[at]
            live = live & ~defined(slot) | self._used(slot, at)
            self.before[at] = live
        return live

    def _used(self, slot: Slot, at: int) -> int:
        if calls_function(slot):
            return self._entries[at + 1 + slot.imm] & (PASSED | SAVED)
        if slot.opcode == CALL and slot.src == 0 and slot.imm != BPF_FUNC_TAIL_CALL:
            return self.seen_by_helper(slot)
        return used(slot)

    def seen_by_helper(self, slot: Slot) -> int:
        """Return the registers that a helper finds, and the functions that it calls back."""
        if slot.opcode == CALLX:
            return ARGUMENTS
        called_back = 0
        if slot.imm in _CALLING_BACK:
            for entry in self._entries.values():
                called_back |= entry & (SAVED | 1)
        return ARGUMENTS & (2 << self._arguments(slot.imm)) - 1 | called_back

    def after(self, block: Block, index: int) -> int:
        """Return the registers that matter after the instruction at place `index` of a block."""
        if index + 1 < len(block.slots):
            return self.before[block.slots[index + 1]]
        live = 0
        for start in block.successors:
            live |= self.before[start]
        return live


def clobbered_arguments_matter(slots: Sequence[Slot], block: Block, index: int, liveness: Liveness) -> bool:
    """Tell whether r1 to r5 are read after a call of a function, which leaves them as that function did."""
    return calls_function(slots[block.slots[index]]) and bool(liveness.after(block, index) & ARGUMENTS)
