"""From a BTF type to its codec. Bounded in depth and size, whatever the type claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from ebpf.btf.arrays import Elements
from ebpf.btf.elements import Member
from ebpf.btf.kind import MAX_DEPTH
from ebpf.btf.layout import ALIASES, bit_span, describe, is_partial, size_of, strip, too_deep
from ebpf.btf.names import Names, python_name
from ebpf.btf.records import Field, Overlay, Record, overlap
from ebpf.btf.scalars import MARK, BitField, ByteOrder, Enumeration, Integer, Node, Partial, Text, Truth, real
from ebpf.btf.types import (
    Array,
    Datasec,
    Enum,
    Enum64,
    Float,
    Int,
    Pointer,
    Struct,
    Type,
    Typedef,
    Union,
    Var,
)

_MOST_MEMBERS = 4096
"""Members of one struct, those of anonymous ones inside included; the kernel's largest has about 300."""

_FREE_VALUES = 1 << 12
"""Values that a type may hold beyond 8 a byte: only empty structs and arrays make more of them."""

_WIDEST_INT = 16
_WIDEST_ENUM = 8


class Compiler:
    """Makes codecs of one byte order and pointer size. They are kept in the Btf, which is immutable like they are."""

    def __init__(self, order: ByteOrder, pointer_size: int) -> None:
        self._order = order
        self._pointer = pointer_size
        self._open: set[Type] = set()

    def root(self, type_: Type) -> Node:
        """Return the codec of a type on its own: here a flexible array may take the rest of the buffer."""
        if isinstance(type_, Var):
            type_ = type_.target
        inner = strip(type_)
        if isinstance(inner, Struct):
            return self._remembered(inner, "root", lambda: self._record(inner, _name(type_), flexible=True))
        return self.node(type_)

    def node(self, type_: Type, member: str = "") -> Node:
        """Return the codec of a type that lies inside of another; `member` names the class of an anonymous type."""
        inner = strip(type_)
        if inner in self._open or len(self._open) >= MAX_DEPTH:
            raise too_deep(inner)
        self._open.add(inner)
        try:
            return self._remembered(inner, "inner", lambda: self._make(inner, _name(type_) or member))
        finally:
            self._open.discard(inner)

    def _remembered(self, type_: Type, role: str, make: Callable[[], Node]) -> Node:
        key = (type_.id, role, self._order, self._pointer)
        known: Node | None = type_.btf.codecs.get(key)
        if known is None:
            known = type_.btf.codecs.setdefault(key, self._bounded(type_, make()))
        return known

    def _bounded(self, type_: Type, node: Node) -> Node:
        if node.depth > MAX_DEPTH:
            raise too_deep(type_)
        if node.count > _FREE_VALUES + 8 * node.size:
            raise type_.btf.damaged(f"{describe(type_)} holds {node.count} values in {node.size} bytes")
        return node

    def _make(self, type_: Type, name: str) -> Node:
        if isinstance(type_, Int):
            return self._integer(type_)
        if isinstance(type_, Pointer):
            return Integer(self._pointer, signed=False, order=self._order)
        if isinstance(type_, Enum | Enum64):
            return self._enumeration(type_, name)
        if isinstance(type_, Float):
            return real(type_.size, order=self._order)
        if isinstance(type_, Array):
            return self._array(type_, name)
        if isinstance(type_, Struct | Datasec):
            return self._record(type_, name, flexible=False)
        if isinstance(type_, Union):
            return Overlay(name, type_.size, self._order, self._fields(type_, Names("raw", "node"), merged=True))
        raise type_.btf.damaged(f"{describe(type_)} has no values")

    def _integer(self, type_: Int) -> Node:
        number = self._number(type_)
        if not is_partial(type_):
            return number
        if not 0 < type_.bits <= 8 * type_.size - type_.bit_offset:
            raise type_.btf.damaged(f"{describe(type_)} has {type_.bits} bits from bit {type_.bit_offset} on")
        little = self._order == "little"
        shift = type_.bit_offset if little else 8 * type_.size - type_.bit_offset - type_.bits
        return Partial(type_.size, BitField(number.narrow(type_.bits), shift), self._order)

    def _number(self, type_: Int) -> Integer:
        if not 1 <= type_.size <= _WIDEST_INT:
            raise type_.btf.damaged(f"{describe(type_)} has {type_.size} bytes, 1 to {_WIDEST_INT} are possible")
        if type_.is_bool:
            return Truth(type_.size, order=self._order)
        return Integer(type_.size, signed=type_.signed, order=self._order)

    def _enumeration(self, type_: Enum | Enum64, name: str) -> Enumeration:
        if not 1 <= type_.size <= _WIDEST_ENUM:
            raise type_.btf.damaged(f"{describe(type_)} has {type_.size} bytes, 1 to {_WIDEST_ENUM} are possible")
        return Enumeration(type_, name, order=self._order)

    def _array(self, type_: Array, name: str) -> Node:
        size = size_of(type_, pointer_size=self._pointer)
        element = strip(type_.target)
        if isinstance(element, Int) and element.is_char:
            return Text(size)
        return Elements(self.node(type_.target, name), type_.nelems, MARK[self._order])

    def _record(self, type_: Struct | Datasec, name: str, *, flexible: bool) -> Node:
        fields = self._entries(type_) if isinstance(type_, Datasec) else self._fields(type_, Names(), merged=False)
        if overlap(fields):
            fields = self._fields(type_, Names("raw", "node"), merged=True) if isinstance(type_, Struct) else fields
            return Overlay(name, type_.size, self._order, fields)
        tail = self._tail(fields[-1]) if flexible and fields else None
        return Record(name, type_.size, self._order, fields, tail=tail)

    def _tail(self, last: Field) -> Node | None:
        if isinstance(last.node, Text) and not last.node.size:
            return Text(0, flexible=True)
        if isinstance(last.node, Elements) and last.node.length == 0 and last.node.element.size:
            return Elements(last.node.element, None, MARK[self._order])
        return None

    def _entries(self, type_: Datasec) -> list[Field]:
        names = Names()
        fields = []
        for entry in type_.entries[: _MOST_MEMBERS + 1]:
            variable = entry.type
            node = self.node(variable.target if isinstance(variable, Var) else variable)
            start = 8 * entry.offset
            fields.append(Field(names.add(python_name(variable.name)), start, start + 8 * node.size, node))
        return sorted(self._checked(type_, fields), key=_place)

    def _fields(self, type_: Struct | Union, names: Names, *, merged: bool) -> list[Field]:
        """Return the members by offset; `merged`: as declared, those of anonymous unions beside the others."""
        fields = self._checked(type_, list(islice(self._walk(type_, 0, names, merged, 0), _MOST_MEMBERS + 1)))
        return fields if merged else sorted(fields, key=_place)

    def _checked(self, type_: Struct | Union | Datasec, fields: list[Field]) -> list[Field]:
        if len(fields) > _MOST_MEMBERS:
            raise type_.btf.damaged(f"{describe(type_)} has more than {_MOST_MEMBERS} members")
        for field in fields:
            if field.end > 8 * type_.size:
                raise type_.btf.damaged(
                    f"member {field.name} of {describe(type_)} ends at bit {field.end} of {8 * type_.size}"
                )
        return fields

    def _walk(self, type_: Struct | Union, base: int, names: Names, merged: bool, depth: int) -> Iterator[Field]:
        if depth >= MAX_DEPTH:
            raise too_deep(type_)
        for member in type_.members:
            inner = strip(member.type)
            nested = isinstance(inner, Struct | Union) and not member.name
            if nested and (merged or isinstance(inner, Struct)):
                assert isinstance(inner, Struct | Union)
                yield from self._walk(inner, base + member.bit_offset, names, merged, depth + 1)
            elif nested:
                yield self._unnamed(member, base, names)
            else:
                yield self._field(member, base, names)

    def _unnamed(self, member: Member, base: int, names: Names) -> Field:
        node = self.node(member.type)
        assert isinstance(node, Overlay)
        aliases = {names.add(name): name for name in node.names}
        return self._placed(member, names.add("_union"), base + member.bit_offset, node, aliases)

    def _field(self, member: Member, base: int, names: Names) -> Field:
        start, width = bit_span(member)
        name = names.add(python_name(member.name))
        if not width:
            return self._placed(member, name, base + start, self.node(member.type, member.name), None)
        return Field(name, base + start, base + start + width, self._bits(member, width), bit_field=True)

    def _placed(self, member: Member, name: str, start: int, node: Node, aliases: dict[str, str] | None) -> Field:
        if start % 8:
            raise strip(member.type).btf.damaged(f"member {name} begins at bit {start}, inside a byte")
        return Field(name, start, start + 8 * node.size, node, aliases=aliases)

    def _bits(self, member: Member, width: int) -> Integer:
        type_ = strip(member.type)
        if isinstance(type_, Int):
            number = self._number(type_)
        elif isinstance(type_, Enum | Enum64):
            number = self._enumeration(type_, _name(member.type))
        else:
            raise type_.btf.damaged(f"bit-field {member.name} has type {describe(type_)}")
        if width > 8 * number.size:
            raise type_.btf.damaged(f"bit-field {member.name} has {width} bits, its type {8 * number.size}")
        return number.narrow(width)


def _place(field: Field) -> tuple[int, int]:
    """Sort an empty member before the one that begins at the same place."""
    return field.start, field.end


def _name(type_: Type) -> str:
    """Return the name for the class: the type's own, or that of a typedef for an anonymous type."""
    own = strip(type_).name
    here = type_
    while not own and isinstance(here, ALIASES):
        own = here.name if isinstance(here, Typedef) else ""
        here = here.target
    return own
