"""Bounds of an ELF file, checked before anything in it is trusted (System V ABI, chapter 4: Elf64_Ehdr, Elf64_Shdr)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ebpf.errors import ElfError
from ebpf.plain import NamedTuple

if TYPE_CHECKING:
    from ebpf.spec import ByteOrder

SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOBITS, SHT_REL = 1, 2, 3, 4, 8, 9
USEFUL_TYPES = frozenset((SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOBITS, SHT_REL))

NAME_LIMIT = 1024
SECTION_LIMIT = 16384
_MACHINES = {
    3: "x86", 8: "MIPS", 20: "PowerPC", 21: "PowerPC64", 22: "S390", 40: "Arm", 62: "x86-64", 183: "AArch64",
    243: "RISC-V", 258: "LoongArch",
}  # fmt: skip
_KINDS = {2: "an executable", 3: "a shared object or executable", 4: "a core dump"}
_EM_NONE, _EM_BPF, _ET_REL = 0, 247, 1
_HEADER_SIZE, _SECTION_HEADER_SIZE, _SYMBOL_SIZE = 64, 64, 24


class SectionHeader(NamedTuple):
    """Elf64_Shdr without what eBPF has no use for."""

    name: int
    type: int
    offset: int
    size: int
    link: int
    info: int
    entry_size: int


class Layout(NamedTuple):
    """What may be trusted: the byte order, and the indices of the sections worth reading."""

    byte_order: ByteOrder
    sections: tuple[int, ...]


def check_layout(data: memoryview) -> Layout:
    """Check that header, section table, sections and names lie where they must. Raises ElfError naming the place."""
    byte_order, table_offset, count, names = _check_header(data)
    headers = list(_section_headers(data, byte_order, table_offset, count))
    _check_extents(headers, len(data))
    _check_names(data, headers, names)
    _check_links(data, headers)
    return Layout(byte_order, tuple(index for index, header in enumerate(headers) if header.type in USEFUL_TYPES))


def _check_header(data: memoryview) -> tuple[ByteOrder, int, int, int]:
    ident = bytes(data[:16])
    if ident[:4] != b"\x7fELF":
        raise ElfError(f"not an ELF file: it begins with {ident[:4].hex(' ') or 'nothing'}", offset=0)
    if len(data) < _HEADER_SIZE:
        raise ElfError(f"truncated: an ELF header takes {_HEADER_SIZE} bytes, the file has {len(data)}", offset=0)
    if ident[5] not in (1, 2):
        raise ElfError(f"byte order {ident[5]}, expected 1 (little) or 2 (big)", offset=5)
    byte_order: ByteOrder = "little" if ident[5] == 1 else "big"
    kind, machine = struct.unpack_from("<HH" if ident[5] == 1 else ">HH", data, 16)
    if machine not in (_EM_NONE, _EM_BPF):
        found = _MACHINES.get(machine, str(machine))
        raise ElfError(f"machine {found}, expected eBPF (EM_BPF {_EM_BPF})", offset=18)
    if ident[4] != 2:
        raise ElfError(f"ELF class {ident[4]}, expected 2 (64-bit)", offset=4)
    if kind != _ET_REL:
        found = _KINDS.get(kind, f"of type {kind}")
        raise ElfError(f"the file is {found}, expected a relocatable object (compile with -c)", offset=16)
    return byte_order, *_check_table(data, byte_order)


def _check_table(data: memoryview, byte_order: ByteOrder) -> tuple[int, int, int]:
    order = "<" if byte_order == "little" else ">"
    (table_offset,) = struct.unpack_from(f"{order}Q", data, 40)
    entry_size, count, names = struct.unpack_from(f"{order}HHH", data, 58)
    if entry_size != _SECTION_HEADER_SIZE:
        raise ElfError(f"section headers of {entry_size} bytes, expected {_SECTION_HEADER_SIZE}", offset=58)
    if not 0 < count <= SECTION_LIMIT:
        raise ElfError(f"{count} sections, expected 1 to {SECTION_LIMIT}", offset=60)
    if table_offset + count * entry_size > len(data):
        reason = f"truncated: the table of {count} section headers at {table_offset:#x} passes the end of the file"
        raise ElfError(f"{reason} ({len(data):#x} bytes)", offset=40)
    if names >= count:
        raise ElfError(f"section names are in section {names}, there are {count}", offset=62)
    return table_offset, count, names


def _section_headers(data: memoryview, byte_order: ByteOrder, offset: int, count: int) -> list[SectionHeader]:
    layout = struct.Struct(("<" if byte_order == "little" else ">") + "II8x8xQQII8xQ")
    table = data[offset : offset + count * _SECTION_HEADER_SIZE]
    return [SectionHeader(*row) for row in layout.iter_unpack(table)]


def _check_extents(headers: list[SectionHeader], file_size: int) -> None:
    total = 0
    for index, header in enumerate(headers):
        if header.type == SHT_NOBITS or header.type == 0:
            continue
        if header.offset + header.size > file_size:
            reason = f"truncated: section {index} at {header.offset:#x} of {header.size:#x} bytes passes the end"
            raise ElfError(f"{reason} of the file ({file_size:#x} bytes)", offset=header.offset)
        total += header.size
    # No byte may belong to two sections (chapter 4, "Sections"); this bounds all that is read later.
    if total > file_size:
        raise ElfError(f"sections overlap: together they have {total:#x} bytes, the file {file_size:#x}")


def _check_names(data: memoryview, headers: list[SectionHeader], names: int) -> None:
    table = _strings(data, headers, names)
    for index, header in enumerate(headers):
        if header.name >= max(len(table), 1):
            reason = f"name of section {index} at {header.name:#x} lies outside the table of names"
            raise ElfError(f"{reason} ({len(table):#x} bytes)")
        if header.name and table.find(b"\0", header.name, header.name + NAME_LIMIT) < 0:
            raise ElfError(f"name of section {index} is longer than {NAME_LIMIT} bytes")


def _check_links(data: memoryview, headers: list[SectionHeader]) -> None:
    for index, header in enumerate(headers):
        if header.type == SHT_SYMTAB:
            if header.entry_size != _SYMBOL_SIZE or header.size % _SYMBOL_SIZE:
                reason = f"symbols take {_SYMBOL_SIZE} bytes each, found {header.entry_size}"
                raise ElfError(f"{reason} in {header.size:#x} bytes", section=f"{index} (symbol table)")
            _strings(data, headers, header.link)
        if header.type == SHT_REL and not (header.link < len(headers) and header.info < len(headers)):
            reason = f"relocations for section {header.info} with symbols of section {header.link}"
            raise ElfError(f"{reason}, there are {len(headers)} sections", section=str(index))


def _strings(data: memoryview, headers: list[SectionHeader], index: int) -> bytes:
    """Return a string table that ends with a zero byte, so that every string in it ends."""
    if index >= len(headers) or headers[index].type != SHT_STRTAB:
        raise ElfError(f"section {index} should be a string table")
    header = headers[index]
    table = bytes(data[header.offset : header.offset + header.size])
    if table[-1:] not in (b"", b"\0"):
        raise ElfError("string table does not end with a zero byte", section=str(index), offset=header.size - 1)
    return table
