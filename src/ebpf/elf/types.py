"""Type information of an object, with what the compiler leaves to the linker filled in (`.BTF`, `.BTF.ext`).

Documentation/bpf/btf.rst, sections 2.2.15 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ebpf.elf.file import SHF_COMPRESSED, STB_LOCAL, STT_NOTYPE, STT_OBJECT, ElfFile, Section
from ebpf.elf.layout import SHT_PROGBITS
from ebpf.errors import ElfError

if TYPE_CHECKING:
    from ebpf.btf import Btf, ExtInfo, Type
    from ebpf.btf.types import Datasec

_U32_MAX = 0xFFFFFFFF
Placement = tuple[int, dict[str, int]]
"""Size of a section, and offsets of its variables by name."""


def read_types(elf: ElfFile) -> tuple[Btf | None, ExtInfo | None]:
    """Read `.BTF` and `.BTF.ext`, where there are any. Raises ElfError, BtfError."""
    from ebpf.btf import Btf, ExtInfo

    section = _named(elf, ".BTF")
    if section is None:
        return None, None
    types = Btf.parse(section.data)
    if types.byte_order != elf.byte_order:
        raise ElfError(f"types are {types.byte_order} endian, the object is {elf.byte_order} endian", section=".BTF")
    layout = dict(_layout(types, elf))
    if layout:
        types = types.with_datasecs(layout)
    extension = _named(elf, ".BTF.ext")
    return types, ExtInfo.parse(extension.data, types) if extension is not None else None


def _named(elf: ElfFile, name: str) -> Section | None:
    for section in elf.sections.values():
        if section.name == name and section.type == SHT_PROGBITS:
            if section.flags & SHF_COMPRESSED:
                raise ElfError("compressed type information is not supported", section=name)
            return section
    return None


def _layout(types: Btf, elf: ElfFile) -> Iterator[tuple[str, Placement]]:
    """Yield the sections whose size and offsets only the linker knows.

    Offsets of static variables are right already: the compiler's relocations of `.BTF` carry them in place.
    """
    from ebpf.btf import Datasec

    by_name = {section.name: section for section in elf.sections.values()}
    offsets = _offsets(elf)
    for type_ in types:
        if not isinstance(type_, Datasec):
            continue
        section = by_name.get(type_.name)
        if section is not None and section.size:
            yield type_.name, _placement(type_, section, offsets.get(section.index, {}))
        elif section is None and type_.name == ".kconfig":
            yield type_.name, _kconfig_placement(type_)


def _offsets(elf: ElfFile) -> Mapping[int, Mapping[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for symbol in elf.symbols:
        if symbol.type in (STT_NOTYPE, STT_OBJECT) and symbol.bind != STB_LOCAL:
            found.setdefault(symbol.section, {})[symbol.name] = symbol.value
    return found


def _placement(datasec: Datasec, section: Section, offsets: Mapping[str, int]) -> Placement:
    from ebpf.btf import Var, VarLinkage

    if section.size > _U32_MAX:
        raise ElfError(
            f"{section.size:#x} bytes, a section of variables has at most {_U32_MAX:#x}", section=section.name
        )
    placed = {}
    for entry in datasec.entries:
        variable = entry.type
        if isinstance(variable, Var) and variable.linkage != VarLinkage.STATIC and variable.name in offsets:
            placed[variable.name] = offset = offsets[variable.name]
            if offset > section.size:
                raise ElfError(f"variable {variable.name} lies outside", section=section.name, offset=offset)
    return section.size, placed


def _kconfig_placement(datasec: Datasec) -> Placement:
    """Lay out kernel settings one after another; there is no section that says where they lie."""
    from ebpf.btf import align_of, size_of

    end, placed = 0, {}
    for entry in datasec.entries:
        setting = variable_type(entry.type)
        alignment = align_of(setting)
        offset = -(-end // alignment) * alignment
        placed[entry.type.name] = offset
        end = offset + size_of(setting)
    if not 0 < end <= _U32_MAX:
        raise ElfError(f"kernel settings take {end:#x} bytes", section=".kconfig")
    return end, placed


def variable_type(variable: Type) -> Type:
    """Return the type of a variable. Raises ElfError for what is not one (a function)."""
    from ebpf.btf import Var

    if not isinstance(variable, Var):
        raise ElfError(
            f"{variable.name or 'an unnamed type'} is not a variable", section=".BTF", offset=variable.offset
        )
    return variable.target
