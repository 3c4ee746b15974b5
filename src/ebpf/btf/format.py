"""Types as C: how a use is spelled, and whole definitions as clang would take them."""

from __future__ import annotations

from collections.abc import Iterator

from ebpf.btf.blob import Btf
from ebpf.btf.elements import Member
from ebpf.btf.kind import MAX_DEPTH
from ebpf.btf.layout import Alignment, bit_span, size_of, too_deep
from ebpf.btf.types import (
    Array,
    Const,
    Datasec,
    Enum,
    Enum64,
    Func,
    FuncProto,
    Fwd,
    Pointer,
    Restrict,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Var,
    Volatile,
)
from ebpf.errors import BtfError

_QUALIFIERS: dict[type[Type], str] = {Const: "const", Volatile: "volatile", Restrict: "restrict"}
_ENUM_MODES = {1: "byte", 2: "HI", 8: "word"}
_FREE_TEXT = 1 << 16
_LONG_GAP = 1024
"""Holes of more bits than this are one char array instead of many bit-fields."""

_PADDING = {8: "char", 16: "short", 32: "int", 64: "long"}


def format_type(type_: Type) -> str:
    """Spell a use of the type in C: `struct event`, `const char *`, `__u32[4]`, `int (*)(void *)`.

    An anonymous struct is spelled with its members, on one line. Raises BtfError for damaged types.
    """
    return CWriter(type_.btf).declare(type_, "", None, 0)


def format_definition(type_: Type) -> str:
    """Define a struct, union, enum or typedef in C, without what it depends on; declare a function or variable.

    Layout that C would not choose by itself is forced by padding and `__attribute__((packed))`. A type that C has
    built in is just named. Raises BtfError for damaged types.
    """
    return CWriter(type_.btf).define(type_)


class CWriter:
    """Writes C. It stops with BtfError when the text outgrows what the blob can account for.

    `names` are other names for types than their own, where several have the same.
    """

    def __init__(self, btf: Btf, names: dict[Type, str] | None = None) -> None:
        self._names = {} if names is None else names
        self._left = _FREE_TEXT + 16 * len(btf.raw) + (16 * len(btf.base.raw) if btf.base is not None else 0)
        self._align = Alignment(8)
        self._enumerators_used: dict[str, int] = {}
        self.written: set[Type] = set()
        """Enumerations whose enumerators have been written, where they were defined or inside another type."""

    def define(self, type_: Type) -> str:
        """Write a whole definition, with its semicolon."""
        if isinstance(type_, Struct | Union | Enum | Enum64):
            return f"{self._tag(type_)} {self._body(type_, 0, 0)};"
        if isinstance(type_, Typedef):
            return f"typedef {self.declare(type_.target, self.name(type_), 0, 0)};"
        if isinstance(type_, Func):
            return f"{self.declare(type_.target, self.name(type_), None, 0)};"
        if isinstance(type_, Var):
            return f"extern {self.declare(type_.target, self.name(type_), None, 0)};"
        if isinstance(type_, Datasec):
            found = [entry.type for entry in type_.entries]
            return "\n".join(self.define(one) for one in found if isinstance(one, Var | Func))
        text = self.declare(type_, "", None, 0)
        return f"{text};" if isinstance(type_, Fwd) else text

    def name(self, type_: Type) -> str:
        """Return the name under which the type is written."""
        return self._spend(self._names.get(type_) or _printable(type_.name))

    def declare(self, type_: Type, declarator: str, indent: int | None, depth: int) -> str:
        """Write a declaration of `declarator`; anonymous types go on one line where `indent` is None."""
        here, marks = type_, list[str]()
        for _ in range(MAX_DEPTH):
            if isinstance(here, Const | Volatile | Restrict):
                marks.append(_QUALIFIERS[type(here)])
            elif isinstance(here, TypeTag):
                marks.append(self._attribute(here))
            elif isinstance(here, Pointer):
                declarator, marks = self._pointer(here, declarator, marks), []
            elif isinstance(here, Array):
                declarator = f"{declarator}[{here.nelems}]"
            elif isinstance(here, FuncProto):
                declarator, marks = f"{declarator}({self._params(here, depth)})", []
            else:
                return _joined(self._base(here, indent, depth), marks, declarator)
            here = here.target
        raise too_deep(type_)

    def _pointer(self, type_: Pointer, declarator: str, marks: list[str]) -> str:
        text = " ".join([*marks, declarator]) if declarator else " ".join(marks)
        inner: Type = type_.target
        for _ in range(MAX_DEPTH):
            if not isinstance(inner, Const | Volatile | Restrict | TypeTag):
                break
            inner = inner.target
        return f"(*{text})" if isinstance(inner, Array | FuncProto) else f"*{text}"

    def _params(self, type_: FuncProto, depth: int) -> str:
        if depth >= MAX_DEPTH:
            raise too_deep(type_)
        params = type_.params
        texts = []
        for index, param in enumerate(params):
            last = index == len(params) - 1
            variadic = last and not param.type_id and not param.name
            name = self._spend(_printable(param.name))
            texts.append("..." if variadic else self.declare(param.type, name, None, depth + 1))
        return ", ".join(texts) or "void"

    def _base(self, type_: Type, indent: int | None, depth: int) -> str:
        if isinstance(type_, Fwd):
            return f"{'union' if type_.is_union else 'struct'} {self.name(type_)}"
        if not isinstance(type_, Struct | Union | Enum | Enum64):
            return self.name(type_) or type_.kind.label
        if type_.name:
            return self._tag(type_)
        return f"{self._tag(type_)} {self._body(type_, indent, depth)}"

    def _tag(self, type_: Struct | Union | Enum | Enum64) -> str:
        word = "enum" if isinstance(type_, Enum | Enum64) else type_.kind.name.lower()
        return f"{word} {self.name(type_)}".rstrip()

    def _body(self, type_: Struct | Union | Enum | Enum64, indent: int | None, depth: int) -> str:
        if depth >= MAX_DEPTH:
            raise too_deep(type_)
        if isinstance(type_, Enum | Enum64):
            lines, after = self._enumerators(type_), _mode(type_)
            separator = ","
        else:
            packed = self._align.packed(type_, 0)
            inner = None if indent is None else indent + 1
            lines = [self._spend(line) for line in self._members(type_, packed, inner, depth)]
            after, separator = " __attribute__((packed))" if packed else "", ";"
        if indent is None:
            return f"{{ {' '.join(line + separator for line in lines)} }}{after}" if lines else f"{{}}{after}"
        margin = "\t" * indent
        return "{\n" + "".join(f"{margin}\t{line}{separator}\n" for line in lines) + f"{margin}}}{after}"

    def _enumerators(self, type_: Enum | Enum64) -> list[str]:
        self.written.add(type_)
        suffix = "" if isinstance(type_, Enum) else "LL" if type_.signed else "ULL"
        return [self._spend(f"{self._enumerator(one.name)} = {one.value}{suffix}") for one in type_.values]

    def _enumerator(self, name: str) -> str:
        """Return a name of its own for an enumerator: all of C's share one space."""
        count = self._enumerators_used[name] = self._enumerators_used.get(name, 0) + 1
        return _printable(name) if count == 1 else f"{_printable(name)}___{count}"

    def _members(self, type_: Struct | Union, packed: bool, indent: int | None, depth: int) -> Iterator[str]:
        end = 0
        for member in type_.members:
            start, width = bit_span(member)
            if isinstance(type_, Struct):
                yield from _padding(end, start, self._natural(member, end, packed))
            text = self.declare(member.type, _printable(member.name), indent, depth + 1)
            yield f"{text}: {width}" if width else text
            end = start + (width or 8 * size_of(member.type))
        if isinstance(type_, Struct):
            unit = 8 if packed else 8 * self._align.of(type_, 0)
            yield from _padding(end, 8 * type_.size, -(-end // unit) * unit)

    def _natural(self, member: Member, end: int, packed: bool) -> int:
        """Return the bit where C would put the member after `end`."""
        _, width = bit_span(member)
        if width:
            unit = 8 * size_of(member.type)
            fits = packed or not unit or end % unit + width <= unit  # hostile types may have no size
            return end if fits else -(-end // unit) * unit
        unit = 8 if packed else 8 * self._align.of(member.type, 0)
        return -(-end // unit) * unit

    def _attribute(self, type_: TypeTag) -> str:
        name = self.name(type_)
        return f"__attribute__(({name}))" if type_.kind_flag else f'__attribute__((btf_type_tag("{name}")))'

    def _spend(self, text: str) -> str:
        self._left -= len(text)
        if self._left < 0:
            raise BtfError("the types expand to far more text than they take themselves", section=".BTF")
        return text


def _joined(base: str, marks: list[str], declarator: str) -> str:
    """Put qualifiers before the type and attributes behind it, as clang prints them."""
    words = [mark for mark in marks if not mark.startswith("__attribute__")]
    attributes = [mark for mark in marks if mark.startswith("__attribute__")]
    text = " ".join([*words, base, *attributes])
    return f"{text}{declarator}" if declarator.startswith("[") or not declarator else f"{text} {declarator}"


def _padding(end: int, start: int, natural: int) -> Iterator[str]:
    """Fill from bit `end` to `start` with unnamed bit-fields, where C would go to `natural` by itself."""
    if start <= natural:
        return
    if start - end > _LONG_GAP and end % 8 == 0 == start % 8:
        yield f"char __padding_{end // 8}[{(start - end) // 8}]"
        return
    while end < start:
        unit = next((unit for unit in _PADDING if end % unit + start - end <= unit), 64)
        step = min(start, (end // unit + 1) * unit) - end
        yield f"{_PADDING[unit]}: {step}"
        end += step


def _mode(type_: Enum | Enum64) -> str:
    mode = _ENUM_MODES.get(type_.size) if isinstance(type_, Enum) else None
    return f" __attribute__((mode({mode})))" if mode else ""


def _printable(name: str) -> str:
    return name if name.isprintable() else name.encode("unicode_escape").decode()
