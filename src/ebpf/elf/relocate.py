"""Relocations of instructions: which map, variable, function or extern each one means.

Documentation/bpf/llvm_reloc.rst. R_BPF_64_64 and R_BPF_64_32 add the symbol's value to what stands in the instruction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from ebpf.asm import Insn, Reference, ReferenceKind
from ebpf.asm.opcodes import (
    BPF_PSEUDO_CALL,
    BPF_PSEUDO_FUNC,
    BPF_PSEUDO_KFUNC_CALL,
    BPF_PSEUDO_MAP_FD,
    BPF_PSEUDO_MAP_VALUE,
    CALL,
    LDIMM64,
)
from ebpf.elf.file import STB_LOCAL, STT_SECTION, Section, Symbol
from ebpf.elf.object import ObjectFile, Use
from ebpf.errors import LinkingError
from ebpf.plain import Plain
from ebpf.spec import ExternSpec

_U32 = 0xFFFFFFFF
FUNCTION_KINDS = frozenset((ReferenceKind.FUNCTION, ReferenceKind.FUNCTION_POINTER))
_UNLINKED_CALL, _UNLINKED_POINTER = -1, _U32
Placed = tuple[int, int, Reference]
"""Source register, immediate and reference of a relocated instruction."""


class Relocator(Plain):
    """Turns relocations into references by name.

    `functions` maps (section, offset) to a function's name, `map_names` is every map that instructions may name,
    `externs` what the kernel supplies, `settings` the offset of each kernel setting, `arena` the map of arena data.
    """

    obj: ObjectFile
    functions: Mapping[tuple[int, int], str]
    map_names: frozenset[str]
    externs: dict[str, ExternSpec]
    settings: Mapping[str, int]
    arena: str | None = None

    def place(self, insn: Insn, symbol: Symbol | None, section: Section, offset: int) -> Placed | None:
        """Return what an instruction of `section` at byte `offset` refers to, None for nothing.

        Raises LinkingError naming section and offset.
        """
        if symbol is None:
            return self._local(insn, section, offset)
        if insn.opcode not in (CALL, LDIMM64):
            _fail(f"relocation for {symbol.name or 'a section'} on opcode {insn.opcode:#04x}", section, offset)
        if symbol.section == 0:
            return self._undefined(insn, symbol, section, offset)
        use = self.obj.uses.get(symbol.section)
        if use is Use.PROGRAM:
            return self._function(insn, symbol, section, offset)
        if use is None or use is Use.STRUCT_OPS or insn.opcode != LDIMM64:
            _fail(f"can't refer to {self._describe(symbol)}", section, offset)
        if use in (Use.LEGACY_MAPS, Use.BTF_MAPS):
            return self._map(symbol, section, offset)
        return self._data(insn, symbol, section, offset)

    def _map(self, symbol: Symbol, section: Section, offset: int) -> Placed:
        if symbol.type == STT_SECTION or symbol.bind == STB_LOCAL or symbol.name not in self.map_names:
            _fail(f"{self._describe(symbol)} is not a global map (remove `static`)", section, offset)
        return BPF_PSEUDO_MAP_FD, 0, Reference(ReferenceKind.MAP, symbol.name)

    def _data(self, insn: Insn, symbol: Symbol, section: Section, offset: int) -> Placed:
        target = self.obj.elf.sections[symbol.section]
        place = (symbol.value + insn.imm) & _U32
        if place > target.size:
            _fail(f"{place:#x} lies past the end of {target.name} ({target.size:#x} bytes)", section, offset)
        name = self.arena if self.obj.uses[target.index] is Use.ARENA else target.name
        if name not in self.map_names:
            _fail(f"{target.name} has no map to live in", section, offset)
        return BPF_PSEUDO_MAP_VALUE, place << 32, Reference(ReferenceKind.MAP_VALUE, name, place)

    def _function(self, insn: Insn, symbol: Symbol, section: Section, offset: int) -> Placed:
        if insn.opcode == CALL:
            if insn.src != BPF_PSEUDO_CALL:
                _fail(f"call of {self._describe(symbol)} has source register {insn.src}, expected 1", section, offset)
            return self._to(symbol.section, symbol.value + 8 * (insn.imm + 1), insn, section, offset)
        return self._to(symbol.section, symbol.value + insn.imm, insn, section, offset)

    def _local(self, insn: Insn, section: Section, offset: int) -> Placed | None:
        """Follow a call inside a section, for which the compiler needs no relocation."""
        if insn.opcode == CALL and insn.src == BPF_PSEUDO_CALL:
            return self._to(section.index, offset + 8 * (insn.imm + 1), insn, section, offset)
        if insn.opcode == LDIMM64 and insn.src == BPF_PSEUDO_FUNC:
            distance = (insn.imm & _U32 ^ 1 << 31) - (1 << 31)
            return self._to(section.index, offset + 8 * (distance + 1), insn, section, offset)
        return None

    def _to(self, target: int, place: int, insn: Insn, section: Section, offset: int) -> Placed:
        name = self.functions.get((target, place))
        if name is None:
            where = self.obj.elf.sections[target].name
            _fail(f"no function begins at {place:#x} of {where}", section, offset)
        if insn.opcode == CALL:
            return BPF_PSEUDO_CALL, _UNLINKED_CALL, Reference(ReferenceKind.FUNCTION, name)
        return BPF_PSEUDO_FUNC, _UNLINKED_POINTER, Reference(ReferenceKind.FUNCTION_POINTER, name)

    def _undefined(self, insn: Insn, symbol: Symbol, section: Section, offset: int) -> Placed:
        """Refer to what the object only declares: a kfunc, a kernel variable or setting, or nothing it knows of."""
        if not symbol.name or symbol.bind == STB_LOCAL:
            _fail("relocation without a symbol", section, offset)
        extern = self.externs.get(symbol.name)
        if insn.opcode == CALL:
            if extern is not None and extern.kind == "kfunc":
                return BPF_PSEUDO_KFUNC_CALL, -1, Reference(ReferenceKind.KFUNC, symbol.name)
            return insn.src, insn.imm, Reference(ReferenceKind.FUNCTION, symbol.name)
        if extern is None:
            # A name in inline assembly, or a variable declared without __ksym: only the kernel could have it.
            extern = self.externs[symbol.name] = ExternSpec(symbol.name, "ksym", weak=symbol.weak)
        if extern.kind == "kconfig":
            place = self.settings[symbol.name]
            return BPF_PSEUDO_MAP_VALUE, insn.imm, Reference(ReferenceKind.KCONFIG, symbol.name, place)
        kind = ReferenceKind.KFUNC if extern.kind == "kfunc" else ReferenceKind.KSYM
        return insn.src, insn.imm, Reference(kind, symbol.name)

    def _describe(self, symbol: Symbol) -> str:
        target = self.obj.elf.sections.get(symbol.section)
        where = f"section {target.name if target is not None else symbol.section}"
        return f"{symbol.name} in {where}" if symbol.name and symbol.type != STT_SECTION else where


def _fail(reason: str, section: Section, offset: int) -> NoReturn:
    raise LinkingError(reason, section=section.name, offset=offset)
