"""What instructions refer to: maps, and what the running system would have to supply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.asm.metadata import MAPS, ReferenceKind

if TYPE_CHECKING:
    from ebpf.asm import Insn
    from ebpf.spec import CollectionSpec, ProgramSpec

_EXTERNS = {
    ReferenceKind.KCONFIG: "kernel configuration value",
    ReferenceKind.KSYM: "kernel symbol",
    ReferenceKind.KFUNC: "kernel function",
}


def uses_map(program: ProgramSpec, name: str) -> bool:
    """Say whether an instruction refers to the map of this name, or to its value."""
    references = (insn.reference for insn in program.insns if insn.reference is not None)
    return any(reference.name == name and reference.kind in MAPS for reference in references)


def need_of(insn: Insn, spec: CollectionSpec) -> str | None:
    """Say in words what an instruction needs and load can't supply; None: nothing."""
    if insn.core is not None:
        type_ = spec.types.by_id(insn.core.type_id) if spec.types is not None else None
        name = getattr(type_, "name", "") or f"type {insn.core.type_id}"
        return f"a CO-RE relocation against {name!r}"
    reference = insn.reference
    if reference is None:
        return None
    if reference.kind in _EXTERNS:
        return f"the {_EXTERNS[reference.kind]} {reference.name!r}"
    if reference.kind in MAPS and reference.name == ".kconfig":
        return f"the kernel configuration ({_kconfig_at(reference.offset, spec)})"
    return None


def _kconfig_at(offset: int, spec: CollectionSpec) -> str:
    names = [name for name, extern in spec.externs.items() if extern.kind == "kconfig"]
    found = [one.name for one in spec.variables.values() if one.section == ".kconfig" and one.offset == offset]
    return ", ".join(found or names) or ".kconfig"
