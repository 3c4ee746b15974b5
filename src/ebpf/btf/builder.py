"""Makes BTF in a program, type by type (layout: include/uapi/linux/btf.h)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from ebpf.btf.blob import Btf, ByteOrder
from ebpf.btf.kind import KIND_FLAG, MAGIC, MAX_VLEN, VERSION, FuncLinkage, IntEncoding, Kind, VarLinkage
from ebpf.errors import BtfError

_MARK = {"little": "<", "big": ">"}
_WORD = 0xFFFFFFFF
_WIDEST_FIELD_AT = (1 << 24) - 1
_ARRAY_INDEX = "__ARRAY_SIZE_TYPE__"
"""clang's name for the type of array indices."""


class Builder:
    """Collects types and makes a Btf of them. Every `add_…` returns the id of the new type; 0 is void.

    References are ids, also of types that come later: `next_id` is the id of the next one. With `base` the result is
    split BTF, which continues it. Sizes are in bytes. Values that the format can't hold raise BtfError. Not
    synchronised: one thread builds.

        b = Builder()
        u32 = b.add_int("__u32", 4)
        b.add_struct("point", 8, [("x", u32, 0), ("y", u32, 32)])
        btf = b.build()
    """

    def __init__(self, *, base: Btf | None = None) -> None:
        self._base = base
        self._first_string = 0 if base is None else base.strings_end
        self._strings = bytearray() if base is not None else bytearray(b"\0")
        self._offsets: dict[str, int] = {"": 0}
        self._words: list[int] = []
        self._array_index = 0
        self.next_id = 1 if base is None else base.next_id

    def build(self, byte_order: ByteOrder = "little") -> Btf:
        """Return the types added so far as a Btf of this byte order; more may be added afterwards."""
        mark = _MARK[byte_order]
        types = struct.pack(f"{mark}{len(self._words)}I", *self._words)
        header = struct.pack(
            f"{mark}HBB5I", MAGIC, VERSION, 0, 24, 0, len(types), len(types), len(self._strings)
        )  # fmt: skip
        return Btf.parse(header + types + self._strings, base=self._base)

    def add_string(self, text: str) -> int:
        """Put a string into the table unless it is there; return its offset."""
        if text not in self._offsets:
            data = text.encode("utf-8", "surrogatepass")
            if b"\0" in data:
                raise BtfError(f"the name {text!r} contains NUL")
            inherited = None if self._base is None else self._base.string_offset(text)
            self._offsets[text] = self._first_string + len(self._strings) if inherited is None else inherited
            if inherited is None:
                self._strings += data + b"\0"
        return self._offsets[text]

    def add_int(
        self,
        name: str,
        size: int,
        *,
        signed: bool = False,
        encoding: IntEncoding | None = None,
        bits: int | None = None,
        bit_offset: int = 0,
    ) -> int:
        """Add an integer. `encoding` overrides `signed`; `bits` and `bit_offset` make an old bit-field."""
        flags = encoding if encoding is not None else IntEncoding.SIGNED if signed else IntEncoding(0)
        width = 8 * size if bits is None else bits
        if not 0 <= width <= 0xFF or not 0 <= bit_offset <= 0xFF:
            raise BtfError(f"int {name!r}: {width} bits at {bit_offset} can't be expressed")
        return self._add(Kind.INT, name, size, [flags << 24 | bit_offset << 16 | width])

    def add_float(self, name: str, size: int) -> int:
        """Add a floating-point number."""
        return self._add(Kind.FLOAT, name, size)

    def add_pointer(self, target: int) -> int:
        """Add a pointer to `target`."""
        return self._add(Kind.PTR, "", target)

    def add_array(self, target: int, nelems: int, *, index: int | None = None) -> int:
        """Add an array; without `index` the index type is one 32-bit integer, added once, before the array."""
        if index is None:
            self._array_index = self._array_index or self.add_int(_ARRAY_INDEX, 4)
            index = self._array_index
        return self._add(Kind.ARRAY, "", 0, [target, index, nelems])

    def add_struct(
        self, name: str, size: int, members: Iterable[tuple[str, int, int] | tuple[str, int, int, int]] = ()
    ) -> int:
        """Add a struct of (name, type id, bit offset[, bit-field width in bits]) members."""
        return self._add_composite(Kind.STRUCT, name, size, list(members))

    def add_union(
        self, name: str, size: int, members: Iterable[tuple[str, int, int] | tuple[str, int, int, int]] = ()
    ) -> int:
        """Add a union; members as for `add_struct`."""
        return self._add_composite(Kind.UNION, name, size, list(members))

    def add_enum(self, name: str, values: Mapping[str, int], *, size: int = 4, signed: bool | None = None) -> int:
        """Add an enumeration of 32-bit values; it is signed where a value is negative, unless `signed` says."""
        flag = min(values.values(), default=0) < 0 if signed is None else signed
        words = [word for text, value in values.items() for word in (self.add_string(text), self._fit(value, flag, 32))]
        return self._add(Kind.ENUM, name, size, words, vlen=len(values), flag=flag)

    def add_enum64(self, name: str, values: Mapping[str, int], *, size: int = 8, signed: bool | None = None) -> int:
        """Add an enumeration of 64-bit values (since kernel 6.0)."""
        flag = min(values.values(), default=0) < 0 if signed is None else signed
        words = []
        for text, value in values.items():
            number = self._fit(value, flag, 64)
            words += [self.add_string(text), number & _WORD, number >> 32]
        return self._add(Kind.ENUM64, name, size, words, vlen=len(values), flag=flag)

    def add_fwd(self, name: str, *, union: bool = False) -> int:
        """Add the declaration of a struct, or of a union."""
        return self._add(Kind.FWD, name, 0, flag=union)

    def add_typedef(self, name: str, target: int) -> int:
        """Add a typedef."""
        return self._add(Kind.TYPEDEF, name, target)

    def add_volatile(self, target: int) -> int:
        """Add `volatile target`."""
        return self._add(Kind.VOLATILE, "", target)

    def add_const(self, target: int) -> int:
        """Add `const target`."""
        return self._add(Kind.CONST, "", target)

    def add_restrict(self, target: int) -> int:
        """Add `target restrict`, for a pointer."""
        return self._add(Kind.RESTRICT, "", target)

    def add_func(self, name: str, proto: int, *, linkage: int = FuncLinkage.GLOBAL) -> int:
        """Add a function with this prototype."""
        return self._add(Kind.FUNC, name, proto, vlen=linkage)

    def add_func_proto(self, returns: int, params: Iterable[tuple[str, int]] = ()) -> int:
        """Add a prototype of (name, type id) parameters; a last ("", 0) stands for `...`."""
        rows = list(params)
        words = [word for name, type_id in rows for word in (self.add_string(name), type_id)]
        return self._add(Kind.FUNC_PROTO, "", returns, words, vlen=len(rows))

    def add_var(self, name: str, target: int, *, linkage: int = VarLinkage.GLOBAL) -> int:
        """Add a global variable."""
        return self._add(Kind.VAR, name, target, [linkage])

    def add_datasec(self, name: str, size: int, entries: Iterable[tuple[int, int, int]] = ()) -> int:
        """Add a section of (Var id, offset, size) entries, in bytes."""
        rows = list(entries)
        return self._add(Kind.DATASEC, name, size, [word for row in rows for word in row], vlen=len(rows))

    def add_decl_tag(self, text: str, target: int, *, component: int | None = None, attribute: bool = False) -> int:
        """Tag `target`, or its member or parameter number `component`; `attribute` for any other attribute."""
        index = _WORD if component is None else component
        return self._add(Kind.DECL_TAG, text, target, [index], flag=attribute)

    def add_type_tag(self, text: str, target: int, *, attribute: bool = False) -> int:
        """Add a type tag on `target`; `attribute` for any other attribute."""
        return self._add(Kind.TYPE_TAG, text, target, flag=attribute)

    def _add_composite(
        self, kind: Kind, name: str, size: int, members: list[tuple[str, int, int] | tuple[str, int, int, int]]
    ) -> int:
        flag = any(len(member) == 4 and member[3] for member in members)
        words: list[int] = []
        for text, type_id, offset, *width in members:
            bits = width[0] if width else 0
            if flag and (not 0 <= bits <= 0xFF or not 0 <= offset <= _WIDEST_FIELD_AT):
                raise BtfError(f"member {text!r} of {name!r}: {bits} bits at {offset} can't be expressed")
            words += (self.add_string(text), type_id, bits << 24 | offset if flag else offset)
        return self._add(kind, name, size, words, vlen=len(members), flag=flag)

    def _fit(self, value: int, signed: bool, bits: int) -> int:
        low = -(1 << bits - 1) if signed else 0
        if not low <= value < low + (1 << bits):
            raise BtfError(f"enumerator value {value} does not fit {bits} {'signed ' if signed else ''}bits")
        return value & (1 << bits) - 1

    def _add(
        self, kind: Kind, name: str, third: int, words: Iterable[int] = (), *, vlen: int = 0, flag: bool = False
    ) -> int:
        if not 0 <= vlen <= MAX_VLEN:
            raise BtfError(f"{kind.label} {name!r} has {vlen} elements, {MAX_VLEN} are possible")
        info = kind << 24 | vlen | (KIND_FLAG if flag else 0)
        record = [self.add_string(name), info, third, *words]
        if not all(0 <= word <= _WORD for word in record):
            raise BtfError(f"{kind.label} {name!r}: a number does not fit 32 bits")
        self._words += record
        self.next_id += 1
        return self.next_id - 1
