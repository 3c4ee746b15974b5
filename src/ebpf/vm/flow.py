"""Where execution can go: functions, jump targets, reachability and call depth (kernel/bpf/verifier.c, check_cfg)."""

from __future__ import annotations

from collections.abc import Sequence

from ebpf.abi.linux import E2BIG, EINVAL
from ebpf.asm.opcodes import (
    BPF_JMP,
    BPF_JMP32,
    BPF_PSEUDO_CALL,
    BPF_PSEUDO_FUNC,
    CALL,
    CALLX,
    EXIT,
    GOTO,
    GOTOL,
    LDIMM64,
)
from ebpf.plain import NamedTuple
from ebpf.vm.fault import Rejected
from ebpf.vm.machine import MAX_FRAMES
from ebpf.vm.program import Slot, positions, table_of

_JUMPS = {*range(BPF_JMP, 256, 8), *range(BPF_JMP32, 256, 8)} - {CALL, CALLX, EXIT, GOTOL}
"""Jumps whose distance is `off`."""
ENDS = frozenset(_JUMPS | {GOTOL, EXIT})
"""What straight code ends with."""
_IS_JUMP = table_of(_JUMPS | {GOTOL})
IS_END = table_of(ENDS)
_NAMES = table_of((CALL, LDIMM64))
"""What may name a function."""


class Flow(NamedTuple):
    """The shape of a program: first slots of its functions in order, and which slots are second halves of ldimm64.

    `apart` tells that no jump leads from one function into another; `jumps` is where each jump leads.
    """

    functions: tuple[int, ...]
    halves: frozenset[int]
    apart: bool
    jumps: dict[int, int]


def second_halves(opcodes: bytes) -> frozenset[int]:
    """Return which slots are second halves of ldimm64; what should be one may lie behind the end."""
    found = []
    at = opcodes.find(LDIMM64)
    while at >= 0:
        found.append(at + 1)
        at = opcodes.find(LDIMM64, at + 2)
    return frozenset(found)


def check_flow(slots: Sequence[Slot], opcodes: bytes, halves: frozenset[int], *, strict: bool) -> Flow:
    """Find the functions and refuse jumps that lead astray. The opcode of a second half is 0.

    With `strict`, what Linux asks for beyond that is checked, too: no jump from one function into another, no
    unreachable instruction, each function's last instruction an exit or jump, at most 8 frames and no recursion.

    Raises:
        Rejected: EINVAL; E2BIG for calls nested too deep.
    """
    named = _named_functions(slots, opcodes, halves)
    functions = tuple(sorted({0, *named.values()}))
    jumps = {at: at + 1 + _distance(slots[at]) for at in positions(opcodes.translate(_IS_JUMP))}
    apart = strict and _check_bounds(slots, functions, halves, jumps)
    reached = _walk(opcodes, halves, jumps, named)
    if strict:
        for half in halves:
            reached[half] = 1
        missed = reached.find(0)
        if missed >= 0:
            raise Rejected(EINVAL, f"unreachable insn {missed}")
        _check_depth(opcodes, functions, named)
    # A call that nothing leads to may name code that runs into its end.
    return Flow(tuple(start for start in functions if reached[start]), halves, apart, jumps)


def _distance(slot: Slot) -> int:
    return slot.imm if slot.opcode == GOTOL else slot.off


def jump_target(slot: Slot, at: int) -> int | None:
    """Return where a jump leads when it is taken; None for calls, exit and everything else."""
    return at + 1 + _distance(slot) if _IS_JUMP[slot.opcode] else None


def called_function(slot: Slot, at: int) -> int | None:
    """Return the function that an instruction calls or takes the address of."""
    calls = slot.opcode == CALL and slot.src == BPF_PSEUDO_CALL
    points = slot.opcode == LDIMM64 and slot.src == BPF_PSEUDO_FUNC
    return at + 1 + slot.imm if calls or points else None


def leads_to(opcode: int, at: int, target: int | None) -> tuple[int, ...]:
    """Return where an instruction of one slot leads in its function; `target` is that of a jump."""
    if opcode == EXIT:
        return ()
    if target is None:
        return (at + 1,)
    return (target,) if opcode in (GOTO, GOTOL) else (at + 1, target)


def successors(slots: Sequence[Slot], at: int) -> tuple[int, ...]:
    """Return the slots that may follow in the same function."""
    slot = slots[at]
    return (at + 2,) if slot.opcode == LDIMM64 else leads_to(slot.opcode, at, jump_target(slot, at))


def _named_functions(slots: Sequence[Slot], opcodes: bytes, halves: frozenset[int]) -> dict[int, int]:
    """Map each instruction that calls a function or takes its address to the function."""
    named = {}
    for at in positions(opcodes.translate(_NAMES)):
        target = called_function(slots[at], at)
        if target is None:
            continue
        if not 0 <= target < len(slots) or target in halves:
            raise Rejected(EINVAL, f"call to invalid destination: insn {at} names {target}")
        named[at] = target
    return named


def _check_bounds(
    slots: Sequence[Slot], functions: tuple[int, ...], halves: frozenset[int], jumps: dict[int, int]
) -> bool:
    """Refuse functions that do not stand apart; return that they do."""
    waiting = list(reversed(jumps.items()))
    for start, end in zip(functions, (*functions[1:], len(slots)), strict=True):
        while waiting and waiting[-1][0] < end:
            at, target = waiting.pop()
            if not start <= target < end:
                raise Rejected(EINVAL, f"jump out of range from insn {at} to {target}")
        if end - 1 in halves or slots[end - 1].opcode not in (EXIT, GOTO, GOTOL):
            raise Rejected(EINVAL, f"last insn is not an exit or jmp: insn {end - 1}")
    return True


def _walk(opcodes: bytes, halves: frozenset[int], jumps: dict[int, int], named: dict[int, int]) -> bytearray:
    """Return a 1 for each slot that is reached."""
    ends = opcodes.translate(IS_END)
    reached = bytearray(len(opcodes))
    pending = [0]
    while pending:
        at = pending.pop()
        while not reached[at]:
            last, known = _straight(ends, reached, at)
            stop = last + 1 if known < 0 else known
            reached[at:stop] = b"\1" * (stop - at)
            if named:
                pending.extend(named[name] for name in range(at, stop) if name in named)
            if known >= 0 or opcodes[last] == EXIT:
                break
            following = leads_to(opcodes[last], last, jumps.get(last))
            for after in following:
                if not 0 <= after < len(opcodes) or after in halves:
                    raise _astray(last, after, halves)
            pending.extend(following[1:])
            at = following[0]
    return reached


def _straight(ends: bytes, reached: bytearray, at: int) -> tuple[int, int]:
    """Return the last slot of the straight code from a slot on, and which of it was reached first, -1 if none was.

    It looks ahead in growing steps: who jumps into the middle of long code must not pay for all of it.
    """
    reach = 64
    while True:
        stop = min(at + reach, len(ends))
        end = ends.find(1, at, stop)
        last = stop - 1 if end < 0 else end
        known = reached.find(1, at, last + 1)
        if end >= 0 or known >= 0 or stop == len(ends):
            return last, known
        reach *= 4


def _astray(last: int, after: int, halves: frozenset[int]) -> Rejected:
    at = last - 1 if last in halves else last
    if after in halves:
        return Rejected(EINVAL, f"jump into the middle of ldimm64 insn {after - 1}: from insn {at}")
    return Rejected(EINVAL, f"jump out of range from insn {at} to {after}")


def _check_depth(opcodes: bytes, functions: tuple[int, ...], named: dict[int, int]) -> None:
    calls: dict[int, set[int]] = {start: set() for start in functions}
    callers = list(functions)
    for at, function in sorted(named.items(), reverse=True):
        while callers[-1] > at:
            callers.pop()
        if opcodes[at] == CALL:
            calls[callers[-1]].add(function)
    # Widening the set of functions by one call at a time ends after 8 frames, recursion or not.
    frontier = {0, *(function for at, function in named.items() if opcodes[at] == LDIMM64)}
    for _ in range(MAX_FRAMES):
        frontier = {target for function in frontier for target in calls[function]}
    if frontier:
        raise Rejected(E2BIG, f"the call stack of {MAX_FRAMES + 1} frames is too deep")
