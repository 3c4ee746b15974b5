"""The ELF container: header, sections, symbols and relocations (System V ABI, chapter 4; EM_BPF).

pyelftools trusts what a file says, so every size, count, offset and name is checked first (layout.py), and what is
left of its errors becomes an ElfError. Tables are unpacked in one go: pyelftools takes 15 µs for each of their entries.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ebpf.elf.layout import NAME_LIMIT, SHT_NOBITS, SHT_REL, SHT_RELA, SHT_SYMTAB, check_layout
from ebpf.errors import ElfError
from ebpf.plain import NamedTuple, Plain

if TYPE_CHECKING:
    from ebpf.spec import ByteOrder

STB_LOCAL, STB_GLOBAL, STB_WEAK = range(3)
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION = range(4)
STV_INTERNAL, STV_HIDDEN = 1, 2
SHF_EXECINSTR, SHF_COMPRESSED = 1 << 2, 1 << 11
_TYPES = {
    "SHT_PROGBITS": 1, "SHT_SYMTAB": SHT_SYMTAB, "SHT_STRTAB": 3, "SHT_RELA": SHT_RELA, "SHT_NOBITS": SHT_NOBITS,
    "SHT_REL": SHT_REL,
}  # fmt: skip


class Section(Plain):
    """One section. `data` is a view of the file, empty for SHT_NOBITS, where only `size` counts."""

    index: int
    name: str
    type: int
    flags: int
    size: int
    link: int
    info: int
    entry_size: int
    data: memoryview

    @property
    def executable(self) -> bool:
        """Whether it holds instructions."""
        return bool(self.flags & SHF_EXECINSTR)

    @property
    def zeros(self) -> bool:
        """Whether it takes no room in the file and is all zeros (`.bss`)."""
        return self.type == SHT_NOBITS


class Symbol(NamedTuple):
    """One row of the symbol table; `section` is the index of the section that defines it (0: none)."""

    name: str
    value: int
    size: int
    type: int
    bind: int
    visibility: int
    section: int

    @property
    def weak(self) -> bool:
        """Whether it may be missing or be replaced."""
        return self.bind == STB_WEAK


class ElfFile(NamedTuple):
    """A checked ELF file. Sections keep their index; types that eBPF has no use for are absent."""

    byte_order: ByteOrder
    sections: Mapping[int, Section]
    symbols: tuple[Symbol, ...]
    relocation_tables: Mapping[int, list[Section]]

    def relocations(self, section: Section) -> dict[int, Symbol]:
        """Return what each relocated offset of `section` refers to. Raises ElfError naming the bad record."""
        found: dict[int, Symbol] = {}
        for table in self.relocation_tables.get(section.index, ()):
            if table.type == SHT_RELA:
                raise ElfError("relocations with addends (SHT_RELA) do not occur in eBPF objects", section=table.name)
            found.update(self._records(table, section))
        return found

    def _records(self, table: Section, target: Section) -> Iterator[tuple[int, Symbol]]:
        if table.entry_size != 16 or table.size % 16:
            raise ElfError(f"relocations take 16 bytes each, found {table.entry_size}", section=table.name)
        order = "<" if self.byte_order == "little" else ">"
        for number, (offset, info) in enumerate(struct.iter_unpack(f"{order}QQ", table.data)):
            if offset >= target.size:
                reason = f"relocation at {offset:#x} lies past the end of {target.name} ({target.size:#x} bytes)"
                raise ElfError(reason, section=table.name, offset=number * 16)
            if info >> 32 >= len(self.symbols):
                reason = f"symbol {info >> 32} does not exist, the table has {len(self.symbols)}"
                raise ElfError(reason, section=table.name, offset=number * 16)
            yield offset, self.symbols[info >> 32]


def parse_elf(data: memoryview) -> ElfFile:
    """Check and read the container. Raises ElfError; `data` must stay unchanged while the result is in use."""
    layout = check_layout(data)
    sections = _read_sections(data, layout.sections)
    tables = [section for section in sections.values() if section.type == SHT_SYMTAB]
    if len(tables) != 1:
        raise ElfError(f"{len(tables)} symbol tables, expected 1 (strip -g keeps it, strip does not)")
    relocation_tables: dict[int, list[Section]] = {}
    for section in sections.values():
        if section.type in (SHT_REL, SHT_RELA):
            relocation_tables.setdefault(section.info, []).append(section)
    symbols = tuple(_read_symbols(tables[0], sections, layout.byte_order))
    return ElfFile(layout.byte_order, sections, symbols, relocation_tables)


def _read_sections(data: memoryview, indices: tuple[int, ...]) -> dict[int, Section]:
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    sections = {}
    try:
        container = ELFFile(io.BytesIO(data))
        for index in indices:
            found = container.get_section(index)
            kind = _TYPES[found["sh_type"]]
            start, size = found["sh_offset"], found["sh_size"]
            sections[index] = Section(
                index,
                found.name,
                kind,
                found["sh_flags"],
                size,
                found["sh_link"],
                found["sh_info"],
                found["sh_entsize"],
                data[0:0] if kind == SHT_NOBITS else data[start : start + size],
            )
    except (ELFError, ConstructError) as error:
        raise ElfError(f"damaged section table ({error})") from None
    return sections


def _read_symbols(table: Section, sections: Mapping[int, Section], byte_order: ByteOrder) -> Iterator[Symbol]:
    names = _Names(sections[table.link])
    layout = struct.Struct("<IBBHQQ" if byte_order == "little" else ">IBBHQQ")
    for number, (name, info, other, section, value, size) in enumerate(layout.iter_unpack(table.data)):
        text = names.at(name, table.name, number * layout.size)
        yield Symbol(text, value, size, info & 15, info >> 4, other & 3, section)


class _Names:
    """Strings of a table, each decoded once and all together bounded: one string may be the tail of many others."""

    def __init__(self, table: Section) -> None:
        self._data = bytes(table.data)
        self._known = {0: ""}
        self._budget = 4 * len(self._data) + 65536

    def at(self, start: int, section: str, offset: int) -> str:
        known = self._known.get(start)
        if known is None:
            known = self._known[start] = self._decode(start, section, offset)
        return known

    def _decode(self, start: int, section: str, offset: int) -> str:
        end = self._data.find(b"\0", start, start + NAME_LIMIT)
        if end < 0:
            raise ElfError(f"symbol name at {start:#x} lies outside the string table", section=section, offset=offset)
        self._budget -= end - start
        if self._budget < 0:
            raise ElfError("symbol names overlap without bounds", section=section, offset=offset)
        return self._data[start:end].decode("utf-8", "backslashreplace")
