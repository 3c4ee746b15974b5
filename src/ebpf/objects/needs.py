"""What a program needs from the running system that load can't supply yet: refused by name, before anything is made."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ebpf.abi import types
from ebpf.abi.types import ProgramType
from ebpf.errors import NotSupportedError, RelocationError

if TYPE_CHECKING:
    from ebpf.spec import CollectionSpec, ProgramSpec

_OF_A_TARGET = (ProgramType.TRACING, ProgramType.LSM, ProgramType.EXT, ProgramType.STRUCT_OPS)
"""Types that the kernel refuses without the BTF id of what they attach to, with EPERM or EINVAL and no word of it."""
_REMEDY = "this version does not resolve it; set autoload=False on the program to load the others"


def is_loaded(program: ProgramSpec) -> bool:
    """Say whether a load takes this program: not `?` ones, nor those of an unknown section."""
    return program.autoload and program.type is not ProgramType.UNSPEC


def needed_maps(spec: CollectionSpec) -> list[str]:
    """Return the maps to create: all but a .kconfig section that no loaded program uses."""
    if ".kconfig" not in spec.maps:
        return list(spec.maps)
    from ebpf.objects.unresolved import uses_map

    used = any(uses_map(program, ".kconfig") for program in spec.programs.values() if is_loaded(program))
    return [name for name in spec.maps if used or name != ".kconfig"]


def refuse_unsupported(spec: CollectionSpec) -> None:
    """Raise NotSupportedError or RelocationError for what an object needs and load can't give on any runtime."""
    if spec.byte_order != sys.byteorder:
        raise NotSupportedError(f"loading a {spec.byte_order}-endian object", alternative="compile it for this machine")
    for name in needed_maps(spec):
        if spec.maps[name].type is types.MapType.STRUCT_OPS:
            raise NotSupportedError(f"struct_ops map {name}", alternative="remove it from the spec")
    for program in spec.programs.values():
        if is_loaded(program):
            _refuse_program(program, spec)


def _refuse_program(program: ProgramSpec, spec: CollectionSpec) -> None:
    for number, insn in enumerate(program.insns):
        if insn.core is None and insn.reference is None:
            continue
        from ebpf.objects.unresolved import need_of

        need = need_of(insn, spec)
        if need is not None:
            error = RelocationError(f"load program {program.name}: instruction {number} needs {need}; {_REMEDY}")
            error.program = program.name
            raise error
    if program.type in _OF_A_TARGET:
        raise NotSupportedError(
            f"program {program.name} of type {program.type.label}, whose target is looked up in the kernel's BTF,",
            alternative="set its autoload to False to load the others",
        )
