"""Programs out of functions: an entry function and, behind it, each subprogram that it reaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ebpf.abi.types import ProgramType
from ebpf.asm import Instructions
from ebpf.elf.functions import Function
from ebpf.elf.programs import classify_section
from ebpf.errors import LinkingError
from ebpf.spec import FuncInfo, ProgramSpec

_FREE_INSNS = 1 << 20
"""How many instructions the linked programs of any object may have together, besides twice what the object holds."""


def link_programs(functions: Mapping[str, Function], *, license: str, kernel_version: int) -> dict[str, ProgramSpec]:
    """Return the programs of an object: each function outside `.text`, linked with its subprograms.

    Raises LinkingError when the linked programs, which share subprograms, come to absurdly many instructions.
    """
    budget = _FREE_INSNS + 2 * sum(len(function.insns) for function in functions.values())
    programs = {}
    for function in functions.values():
        if function.section.name == ".text":
            continue
        insns, func_info = _link(function, functions)
        budget -= len(insns)
        if budget < 0:
            raise LinkingError("programs have too many instructions when linked", section=function.section.name)
        kind = classify_section(function.section.name)
        programs[function.name] = ProgramSpec(
            function.name,
            kind.type,
            insns,
            license=license,
            attach_type=kind.attach_type,
            attach_to=kind.attach_to,
            section=function.section.name,
            flags=kind.flags,
            autoload=kind.autoload and kind.type is not ProgramType.UNSPEC,
            kernel_version=kernel_version,
            func_info=func_info,
        )
    return programs


def _link(entry: Function, functions: Mapping[str, Function]) -> tuple[Instructions, tuple[FuncInfo, ...]]:
    insns = Instructions()
    func_info = []
    for function in _reached(entry, functions):
        if function.type is not None:
            func_info.append(FuncInfo(len(insns), function.type))
        insns.extend(function.insns)
    return insns.linked(), tuple(func_info)


def _reached(entry: Function, functions: Mapping[str, Function]) -> Iterator[Function]:
    """Yield the entry and what it reaches, in the order in which the linked program first uses each."""
    order = {entry.name: None}
    pending = [entry.name]
    for name in pending:
        yield functions[name]
        for called in functions[name].calls:
            # A function that is only declared stays an unresolved reference, which load reports.
            if called in functions and called not in order:
                order[called] = None
                pending.append(called)
