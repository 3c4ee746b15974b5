"""References to maps become their numbers, while a program is loaded (BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ebpf.asm.metadata import MAPS, ReferenceKind
from ebpf.asm.opcodes import BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE
from ebpf.errors import NotSupportedError, RelocationError

if TYPE_CHECKING:
    from ebpf.asm import Insn
    from ebpf.objects.map import Map
    from ebpf.spec import ProgramSpec


def resolve(insn: Insn, spec: ProgramSpec, maps: Mapping[str, Map], held: ExitStack) -> Insn:
    """Put a map's number into an instruction; the map stays open until the load is over."""
    reference = insn.reference
    assert reference is not None
    if reference.kind not in MAPS:
        raise NotSupportedError(f"program {spec.name}: a reference to {reference.kind} {reference.name!r}")
    if reference.name not in maps:
        error = RelocationError(
            f"load program {spec.name}: there is no map {reference.name!r}", candidates=tuple(sorted(maps))
        )
        error.program = spec.name
        raise error
    fd = held.enter_context(maps[reference.name].handle.borrow())
    if reference.kind is ReferenceKind.MAP:
        return insn._replace(src=BPF_PSEUDO_MAP_FD, imm=fd)
    return insn._replace(src=BPF_PSEUDO_MAP_VALUE, imm=fd | reference.offset << 32)
