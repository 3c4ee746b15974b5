"""Writes small ELF objects, good and bad, so that tests show what they are made of."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from ebpf.asm import Instructions
from ebpf.elf.layout import SHT_NOBITS, SHT_PROGBITS, SHT_REL, SHT_STRTAB, SHT_SYMTAB

CODE = 0x6  # SHF_ALLOC | SHF_EXECINSTR
GLOBAL, WEAK, LOCAL = 1, 2, 0
NOTYPE, OBJECT, FUNC, SECTION = 0, 1, 2, 3


@dataclass
class _Section:
    name: str
    type: int
    flags: int
    data: bytes
    size: int
    link: int = 0
    info: int = 0
    entry_size: int = 0


@dataclass
class ObjectWriter:
    """Collects sections, symbols and relocations; `build()` lays them out."""

    order: str = "<"
    machine: int = 247
    sections: list[_Section] = field(default_factory=list)
    symbols: list[tuple[str, int, int, int, int, int, int]] = field(default_factory=list)
    relocations: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def section(self, name: str, data: bytes = b"", *, type: int = SHT_PROGBITS, flags: int = 2, size: int = -1) -> int:
        """Add a section; return its index."""
        self.sections.append(_Section(name, type, flags, data, len(data) if size < 0 else size))
        return len(self.sections)

    def zeros(self, name: str, size: int) -> int:
        """Add a section of zeros that takes no room."""
        return self.section(name, type=SHT_NOBITS, size=size)

    def symbol(
        self,
        name: str,
        section: int,
        *,
        value: int = 0,
        size: int = 0,
        type: int = OBJECT,
        bind: int = GLOBAL,
        visibility: int = 0,
    ) -> int:
        """Add a symbol; return its index."""
        self.symbols.append((name, section, value, size, type, bind, visibility))
        return len(self.symbols)

    def relocation(self, section: int, offset: int, symbol: int) -> None:
        """Make `offset` of a section refer to a symbol."""
        self.relocations.setdefault(section, []).append((offset, symbol))

    def program(self, section: str, *functions: tuple[str, str], flags: int = CODE) -> int:
        """Add a program section of functions (name, assembly)."""
        code = b""
        placed = []
        for name, text in functions:
            data = Instructions.from_asm(text).encode("little" if self.order == "<" else "big")
            placed.append((name, len(code), len(data)))
            code += data
        index = self.section(section, code, flags=flags)
        for name, value, size in placed:
            self.symbol(name, index, value=value, size=size, type=FUNC)
        return index

    def build(self) -> bytes:
        """Return the file: header, contents, section headers."""
        sections = list(self.sections)
        strings, symbols = self._symbol_table()
        for target, rows in self.relocations.items():
            data = b"".join(struct.pack(f"{self.order}QQ", offset, symbol << 32 | 1) for offset, symbol in rows)
            name = ".rel" + self.sections[target - 1].name
            sections.append(
                _Section(name, SHT_REL, 0, data, len(data), len(self.sections) + 1 + len(self.relocations), target, 16)
            )
        sections.append(_Section(".symtab", SHT_SYMTAB, 0, symbols, len(symbols), len(sections) + 2, 1, 24))
        sections.append(_Section(".strtab", SHT_STRTAB, 0, strings, len(strings)))
        names = b"\0" + b"".join(section.name.encode() + b"\0" for section in sections) + b".shstrtab\0"
        sections.append(_Section(".shstrtab", SHT_STRTAB, 0, names, len(names)))
        return self._layout(sections, names)

    def _symbol_table(self) -> tuple[bytes, bytes]:
        strings, rows = b"\0", struct.pack(f"{self.order}IBBHQQ", 0, 0, 0, 0, 0, 0)
        for name, section, value, size, type_, bind, visibility in self.symbols:
            rows += struct.pack(
                f"{self.order}IBBHQQ", len(strings) if name else 0, bind << 4 | type_, visibility, section, value, size
            )
            strings += name.encode() + b"\0" if name else b""
        return strings, rows

    def _layout(self, sections: list[_Section], names: bytes) -> bytes:
        body, headers, name = b"", struct.pack("64x"), 1
        for section in sections:
            body += bytes(-len(body) % 8)
            headers += struct.pack(
                f"{self.order}IIQQQQIIQQ", name, section.type, section.flags, 0, 64 + len(body), section.size,
                section.link, section.info, 8, section.entry_size,
            )  # fmt: skip
            name += len(section.name) + 1
            body += section.data
        body += bytes(-len(body) % 8)
        ident = b"\x7fELF" + bytes([2, 1 if self.order == "<" else 2, 1]) + bytes(9)
        header = struct.pack(
            f"{self.order}HHIQQQIHHHHHH", 1, self.machine, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, len(sections) + 1,
            len(sections),
        )  # fmt: skip
        return ident + header + body + headers
