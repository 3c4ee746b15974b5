"""References inside a list of instructions: calls and function pointers become distances, the others are resolved."""

from __future__ import annotations

from collections.abc import Callable, Container

from ebpf.asm.instructions import Insn, Instructions
from ebpf.asm.metadata import FUNCTIONS
from ebpf.asm.opcodes import BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, CALL, LDIMM64
from ebpf.errors import AsmError

_U32 = 0xFFFFFFFF


def linked(insns: Instructions) -> Instructions:
    """Return the list with the distances of its own functions filled in; the references stay.

    Raises AsmError if there are references and a symbol is defined twice.
    """
    result = insns.copy()
    if not any(insn.reference for insn in insns):
        return result
    symbols = insns.symbols()
    offsets = insns.raw_offsets()
    for index, insn in enumerate(insns):
        reference = insn.reference
        if reference is not None and reference.kind in FUNCTIONS and reference.name in symbols:
            result[index] = link(insn, offsets[symbols[reference.name]] - offsets[index] - 1)
    return result


def resolved(insns: Instructions, resolve: Callable[[Insn], Insn] | None) -> Instructions:
    """Return the linked list; `resolve` replaces each other instruction that has a reference."""
    result = linked(insns)
    if resolve is None:
        return result
    symbols = insns.symbols()
    for index, insn in enumerate(result):
        if not _is_settled(insn, symbols):
            result[index] = _resolve(resolve, insn, index)
    return result


def link(insn: Insn, distance: int) -> Insn:
    """Point a call or a function pointer at the function `distance` slots behind the next slot."""
    if insn.opcode == LDIMM64:
        return insn._replace(src=BPF_PSEUDO_FUNC, imm=distance & _U32)
    if insn.opcode == CALL:
        return insn._replace(src=BPF_PSEUDO_CALL, imm=distance)
    raise AsmError(f"only a call or ldimm64 can refer to a function, found opcode {insn.opcode:#04x}")


def _is_settled(insn: Insn, symbols: Container[str]) -> bool:
    reference = insn.reference
    return reference is None or (reference.kind in FUNCTIONS and reference.name in symbols)


def _resolve(resolve: Callable[[Insn], Insn], insn: Insn, index: int) -> Insn:
    result = resolve(insn)
    if result.slots != insn.slots:
        raise AsmError(f"instruction {index} takes {insn.slots} slots, its replacement {result.slots}")
    return result
