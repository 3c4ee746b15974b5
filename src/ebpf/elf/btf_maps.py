"""Maps of section `.maps`: C variables whose type is the definition (libbpf's `__uint`, `__type`, `__array`).

Each attribute is a member of the variable's struct: a number is the length of an array that a pointer points at, or
the value of an enumerator (`__ulong`); a key or value is the target of a pointer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ebpf.abi.types import MapType
from ebpf.elf.file import STT_SECTION, Section, Symbol
from ebpf.elf.object import ObjectFile, Use
from ebpf.elf.values import map_flags, map_type
from ebpf.errors import ElfError
from ebpf.plain import Plain, field
from ebpf.spec import MapSpec, Pinning

if TYPE_CHECKING:
    from ebpf.btf import Struct, Type
    from ebpf.btf.elements import Member

_U32_MAX = 0xFFFFFFFF
_POINTER = 8
_MEMBER_LIMIT = 64
_PINNING: dict[int, Pinning] = {0: "none", 1: "by_name"}
_NO_VALUE_SIZE = frozenset((MapType.RINGBUF, MapType.ARENA, MapType.PERF_EVENT_ARRAY))
"""Types whose definition may name a value type for the reader's sake, but whose map has no values of that size."""


def read_btf_maps(obj: ObjectFile, functions: Mapping[tuple[int, int], str]) -> dict[str, MapSpec]:
    """Return the maps by name; `functions` names the function at (section, offset), for program arrays.

    Raises ElfError, BtfError naming section and map.
    """
    maps: dict[str, MapSpec] = {}
    for section in obj.sections(Use.BTF_MAPS):
        if obj.types is None:
            raise ElfError("maps without type information (compile with -g)", section=section.name)
        symbols = {symbol.name: symbol for symbol in obj.symbols(section)}
        variables = obj.variables(section.name)
        for name in sorted(symbols.keys() - variables.keys()):
            raise ElfError(f"symbol {name} has no type", section=section.name, offset=symbols[name].value)
        if sum(symbol.size for symbol in symbols.values()) > section.size:
            raise ElfError("maps overlap", section=section.name)
        for name, variable in variables.items():
            if name not in symbols:
                raise ElfError(f"map {name} has no global symbol (remove `static`)", section=section.name)
            reader = _MapReader(obj, section, symbols[name], functions, obj.tags_of(variable))
            maps[name] = reader.read(variable)
    return maps


class _Definition(Plain):
    """What the members of one definition say; None and 0 where they say nothing."""

    numbers: dict[str, int] = field(default_factory=dict)
    key: Type | None = None
    value: Type | None = None
    inner: MapSpec | None = None
    contents: list[tuple[bytes, bytes | str]] | None = None


class _MapReader(Plain):
    """Reads the definition of one map."""

    obj: ObjectFile
    section: Section
    symbol: Symbol
    functions: Mapping[tuple[int, int], str]
    tags: list[str]

    def read(self, variable: Type) -> MapSpec:
        from ebpf.btf import Struct, Var, VarLinkage, strip

        if not isinstance(variable, Var) or variable.linkage == VarLinkage.STATIC:
            raise self.error("is not a global variable (remove `static`)")
        definition = strip(variable.target)
        if not isinstance(definition, Struct):
            raise self.error("is not defined by a struct")
        self._check_zeros()
        return self._spec(self.symbol.name, definition, inner=False)

    def error(self, reason: str) -> ElfError:
        return ElfError(f"map {self.symbol.name} {reason}", section=self.section.name, offset=self.symbol.value)

    def _check_zeros(self) -> None:
        start, end = self.symbol.value, self.symbol.value + self.symbol.size
        if end > len(self.section.data):
            raise self.error(f"passes the end of the section ({len(self.section.data):#x} bytes)")
        relocations = self.obj.relocations[self.section.index]
        for offset in range(start, end, _POINTER):
            if any(self.section.data[offset : min(offset + _POINTER, end)]) and offset not in relocations:
                raise self.error(f"has initial bytes at {offset:#x}, which only `values` may have")

    def _spec(self, name: str, struct: Struct, *, inner: bool) -> MapSpec:
        found = _Definition()
        if len(struct.members) > _MEMBER_LIMIT:
            raise self.error(f"has {len(struct.members)} attributes, expected at most {_MEMBER_LIMIT}")
        for member in struct.members:
            self._member(found, name, member, last=member is struct.members[-1], inner=inner)
        numbers = found.numbers
        type_ = map_type(numbers.get("type", 0), self.section.name, name)
        value_size = 0 if found.value is not None and type_ in _NO_VALUE_SIZE else numbers.get("value_size", 0)
        pinning = _PINNING.get(numbers.get("pinning", 0))
        if pinning is None:
            raise self.error(f"has pinning {numbers['pinning']}, expected 0 or 1 (LIBBPF_PIN_BY_NAME)")
        return MapSpec(
            name,
            type_,
            numbers.get("key_size", 0),
            value_size,
            numbers.get("max_entries", 0),
            flags=map_flags(numbers.get("map_flags", 0)),
            pinning=pinning,
            key=found.key,
            value=found.value,
            contents=found.contents,
            inner=found.inner,
            map_extra=numbers.get("map_extra", 0),
            numa_node=numbers.get("numa_node", 0),
            tags=list(self.tags),
            section=self.section.name,
        )

    def _member(self, found: _Definition, name: str, member: Member, *, last: bool, inner: bool) -> None:
        field_name = member.name
        if field_name in ("type", "max_entries", "map_flags", "numa_node", "key_size", "value_size", "pinning"):
            if inner and field_name == "pinning":
                raise self.error("has a pinned inner map")
            self._number(found, field_name, self._uint(member, _U32_MAX))
        elif field_name == "map_extra":
            self._number(found, field_name, self._uint(member, (1 << 64) - 1))
        elif field_name in ("key", "value"):
            self._key_or_value(found, field_name, member)
        elif field_name == "values":
            if not last:
                raise self.error("has members behind `values`, which must be the last")
            self._values(found, name, member, inner=inner)
        else:
            raise self.error(f"has the unknown attribute {field_name or '(no name)'}")

    def _number(self, found: _Definition, name: str, number: int) -> None:
        if found.numbers.setdefault(name, number) != number:
            raise self.error(f"has {name} {number} after {found.numbers[name]}")

    def _uint(self, member: Member, limit: int) -> int:
        from ebpf.btf import Array, Enum, Enum64, Pointer, strip

        type_ = strip(member.type)
        if isinstance(type_, Pointer):
            array = strip(type_.target)
            if isinstance(array, Array):
                return array.nelems
        elif isinstance(type_, (Enum, Enum64)) and type_.values:
            number = type_.values[0].value
            if 0 <= number <= limit:
                return number
        raise self.error(f"gives no number for {member.name} (expected __uint or __ulong)")

    def _key_or_value(self, found: _Definition, name: str, member: Member) -> None:
        from ebpf.btf import Pointer, size_of, strip

        pointer = strip(member.type)
        if not isinstance(pointer, Pointer):
            raise self.error(f"gives no type for {name} (expected __type)")
        setattr(found, name, pointer.target)
        self._number(found, f"{name}_size", size_of(pointer.target))

    def _values(self, found: _Definition, name: str, member: Member, *, inner: bool) -> None:
        from ebpf.btf import Array, FuncProto, Pointer, Struct, strip

        array = strip(member.type)
        pointer = strip(array.target) if isinstance(array, Array) else None
        element = strip(pointer.target) if isinstance(pointer, Pointer) else None
        type_ = found.numbers.get("type", 0)
        self._number(found, "value_size", 4)
        if isinstance(element, Struct) and type_ in (MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS) and not inner:
            found.inner = self._spec(f"{name}_inner", element, inner=True)
        elif not (isinstance(element, FuncProto) and type_ == MapType.PROG_ARRAY):
            raise self.error("has `values` that are neither maps of a map of maps nor programs of a program array")
        if not inner:
            found.contents = list(self._contents(member.offset)) or None

    def _contents(self, offset: int) -> Iterator[tuple[bytes, str]]:
        """Yield index and name of each element that the initialiser of `values` sets."""
        relocations = self.obj.relocations[self.section.index]
        start, end = self.symbol.value + offset, self.symbol.value + self.symbol.size
        for index, place in enumerate(range(start, end, _POINTER)):
            target = relocations.get(place)
            if target is not None:
                yield index.to_bytes(4, self.obj.byte_order), self._name_of(target, place)

    def _name_of(self, target: Symbol, place: int) -> str:
        addend = int.from_bytes(self.section.data[place : place + _POINTER], self.obj.byte_order)
        use = self.obj.uses.get(target.section)
        if use is Use.PROGRAM:
            name = self.functions.get((target.section, target.value + addend))
            if name is not None:
                return name
        elif use is Use.BTF_MAPS and target.type != STT_SECTION:
            return target.name
        raise self.error(f"has an element at {place:#x} that is neither a program nor a map")
