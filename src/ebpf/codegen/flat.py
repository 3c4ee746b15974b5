"""The linker: an ELF object becomes one flat blob in which nothing is left to relocate, so that loading it is a copy.

Code comes first, read-only data after it; both move together, so only what is relative to the code can be resolved.
The blob has to begin at a page (aarch64 reaches data by its page). The few tables of ELF are read here: for an object
of two functions that takes 0.03 ms, pyelftools 1.8 ms after its import, and every compiled program waits for it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from ebpf.plain import NamedTuple

_EHDR = struct.Struct("<4s12xHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SYM = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")
_ALLOC, _WRITE = 2, 1
_PROGBITS, _SYMTAB, _RELA_SECTION = 1, 2, 4
_GLOBAL = 1
_UNDEFINED, _COMMON = 0, 0xFFF2
_X86_64, _AARCH64 = 62, 183


class LinkError(Exception):
    """The object has something that a flat blob can't have. The message names it."""


class FlatCode(NamedTuple):
    """Position-independent machine code with its constants. `symbols` are the offsets of global functions and data."""

    code: bytes
    symbols: dict[str, int]


def link(elf: bytes) -> FlatCode:
    """Lay out a relocatable object (ELF, little-endian, x86-64 or aarch64) and resolve every relocation.

    Raises LinkError for writable data, undefined symbols, and relocations that are not relative to the code.
    """
    return _Object(elf).link()


class _Section(NamedTuple):
    name: str
    kind: int
    flags: int
    data: bytes
    size: int
    link: int
    info: int
    align: int


class _Symbol(NamedTuple):
    name: str
    is_global: bool
    section: int
    value: int


class _Object:
    """What is read of an object."""

    def __init__(self, elf: bytes) -> None:
        try:
            magic, _, machine, *_, table, _, _, _, _, entry, count, names = _EHDR.unpack_from(elf)
            if magic != b"\x7fELF" or entry != _SHDR.size or machine not in _RELOCATIONS:
                raise LinkError("an ELF object for x86-64 or aarch64 is expected")
            self.machine = machine
            self.sections = list(_read_sections(elf, table, count, names))
            self.symbols = list(self._read_symbols())
        except struct.error as error:
            raise LinkError(f"the ELF object is cut short: {error}") from None

    def _read_symbols(self) -> Iterator[_Symbol]:
        for table in self.sections:
            if table.kind == _SYMTAB:
                names = self.sections[table.link].data
                for name, info, _, section, value, _ in _SYM.iter_unpack(table.data):
                    yield _Symbol(_string(names, name), info >> 4 == _GLOBAL, section, value)

    def link(self) -> FlatCode:
        """Return the blob."""
        blob, places = self._lay_out()
        missing = {s.name for s in self.symbols if s.name and s.section in (_UNDEFINED, _COMMON)}
        if missing:
            raise LinkError(f"not defined in the object: {', '.join(sorted(missing))}")
        resolve = _RELOCATIONS[self.machine]
        for section in self.sections:
            if section.kind == _RELA_SECTION and section.info in places:
                for offset, info, addend in _RELA.iter_unpack(section.data):
                    symbol, kind = self.symbols[info >> 32], info & 0xFFFFFFFF
                    if symbol.section not in places or kind not in resolve:
                        raise LinkError(
                            f"relocation {kind} to {symbol.name or 'a section'} is not relative to the code"
                        )
                    here = places[section.info] + offset
                    resolve[kind](blob, here, places[symbol.section] + symbol.value + addend)
        defined = {s.name: places[s.section] + s.value for s in self.symbols if s.is_global and s.section in places}
        return FlatCode(bytes(blob), defined)

    def _lay_out(self) -> tuple[bytearray, dict[int, int]]:
        """Join the sections that are loaded, code first; return them and where each one begins."""
        loaded = []
        for index, section in enumerate(self.sections):
            if section.flags & _ALLOC and section.size:
                if section.flags & _WRITE or section.kind != _PROGBITS or section.name == ".eh_frame":
                    raise LinkError(f"section {section.name} is not allowed: only code and read-only data are")
                loaded.append((not section.name.startswith(".text"), index))
        blob, places = bytearray(), {}
        for _, index in sorted(loaded):
            section = self.sections[index]
            blob += bytes(-len(blob) % max(section.align, 1))
            places[index] = len(blob)
            blob += section.data
        return blob, places


def _read_sections(elf: bytes, table: int, count: int, names: int) -> Iterator[_Section]:
    headers = [_SHDR.unpack_from(elf, table + index * _SHDR.size) for index in range(count)]
    strings = elf[headers[names][4] :]
    for name, kind, flags, _, offset, size, linked, info, align, _ in headers:
        yield _Section(_string(strings, name), kind, flags, elf[offset : offset + size], size, linked, info, align)


def _string(table: bytes, offset: int) -> str:
    return table[offset : table.index(b"\0", offset)].decode()


# Each one resolves a relocation in the blob: the place `here` is to reach the place `there`.
_Resolver = Callable[[bytearray, int, int], None]


def _relative(blob: bytearray, here: int, there: int) -> None:
    struct.pack_into("<i", blob, here, there - here)


def _patch(blob: bytearray, here: int, bits: int) -> None:
    (word,) = struct.unpack_from("<I", blob, here)
    struct.pack_into("<I", blob, here, word | bits)


def _reach(distance: int, bits: int) -> int:
    """Return a signed distance as a field of so many bits."""
    if not -1 << bits - 1 <= distance < 1 << bits - 1:
        raise LinkError(f"a distance of {distance} does not fit in {bits} bits: the code is too large")
    return distance & (1 << bits) - 1


def _branch(blob: bytearray, here: int, there: int) -> None:
    _patch(blob, here, _reach(there - here >> 2, 26))


def _near(blob: bytearray, here: int, there: int) -> None:
    distance = _reach(there - here, 21)
    _patch(blob, here, (distance & 3) << 29 | distance >> 2 << 5)


def _page(blob: bytearray, here: int, there: int) -> None:
    pages = _reach((there >> 12) - (here >> 12), 21)
    _patch(blob, here, (pages & 3) << 29 | pages >> 2 << 5)


def _low_bits(scale: int) -> _Resolver:
    return lambda blob, here, there: _patch(blob, here, (there & 0xFFF) >> scale << 10)


_RELOCATIONS: dict[int, dict[int, _Resolver]] = {
    # x86-64 psABI, table 4.9
    _X86_64: {
        2: _relative,  # PC32
        4: _relative,  # PLT32
    },
    # ELF for the Arm 64-bit Architecture, section 5.7
    _AARCH64: {
        261: _relative,  # PREL32
        274: _near,  # ADR_PREL_LO21
        275: _page,  # ADR_PREL_PG_HI21
        277: _low_bits(0),  # ADD_ABS_LO12_NC
        278: _low_bits(0),  # LDST8_ABS_LO12_NC
        282: _branch,  # JUMP26
        283: _branch,  # CALL26
        284: _low_bits(1),  # LDST16_ABS_LO12_NC
        285: _low_bits(2),  # LDST32_ABS_LO12_NC
        286: _low_bits(3),  # LDST64_ABS_LO12_NC
        299: _low_bits(4),  # LDST128_ABS_LO12_NC
    },
}
