"""What the sections of an eBPF object are for, and what they say about each other."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from ebpf.elf.file import (
    SHF_COMPRESSED,
    STB_LOCAL,
    STT_FUNC,
    STT_NOTYPE,
    STT_OBJECT,
    ElfFile,
    Section,
    Symbol,
    parse_elf,
)
from ebpf.elf.layout import SHT_NOBITS, SHT_PROGBITS
from ebpf.elf.types import read_types
from ebpf.errors import ElfError

if TYPE_CHECKING:
    from ebpf.btf import Btf, ExtInfo, Type
    from ebpf.btf.elements import SectionEntry
    from ebpf.spec import ByteOrder


class Use(Enum):
    """What a section is for."""

    LEGACY_MAPS = "maps"
    BTF_MAPS = "BTF maps"
    DATA = "data"
    PROGRAM = "programs"
    STRUCT_OPS = "struct_ops"
    ARENA = "arena"


class ObjectFile:
    """An ELF file with its sections sorted by use; what the readers of maps, data and programs share.

    `relocations` has a table for each section of use: offset → symbol.
    """

    def __init__(
        self,
        elf: ElfFile,
        uses: Mapping[int, Use],
        relocations: Mapping[int, Mapping[int, Symbol]],
        types: Btf | None,
        info: ExtInfo | None,
    ) -> None:
        self.elf, self.uses, self.relocations = elf, uses, relocations
        self.types, self.info = types, info

    @property
    def byte_order(self) -> ByteOrder:
        """Byte order of the whole object."""
        return self.elf.byte_order

    def sections(self, *uses: Use) -> list[Section]:
        """Return the sections of these uses in file order."""
        return [self.elf.sections[index] for index, use in self.uses.items() if use in uses]

    def symbols(self, section: Section) -> list[Symbol]:
        """Return the named symbols of a section that can be functions, maps or variables, in the table's order."""
        return self._symbols.get(section.index, [])

    def entries(self, section_name: str) -> tuple[SectionEntry, ...]:
        """Return what types say about a section's variables; nothing without a DATASEC of that name."""
        from ebpf.btf import Datasec

        if section_name not in self._entries:
            section = self.types.find(section_name, Datasec) if self.types is not None else None
            self._entries[section_name] = section.entries if section is not None else ()
        return self._entries[section_name]

    def variables(self, section_name: str) -> Mapping[str, Type]:
        """Return the types of a section's variables (or functions, in `.ksyms`) by name."""
        if section_name not in self._variables:
            self._variables[section_name] = {entry.type.name: entry.type for entry in self.entries(section_name)}
        return self._variables[section_name]

    def tags_of(self, variable: Type | None) -> list[str]:
        """Return the `btf_decl_tag`s of a variable in the order of the object."""
        return list(self._tags.get(variable.id, ())) if variable is not None else []

    @cached_property
    def referenced(self) -> frozenset[int]:
        """Indices of the sections that a relocation points at."""
        return frozenset(symbol.section for table in self.relocations.values() for symbol in table.values())

    @cached_property
    def _entries(self) -> dict[str, tuple[SectionEntry, ...]]:
        return {}

    @cached_property
    def _variables(self) -> dict[str, dict[str, Type]]:
        return {}

    @cached_property
    def _symbols(self) -> dict[int, list[Symbol]]:
        found: dict[int, list[Symbol]] = {}
        for symbol in self.elf.symbols:
            use = self.uses.get(symbol.section)
            if use is not None and symbol.name and _is_of_use(symbol, use):
                found.setdefault(symbol.section, []).append(symbol)
        return found

    @cached_property
    def _tags(self) -> dict[int, list[str]]:
        from ebpf.btf import DeclTag

        found: dict[int, list[str]] = {}
        for type_ in self.types or ():
            if isinstance(type_, DeclTag) and type_.component is None:
                found.setdefault(type_.target_id, []).append(type_.name)
        return found


def open_object(data: memoryview) -> ObjectFile:
    """Read container and type information. Raises ElfError, BtfError."""
    elf = parse_elf(data)
    uses = {index: use for index, section in elf.sections.items() if (use := _section_use(section))}
    for index, use in uses.items():
        if elf.sections[index].flags & SHF_COMPRESSED:
            raise ElfError(f"compressed {use.value} are not supported", section=elf.sections[index].name)
    relocations = {index: elf.relocations(elf.sections[index]) for index in uses}
    types, info = read_types(elf)
    return ObjectFile(elf, uses, relocations, types, info)


def is_data_section(name: str) -> bool:
    """Whether a section of this name holds variables of the programs."""
    return name == ".bss" or name.startswith((".data", ".rodata"))


def _section_use(section: Section) -> Use | None:
    """Say what a section is for; None for foreign ones (`.eh_frame`, `.debug_info`, `.llvm_addrsig`)."""
    name = section.name
    if section.type not in (SHT_PROGBITS, SHT_NOBITS) or name.startswith(("license", "version")):
        return None
    if name.startswith("maps"):
        return Use.LEGACY_MAPS
    if name == ".maps":
        return Use.BTF_MAPS
    if is_data_section(name):
        return Use.DATA
    if section.zeros or not section.size:
        return None
    if section.executable:
        return Use.PROGRAM
    if name.removeprefix("?") in (".struct_ops", ".struct_ops.link"):
        return Use.STRUCT_OPS
    return Use.ARENA if name == ".addr_space.1" else None


def _is_of_use(symbol: Symbol, use: Use) -> bool:
    if use is not Use.PROGRAM:
        return symbol.type in (STT_NOTYPE, STT_OBJECT)
    # Local labels without a type are targets of jumps.
    return symbol.type == STT_FUNC or (symbol.type == STT_NOTYPE and symbol.bind != STB_LOCAL)
