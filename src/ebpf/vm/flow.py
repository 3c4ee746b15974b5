"""Where execution can go: functions, jump targets, reachability and call depth (kernel/bpf/verifier.c, check_cfg)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ebpf.abi.linux.errno import E2BIG, EINVAL
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
from ebpf.vm.execution import MAX_FRAMES
from ebpf.vm.fault import Rejected
from ebpf.vm.program import Slot

_JUMPS = frozenset(opcode for opcode in range(256) if opcode & 7 in (BPF_JMP, BPF_JMP32)) - {CALL, CALLX, EXIT, GOTOL}
"""Jumps whose distance is `off`."""
ENDS = _JUMPS | {GOTOL, EXIT}
"""What straight code ends with."""
_TURNS = ENDS | {CALL, LDIMM64}
"""What may lead elsewhere than to the next slot."""


class Flow(NamedTuple):
    """The shape of a program: first slots of its functions in order, and which slots are second halves of ldimm64.

    `apart` tells that no jump leads from one function into another.
    """

    functions: tuple[int, ...]
    halves: frozenset[int]
    apart: bool


def check_flow(slots: Sequence[Slot], *, strict: bool) -> Flow:
    """Find the functions and refuse jumps that lead astray.

    With `strict`, what Linux asks for beyond that is checked, too: no jump from one function into another, no
    unreachable instruction, each function's last instruction an exit or jump, at most 8 frames and no recursion.

    Raises:
        Rejected: EINVAL; E2BIG for calls nested too deep.
    """
    instructions = list(_instructions(slots))
    halves = frozenset(at + 1 for at in instructions if slots[at].opcode == LDIMM64)
    functions = _functions(slots, instructions, halves)
    apart = strict and _check_bounds(slots, functions, halves)
    reached = _walk(slots, halves)
    if strict:
        for at in instructions:
            if at not in reached:
                raise Rejected(EINVAL, f"unreachable insn {at}")
        _check_depth(slots, functions, halves)
    # A call that nothing leads to may name code that runs into its end.
    return Flow(tuple(start for start in functions if start in reached), halves, apart)


def _instructions(slots: Sequence[Slot]) -> Iterator[int]:
    at = 0
    while at < len(slots):
        yield at
        at += 2 if slots[at].opcode == LDIMM64 else 1


def jump_target(slot: Slot, at: int) -> int | None:
    """Return where a jump leads when it is taken; None for calls, exit and everything else."""
    if slot.opcode in _JUMPS:
        return at + 1 + slot.off
    return at + 1 + slot.imm if slot.opcode == GOTOL else None


def called_function(slot: Slot, at: int) -> int | None:
    """Return the function that an instruction calls or takes the address of."""
    calls = slot.opcode == CALL and slot.src == BPF_PSEUDO_CALL
    points = slot.opcode == LDIMM64 and slot.src == BPF_PSEUDO_FUNC
    return at + 1 + slot.imm if calls or points else None


def successors(slots: Sequence[Slot], at: int) -> tuple[int, ...]:
    """Return the slots that may follow in the same function."""
    slot = slots[at]
    if slot.opcode == EXIT:
        return ()
    target = jump_target(slot, at)
    after = at + (2 if slot.opcode == LDIMM64 else 1)
    if target is None:
        return (after,)
    return (target,) if slot.opcode in (GOTO, GOTOL) else (after, target)


def _functions(slots: Sequence[Slot], instructions: list[int], halves: frozenset[int]) -> tuple[int, ...]:
    starts = {0}
    for at in instructions:
        target = called_function(slots[at], at)
        if target is None:
            continue
        if not 0 <= target < len(slots) or target in halves:
            raise Rejected(EINVAL, f"call to invalid destination: insn {at} names {target}")
        starts.add(target)
    return tuple(sorted(starts))


def _check_bounds(slots: Sequence[Slot], functions: tuple[int, ...], halves: frozenset[int]) -> bool:
    """Refuse functions that do not stand apart; return that they do."""
    for start, end in zip(functions, (*functions[1:], len(slots)), strict=True):
        for at in range(start, end):
            target = None if at in halves else jump_target(slots[at], at)
            if target is not None and not start <= target < end:
                raise Rejected(EINVAL, f"jump out of range from insn {at} to {target}")
        if end - 1 in halves or slots[end - 1].opcode not in (EXIT, GOTO, GOTOL):
            raise Rejected(EINVAL, f"last insn is not an exit or jmp: insn {end - 1}")
    return True


def _walk(slots: Sequence[Slot], halves: frozenset[int]) -> set[int]:
    reached: set[int] = set()
    pending = [0]
    while pending:
        at = pending.pop()
        while at not in reached:
            reached.add(at)
            if slots[at].opcode not in _TURNS and at + 1 < len(slots):
                at += 1
                continue
            function = called_function(slots[at], at)
            if function is not None:
                pending.append(function)
            following = successors(slots, at)
            for after in following:
                if not 0 <= after < len(slots):
                    raise Rejected(EINVAL, f"jump out of range from insn {at} to {after}")
                if after in halves:
                    raise Rejected(EINVAL, f"jump into the middle of ldimm64 insn {after - 1}: from insn {at}")
            pending.extend(following[1:])
            at = following[0] if following else at
    return reached


def _check_depth(slots: Sequence[Slot], functions: tuple[int, ...], halves: frozenset[int]) -> None:
    calls: dict[int, set[int]] = {}
    for start, end in zip(functions, (*functions[1:], len(slots)), strict=True):
        called = (called_function(slots[at], at) for at in range(start, end) if slots[at].opcode == CALL)
        calls[start] = {target for target in called if target is not None}
    # Widening the set of functions by one call at a time ends after 8 frames, recursion or not.
    frontier = {0, *_pointed_at(slots, halves)}
    for _ in range(MAX_FRAMES):
        frontier = {target for function in frontier for target in calls[function]}
    if frontier:
        raise Rejected(E2BIG, f"the call stack of {MAX_FRAMES + 1} frames is too deep")


def _pointed_at(slots: Sequence[Slot], halves: frozenset[int]) -> set[int]:
    found = (called_function(slot, at) for at, slot in enumerate(slots) if at not in halves and slot.opcode == LDIMM64)
    return {target for target in found if target is not None}
