"""Insertion of instructions into a program, with everything that counts slots put right (bpf_patch_insn_data)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from ebpf.abi.linux import ERANGE
from ebpf.asm.opcodes import BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, CALL, GOTOL, LDIMM64
from ebpf.plain import NamedTuple
from ebpf.vm.fault import Rejected
from ebpf.vm.flow import Flow, jump_target
from ebpf.vm.program import Slot


class Patched(NamedTuple):
    """The longer program: its functions' first slots, and the old slot of each slot."""

    slots: Sequence[Slot]
    functions: tuple[int, ...]
    origins: Sequence[int]


def insert(slots: Sequence[Slot], flow: Flow, inserted: Mapping[int, Slot]) -> Patched:
    """Put `inserted[at]` before slot `at`; jumps to `at` then lead to what was inserted.

    Function pointers in `slots` are lowered: their immediate is the function's slot.

    Raises:
        Rejected: ERANGE when a jump gets too long for its field.
    """
    # Where each old slot begins now, an inserted instruction before it included.
    starts = list(accumulate((1 + (at in inserted) for at in range(len(slots))), initial=0))
    result: list[Slot] = []
    origins: list[int] = []
    for at, slot in enumerate(slots):
        if at in inserted:
            result.append(inserted[at])
            origins.append(at)
        result.append(slot if at in flow.halves else _moved(slot, at, len(result), starts))
        origins.append(at)
    return Patched(result, tuple(starts[function] for function in flow.functions), origins)


def _moved(slot: Slot, at: int, now: int, starts: Sequence[int]) -> Slot:
    if slot.opcode == LDIMM64:
        return slot._replace(imm=starts[slot.imm]) if slot.src == BPF_PSEUDO_FUNC else slot
    if slot.opcode == CALL:
        return slot._replace(imm=starts[at + 1 + slot.imm] - now - 1) if slot.src == BPF_PSEUDO_CALL else slot
    target = jump_target(slot, at)
    if target is None:
        return slot
    distance = starts[target] - now - 1
    if slot.opcode == GOTOL:
        return slot._replace(imm=distance)
    if not -(1 << 15) <= distance < 1 << 15:
        raise Rejected(ERANGE, f"insn {at} cannot be patched due to 16-bit range")
    return slot._replace(off=distance)
