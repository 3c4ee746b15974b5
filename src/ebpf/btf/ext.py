"""The `.BTF.ext` section: which function, source line and CO-RE record belongs to which instruction.

Layout: Documentation/bpf/btf.rst, section ".BTF.ext section"; `struct bpf_core_relo` in include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

from ebpf.btf.blob import Btf, ByteOrder
from ebpf.btf.kind import MAGIC, VERSION
from ebpf.errors import BtfError
from ebpf.plain import NamedTuple, Plain, field

if TYPE_CHECKING:
    from typing_extensions import Buffer

_MARK = {"little": "<", "big": ">"}
_BASIC_HEADER = 24
_FULL_HEADER = 32


class CoreKind(IntEnum):
    """enum bpf_core_relo_kind: what a CO-RE record asks of the running kernel's types."""

    FIELD_BYTE_OFFSET = 0
    FIELD_BYTE_SIZE = 1
    FIELD_EXISTS = 2
    FIELD_SIGNED = 3
    FIELD_LSHIFT_U64 = 4
    FIELD_RSHIFT_U64 = 5
    TYPE_ID_LOCAL = 6
    TYPE_ID_TARGET = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    ENUMVAL_EXISTS = 10
    ENUMVAL_VALUE = 11
    TYPE_MATCHES = 12


class FuncRecord(NamedTuple):
    """The function of BTF type `type_id` begins `offset` bytes into its section."""

    offset: int
    type_id: int


class Line(NamedTuple):
    """The instruction `offset` bytes into its section comes from this line.

    `file_off` and `line_off` are string offsets of the path and of the line's text; `line` and `column` count from 1.
    """

    offset: int
    file_off: int
    line_off: int
    line: int
    column: int


class CoreRelocation(NamedTuple):
    """The instruction `offset` bytes into its section depends on type `type_id`.

    `access` is a path of member indices such as "0:1:2" (or an enumerator's index). `kind` is a plain int where the
    number is unknown.
    """

    offset: int
    type_id: int
    access: str
    kind: CoreKind | int


class ExtInfo(Plain):
    """The records of a `.BTF.ext` section, by the name of the program section that they describe.

    Offsets are bytes in that section, in the order of the file. Treat it as immutable; threads may share it.
    """

    btf: Btf
    funcs: dict[str, list[FuncRecord]] = field(default_factory=dict)
    lines: dict[str, list[Line]] = field(default_factory=dict)
    cores: dict[str, list[CoreRelocation]] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: Buffer, btf: Btf) -> ExtInfo:
        """Read the section in the byte order that its magic says; strings come from `btf`.

        Raises BtfError (section ".BTF.ext", offset).
        """
        reader = _Reader(bytes(data), btf)
        funcs, lines, cores = reader.tables
        return cls(
            btf=btf,
            funcs={name: [FuncRecord(*row) for row in rows] for name, rows in reader.sections(funcs, "2I")},
            lines={name: [_line(*row) for row in rows] for name, rows in reader.sections(lines, "4I")},
            cores={name: [_core(btf, *row) for row in rows] for name, rows in reader.sections(cores, "4I")},
        )

    def encode(self, byte_order: ByteOrder | None = None) -> bytes:
        """Write the section (default byte order: that of `btf`).

        Names of sections and access paths must stand in the string table of `btf`; BtfError otherwise.
        """
        mark = _MARK[byte_order or self.btf.byte_order]
        tables = (
            self._table(mark, 8, ((name, [struct.pack(f"{mark}2I", *row) for row in self.funcs[name]])
                                  for name in self.funcs)),
            self._table(mark, 16, ((name, [_pack_line(mark, *row) for row in self.lines[name]])
                                   for name in self.lines)),
            self._table(mark, 16, ((name, [self._pack_core(mark, row) for row in self.cores[name]])
                                   for name in self.cores)),
        )  # fmt: skip
        places: list[int] = []
        for table in tables:
            places += (sum(places[1::2]), len(table))
        header = struct.pack(f"{mark}HBBI6I", MAGIC, VERSION, 0, _FULL_HEADER, *places)
        return header + b"".join(tables)

    def _table(self, mark: str, size: int, sections: Iterable[tuple[str, Sequence[bytes]]]) -> bytes:
        parts = []
        for name, records in sections:
            parts += [struct.pack(f"{mark}2I", _offset_in(self.btf, name), len(records)), *records]
        return struct.pack(f"{mark}I", size) + b"".join(parts) if parts else b""

    def _pack_core(self, mark: str, row: CoreRelocation) -> bytes:
        return struct.pack(f"{mark}4I", row.offset, row.type_id, _offset_in(self.btf, row.access), row.kind)


def encode_func_info(rows: Iterable[tuple[int, int]], btf: Btf) -> bytes:
    """Pack (slot, id of the Func) rows into `struct bpf_func_info` records of 8 bytes for PROG_LOAD.

    The kernel wants ascending slots that begin with 0. The byte order is that of `btf`.
    """
    packer = struct.Struct(_MARK[btf.byte_order] + "2I")
    return b"".join(packer.pack(slot, type_id) for slot, type_id in rows)


def encode_line_info(rows: Iterable[tuple[int, int | str, int | str, int, int]], btf: Btf) -> bytes:
    """Pack (slot, file, text, line, column) rows into `struct bpf_line_info` records of 16 bytes for PROG_LOAD.

    File and text are string offsets, or strings; one that `btf` does not hold is written as offset 0, the empty
    string. The kernel wants ascending slots and one record at the first slot of every function.
    """
    offsets: dict[str, int] = {}

    def place(text: int | str) -> int:
        if isinstance(text, int):
            return text
        if text not in offsets:
            offsets[text] = btf.string_offset(text) or 0
        return offsets[text]

    mark = _MARK[btf.byte_order]
    return b"".join(
        _pack_line(mark, slot, place(file), place(text), line, column) for slot, file, text, line, column in rows
    )


class _Reader:
    """Walks the tables of a section without trusting any of their counts."""

    def __init__(self, data: bytes, btf: Btf) -> None:
        self._data = data
        self._btf = btf
        self._order: ByteOrder = "little" if data[:1] == bytes([MAGIC & 0xFF]) else "big"
        self._mark = _MARK[self._order]
        self.tables = self._header()

    def _header(self) -> list[tuple[int, int]]:
        """Return start and end of the func, line and CO-RE tables, in bytes."""
        if len(self._data) < 8:
            raise _damaged(f"the header takes {_BASIC_HEADER} bytes, {len(self._data)} are there", 0)
        magic, version, flags, length = struct.unpack_from(f"{self._mark}HBBI", self._data)
        if magic != MAGIC:
            raise _damaged(f"magic is {self._data[:2].hex()}, expected eb9f in either byte order", 0)
        if version != VERSION or flags:
            raise _damaged(f"version {version}, flags {flags}: expected 1 and 0", 2)
        if not _BASIC_HEADER <= length <= len(self._data):
            raise _damaged(f"the header's length is {length}, the section's {len(self._data)}", 4)
        places = struct.unpack_from(f"{self._mark}{6 if length >= _FULL_HEADER else 4}I", self._data, 8)
        tables = [self._table(length, 8 + 4 * i, *places[i : i + 2]) for i in range(0, len(places), 2)]
        return tables if len(tables) == 3 else [*tables, (0, 0)]

    def _table(self, header: int, field_at: int, at: int, length: int) -> tuple[int, int]:
        start, end = header + at, header + at + length
        if length and (end > len(self._data) or length < 4):
            raise _damaged(f"a table lies at {start} to {end}, the section ends at {len(self._data)}", field_at)
        return start, end

    def sections(self, table: tuple[int, int], layout: str) -> Iterator[tuple[str, list[tuple[int, ...]]]]:
        """Yield each program section's name and rows; rows longer than `layout` are cut to what is known."""
        at, end = table
        if at == end:
            return
        record = struct.Struct(self._mark + layout)
        stride = self._word(at)
        if stride < record.size or stride % 4:
            raise _damaged(f"records have {stride} bytes, expected at least {record.size}", at)
        at += 4
        found: dict[str, list[tuple[int, ...]]] = {}
        while at < end:
            if end - at < 8:
                raise _damaged("a table ends inside the header of a section", at)
            name, count = self._word(at), self._word(at + 4)
            if count * stride > end - at - 8 or not count:
                raise _damaged(f"{count} records of {stride} bytes don't fit the table", at + 4)
            rows = found.setdefault(self._btf.string(name), [])
            rows += (record.unpack_from(self._data, at + 8 + i * stride) for i in range(count))
            at += 8 + count * stride
        yield from found.items()

    def _word(self, at: int) -> int:
        return int.from_bytes(self._data[at : at + 4], self._order)


def _line(offset: int, file_off: int, line_off: int, place: int) -> Line:
    return Line(offset, file_off, line_off, place >> 10, place & 0x3FF)


def _pack_line(mark: str, offset: int, file_off: int, line_off: int, line: int, column: int) -> bytes:
    place = (line & 0x3FFFFF) << 10 | min(column, 0x3FF)
    return struct.pack(f"{mark}4I", offset, file_off, line_off, place)


def _core(btf: Btf, offset: int, type_id: int, access: int, kind: int) -> CoreRelocation:
    known = CoreKind(kind) if kind <= CoreKind.TYPE_MATCHES else kind
    return CoreRelocation(offset, type_id, btf.string(access), known)


def _offset_in(btf: Btf, text: str) -> int:
    offset = btf.string_offset(text)
    if offset is None:
        raise BtfError(f"{text!r} is not in the string table", section=".BTF.ext")
    return offset


def _damaged(reason: str, offset: int) -> BtfError:
    return BtfError(reason, section=".BTF.ext", offset=offset)
