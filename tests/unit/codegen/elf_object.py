"""Writes small ELF objects for the linker's tests."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

X86_64, AARCH64 = 62, 183
PROGBITS, NOBITS = 1, 8
READ, WRITE, CODE = 2, 3, 6
UNDEFINED, COMMON = 0, 0xFFF2
RELOCATION = struct.Struct("<QQq")


@dataclass
class Section:
    """A section with its relocations: offset, number of a symbol, kind, addend."""

    name: str
    data: bytes
    flags: int = CODE
    kind: int = PROGBITS
    align: int = 16
    relocations: list[tuple[int, int, int, int]] = field(default_factory=list)


def write_object(sections: list[Section], symbols: list[tuple[str, int, int]], *, machine: int = X86_64) -> bytes:
    """Return an object. Symbols are global: name, section (from 1, in the order given) and offset in it."""
    names, strings, body, headers = b"\0", b"\0", b"", [bytes(64)]
    table = struct.pack("<IBBHQQ", 0, 0, 0, 0, 0, 0)
    for name, section, value in symbols:
        table += struct.pack("<IBBHQQ", len(strings), 1 << 4, 0, section, value, 0)
        strings += name.encode() + b"\0"
    first = len(sections) + 1
    rows = [(s.name, s.kind, s.flags, s.data, 0, 0, s.align) for s in sections]
    rows += [(".symtab", 2, 0, table, first + 1, 1, 8), (".strtab", 3, 0, strings, 0, 0, 1)]
    for index, section in enumerate(sections, 1):
        if section.relocations:
            data = b"".join(RELOCATION.pack(at, who << 32 | kind, add) for at, who, kind, add in section.relocations)
            rows.append((".rela" + section.name, 4, 0, data, first, index, 8))
    rows.append((".shstrtab", 3, 0, b"", 0, 0, 1))
    for name, kind, flags, data, link, info, align in rows:
        start = len(names)
        names += name.encode() + b"\0"
        content = names if name == ".shstrtab" else data
        headers.append(
            struct.pack("<IIQQQQIIQQ", start, kind, flags, 0, 64 + len(body), len(content), link, info, align, 0)
        )
        body += content
    header = struct.pack(
        "<4s12xHHIQQQIHHHHHH",
        b"\x7fELF",
        1,
        machine,
        1,
        0,
        0,
        64 + len(body),
        0,
        64,
        0,
        0,
        64,
        len(headers),
        len(headers) - 1,
    )
    return header + body + b"".join(headers)
