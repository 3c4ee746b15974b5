"""A BTF blob: header, type records, strings (Documentation/bpf/btf.rst, include/uapi/linux/btf.h).

Opening walks the records once, for their offsets. Everything else is decoded when it is asked for.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from ebpf.btf.kind import FIXED_WORDS, MAGIC, STRIDE_WORDS, VERSION, VLEN_MASK, Kind
from ebpf.btf.types import CLASSES, Datasec, Type, Void
from ebpf.errors import BtfError
from ebpf.plain import NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Buffer

ByteOrder = Literal["little", "big"]
T = TypeVar("T", bound=Type)

_HEADER = 24
_TAIL_LIMIT = 256
"""Longest name that may begin inside another string, in bytes: many such names could share one huge string."""


class Btf:
    """The types of an object file or a kernel. Immutable; threads may share it.

    `base` is the blob that a split one (a kernel module's) continues: ids and string offsets go on from there.
    `byte_order` is "little" or "big". `raw` is the whole blob. `words` are the type records as 32-bit numbers.
    `codecs` is where `Codec` keeps what it has compiled.
    """

    __slots__ = (
        "_first",
        "_long",
        "_names",
        "_offsets",
        "_sections",
        "_string_at",
        "_strings",
        "_tails",
        "_types",
        "base",
        "byte_order",
        "codecs",
        "raw",
        "words",
    )

    def __init__(self, raw: bytes, sections: Sections, base: Btf | None) -> None:
        self.raw = raw
        self.base = base
        self.byte_order = sections.byte_order
        self._sections = sections
        self.words = _words(raw[sections.types : sections.types_end], sections.byte_order)
        self._strings = raw[sections.strings : sections.strings_end]
        self._first = 1 if base is None else base.next_id
        self._string_at = 0 if base is None else base.strings_end
        self._offsets = self._walk()
        self._types: dict[int, Type] = {}
        self.codecs: dict[tuple[Any, ...], Any] = {}
        # Thousands of records may share one huge string: it is decoded once.
        self._long: dict[int, str] = {}
        self._names: dict[bytes, int | list[int]] | None = None
        self._tails: dict[int, list[int]] = {}

    @classmethod
    def parse(cls, data: Buffer, *, base: Btf | None = None) -> Btf:
        """Open a blob in either byte order; `base` is the blob that a split one continues.

        Only the header and the extent of each record are checked now. Raises BtfError (section ".BTF", offset).
        """
        raw = bytes(data)
        return cls(raw, _sections(raw, split=base is not None), base)

    @property
    def first_id(self) -> int:
        """Id of the first type of its own: 1, or where the base ends."""
        return self._first

    @property
    def next_id(self) -> int:
        """One more than the highest id."""
        return self._first + len(self._offsets)

    @property
    def strings_end(self) -> int:
        """End of all string offsets, the base's included, in bytes."""
        return self._string_at + len(self._strings)

    def __len__(self) -> int:
        """Count its own types, without void and without the base's."""
        return len(self._offsets)

    def __iter__(self) -> Iterator[Type]:
        """Iterate over its own types in the order of ids, without void and without the base's."""
        return map(self.by_id, range(self._first, self.next_id))

    def __repr__(self) -> str:
        return f"<Btf {len(self)} types, {self.byte_order} endian>"

    def by_id(self, id_: int, *, at: int | None = None) -> Type:
        """Return the type with this id; 0 is void. `at` is the word that refers to it, for the error's offset.

        Raises BtfError for an id that does not exist.
        """
        known = self._types.get(id_)
        if known is not None:
            return known
        if self.base is not None and 0 <= id_ < self._first:
            return self.base.by_id(id_)
        if not 0 <= id_ < self.next_id:
            raise self.damaged(f"there is no type with id {id_}, the highest is {self.next_id - 1}", at)
        if id_ == 0:
            return self._types.setdefault(0, Void(self, 0, 0))
        word = self._offsets[id_ - self._first]
        return self._types.setdefault(id_, CLASSES[self.words[word + 1] >> 24 & 31](self, id_, word))

    @overload
    def find(self, name: str, kind: type[T]) -> T | None: ...
    @overload
    def find(self, name: str, kind: Kind | None = None) -> Type | None: ...
    def find(self, name: str, kind: Kind | type[Type] | None = None) -> Type | None:
        """Return the first type of this name, or None. `kind` is a Kind or one of the type classes.

        Own types are searched before the base's. The first call builds the index of names.
        """
        return next(self._matches(name, kind), None)

    def find_all(self, name: str, kind: Kind | type[Type] | None = None) -> list[Type]:
        """Return every type of this name (and kind), its own first, then the base's."""
        return list(self._matches(name, kind))

    def _matches(self, name: str, kind: Kind | type[Type] | None) -> Iterator[Type]:
        wanted = kind if kind is None or isinstance(kind, Kind) else kind.kind
        for id_ in self._ids(name.encode("utf-8", "surrogatepass")):
            found = self.by_id(id_)
            if wanted is None or found.kind is wanted:
                yield found
        if self.base is not None:
            yield from self.base._matches(name, kind)

    def string(self, offset: int) -> str:
        """Return the string at an offset of the string table (the base's strings come first).

        Bytes that are not UTF-8 are shown as escapes. Raises BtfError for an offset outside the table.
        """
        if offset < self._string_at and self.base is not None:
            return self.base.string(offset)
        known = self._long.get(offset)
        if known is not None:
            return known
        text = self._bytes_at(offset - self._string_at).decode("utf-8", "backslashreplace")
        if len(text) > _TAIL_LIMIT:
            self._long[offset] = text
        return text

    def string_offset(self, text: str) -> int | None:
        """Return the offset of a string that stands in the table as a whole, or None."""
        wanted = text.encode("utf-8", "surrogatepass") + b"\0"
        if self.base is not None:
            inherited = self.base.string_offset(text)
            if inherited is not None:
                return inherited
        if self._strings.startswith(wanted):
            return self._string_at
        found = self._strings.find(b"\0" + wanted)
        return None if found < 0 else self._string_at + found + 1

    def encode(self, byte_order: ByteOrder | None = None) -> bytes:
        """Return the blob in this byte order (default: its own). Types keep their ids, strings their offsets."""
        if byte_order in (None, self.byte_order):
            return self.raw
        return _swap(self.raw, self._sections)

    def with_datasecs(self, layout: Mapping[str, tuple[int, Mapping[str, int]]]) -> Btf:
        """Return a copy in which sections have their size and variables their offset; ids stay the same.

        `layout` maps section name → (size in bytes, variable name → offset in bytes). Entries are sorted by offset,
        as the kernel wants them. Variables and sections that `layout` does not name keep what they have.
        """
        words = array("I", self.words)
        for type_ in self:
            if isinstance(type_, Datasec) and type_.name in layout:
                _fill_datasec(words, self._offsets[type_.id - self._first], type_, *layout[type_.name])
        if self.byte_order != sys.byteorder:
            words.byteswap()
        raw = self.raw[: self._sections.types] + words.tobytes() + self.raw[self._sections.types_end :]
        return Btf(raw, self._sections, self.base)

    def offset_of(self, at: int) -> int:
        """Return the byte offset in the section of the word with this index."""
        return self._sections.types + 4 * at

    def damaged(self, reason: str, at: int | None = None) -> BtfError:
        """Make the error for a damaged record; `at` is the index of the word that is wrong."""
        return BtfError(reason, section=".BTF", offset=None if at is None else self.offset_of(at))

    def __deepcopy__(self, memo: dict[int, Any]) -> Btf:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.raw, self.base)

    def _walk(self) -> array[int]:
        words, end, at = self.words, len(self.words), 0
        offsets = array("I")
        fixed, stride, append = FIXED_WORDS, STRIDE_WORDS, offsets.append
        try:
            while at < end:
                append(at)
                info = words[at + 1]
                kind = info >> 24 & 31
                at += fixed[kind] + stride[kind] * (info & VLEN_MASK)
        except IndexError:
            at = end + 1
        if at > end:
            raise self._cut_short(offsets[-1])
        return offsets

    def _cut_short(self, at: int) -> BtfError:
        if at + 1 < len(self.words):
            kind = self.words[at + 1] >> 24 & 31
            if not 1 <= kind <= max(Kind):
                return self.damaged(f"unknown kind {kind}", at)
        return self.damaged("a type record goes past the end of the type section", at)

    def _bytes_at(self, offset: int) -> bytes:
        strings = self._strings
        if not 0 <= offset < len(strings):
            if offset == 0:
                return b""
            raise self._bad_string(offset)
        if offset == 0 or strings[offset - 1] == 0:
            return strings[offset : strings.index(0, offset)]
        end = strings.find(0, offset, offset + _TAIL_LIMIT)
        if end < 0:
            raise self._bad_string(offset)
        return strings[offset:end]

    def _bad_string(self, offset: int) -> BtfError:
        return BtfError(
            f"there is no string at offset {self._string_at + offset} of {self.strings_end}",
            section=".BTF",
            offset=self._sections.strings,
        )

    def _ids(self, name: bytes) -> Sequence[int]:
        if not name:
            return ()
        if self._names is None:
            self._names = self._index()
        found = self._names.get(name, ())
        ids = [found] if isinstance(found, int) else list(found)
        return sorted(ids + self._tail_ids(name) if self._tails else ids)

    def _index(self) -> dict[bytes, int | list[int]]:
        by_offset: dict[int, int | list[int]] = {}
        words, known = self.words, by_offset.get
        for id_, at in enumerate(self._offsets, self._first):
            offset = words[at]
            if offset:
                others = known(offset)
                if others is None:
                    by_offset[offset] = id_
                elif isinstance(others, int):
                    by_offset[offset] = [others, id_]
                else:
                    others.append(id_)
        return self._names_of(by_offset)

    def _names_of(self, by_offset: dict[int, int | list[int]]) -> dict[bytes, int | list[int]]:
        names: dict[bytes, int | list[int]] = {}
        strings, own = self._strings, self._string_at
        for offset, ids in by_offset.items():
            if offset < own:
                assert self.base is not None
                name = self.base.string(offset).encode("utf-8", "surrogatepass")
            elif offset - own >= len(strings):
                raise self._bad_string(offset - own)
            elif strings[offset - own - 1] != 0:
                self._tails[offset - own] = [ids] if isinstance(ids, int) else ids
                continue
            else:
                name = strings[offset - own : strings.index(0, offset - own)]
            names[name] = _joined(names[name], ids) if name in names else ids
        return names

    def _tail_ids(self, name: bytes) -> list[int]:
        """Find types whose name is the tail of another string, without making those strings."""
        found: list[int] = []
        wanted, at = name + b"\0", 0
        while (at := self._strings.find(wanted, at)) >= 0:
            found += self._tails.get(at, ())
            at += 1
        return found


class Sections(NamedTuple):
    """Where the parts of a blob lie, in bytes from its start."""

    byte_order: ByteOrder
    header_end: int
    types: int
    types_end: int
    strings: int
    strings_end: int


def _restore(raw: bytes, base: Btf | None) -> Btf:
    return Btf.parse(raw, base=base)


def _sections(raw: bytes, *, split: bool) -> Sections:
    if len(raw) < _HEADER:
        raise BtfError(f"the header takes {_HEADER} bytes, {len(raw)} are there", section=".BTF", offset=0)
    order: ByteOrder = "little" if raw[0] == MAGIC & 0xFF else "big"
    mark = "<" if order == "little" else ">"
    magic, version, flags, header, type_at, type_len, string_at, string_len = struct.unpack_from(f"{mark}HBB5I", raw)
    if magic != MAGIC:
        raise BtfError(f"magic is {raw[:2].hex()}, expected eb9f in either byte order", section=".BTF", offset=0)
    if version != VERSION or flags:
        raise BtfError(f"version {version}, flags {flags}: expected 1 and 0", section=".BTF", offset=2)
    types, strings = header + type_at, header + string_at
    found = Sections(order, header, types, types + type_len, strings, strings + string_len)
    _check_sections(raw, found, split=split)
    return found


def _check_sections(raw: bytes, found: Sections, *, split: bool) -> None:
    def refuse(reason: str, offset: int) -> BtfError:
        return BtfError(reason, section=".BTF", offset=offset)

    if not _HEADER <= found.header_end <= len(raw):
        raise refuse(f"the header's length is {found.header_end}, the section's {len(raw)}", 4)
    if found.types_end > len(raw) or (found.types_end - found.types) % 4:
        raise refuse(f"types end at {found.types_end}, the section at {len(raw)}", 8)
    if found.strings_end > len(raw):
        raise refuse(f"strings end at {found.strings_end}, the section at {len(raw)}", 16)
    if found.types < found.strings_end and found.strings < found.types_end and found.types < found.types_end:
        raise refuse("types and strings overlap", 8)
    if found.strings == found.strings_end:
        if not split:
            raise refuse("the string table is empty", 20)
    elif raw[found.strings_end - 1] != 0:
        raise refuse("the string table does not end with NUL", found.strings_end - 1)
    elif not split and raw[found.strings] != 0:
        raise refuse("the string table does not begin with the empty string", found.strings)


def _words(data: bytes, byte_order: ByteOrder) -> Sequence[int]:
    if byte_order == sys.byteorder:
        return memoryview(data).cast("I")
    words = array("I", data)
    words.byteswap()
    return words


def _swap(raw: bytes, sections: Sections) -> bytes:
    """Turn every number of a blob around; all of them but the magic have 32 bits."""
    turned = bytearray(raw)
    turned[0:2] = raw[1::-1]
    for start, end in ((4, sections.header_end & ~3), (sections.types, sections.types_end)):
        words = array("I", raw[start:end])
        words.byteswap()
        turned[start:end] = words.tobytes()
    return bytes(turned)


def _joined(left: int | list[int], right: int | list[int]) -> list[int]:
    """Append to `left`, which nobody else has: a string may stand in the table thousands of times."""
    ids = [left] if isinstance(left, int) else left
    ids += [right] if isinstance(right, int) else right
    return ids


def _fill_datasec(words: array[int], at: int, section: Datasec, size: int, offsets: Mapping[str, int]) -> None:
    words[at + 2] = size
    rows = [(offsets.get(entry.type.name, entry.offset), entry.type_id, entry.size) for entry in section.entries]
    rows.sort(key=lambda row: row[0])
    for place, (offset, id_, length) in zip(range(at + 3, len(words), 3), rows, strict=False):
        words[place], words[place + 1], words[place + 2] = id_, offset, length
