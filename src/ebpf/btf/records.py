"""Codecs of structs and unions: frozen dataclasses, and unions that keep their bytes."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, ClassVar

from ebpf.btf.arrays import Elements
from ebpf.btf.names import python_name
from ebpf.btf.scalars import MARK, BitField, ByteOrder, Integer, Mismatch, Node


@dataclass(frozen=True, slots=True)
class Field:
    """A member, with anonymous structs around it taken away. `start` and `end` are bits from the record's start.

    `node` is the codec of the member; that of a bit-field is an Integer of `end - start` bits. `aliases` belongs to an
    anonymous union inside a struct: attribute of the struct → member of the union.
    """

    name: str
    start: int
    end: int
    node: Node
    bit_field: bool = False
    aliases: Mapping[str, str] | None = None


class Unit:
    """The storage of one member, or the bytes that neighbouring bit-fields share, as one leaf."""

    def __init__(self, fields: Sequence[Field], order: ByteOrder) -> None:
        self.fields = fields
        self.start = min(field.start for field in fields) // 8
        self.end = -(-max(field.end for field in fields) // 8)
        self.size = self.end - self.start
        self.order = order
        self.bits = [_bit_field(field, self, order) for field in fields if field.bit_field]
        self.code = f"{self.size}s" if self.bits else fields[0].node.code
        self.plain = not self.bits and fields[0].node.plain

    def read(self, leaf: Any) -> list[Any]:
        """Turn the leaf into the values of its fields."""
        if not self.bits:
            return [self.fields[0].node.value(leaf)]
        number = int.from_bytes(leaf, self.order)
        return [bits.read(number) for bits in self.bits]

    def write(self, values: Iterable[Any]) -> Any:
        """Turn the values of the fields into the leaf."""
        number = 0
        for index, value in enumerate(values):
            try:
                if not self.bits:
                    return self.fields[index].node.leaf(value)
                number |= self.bits[index].write(value)
            except Mismatch as error:
                error.path.append(self.fields[index].name)
                raise
        return number.to_bytes(self.size, self.order)

    def mask(self) -> bytes:
        """Return which bits of the storage carry values."""
        if not self.bits:
            return self.fields[0].node.mask()
        return sum(bits.mask << bits.shift for bits in self.bits).to_bytes(self.size, self.order)


def _bit_field(field: Field, unit: Unit, order: ByteOrder) -> BitField:
    width, before = field.end - field.start, field.start - 8 * unit.start
    assert isinstance(field.node, Integer)
    return BitField(field.node, before if order == "little" else 8 * unit.size - before - width)


class Composite(Node):
    """What structs and unions share: fields, and padding that is cleared."""

    def __init__(self, name: str, size: int, order: ByteOrder, fields: Sequence[Field]) -> None:
        self.name = python_name(name or "anonymous")
        self.size = size
        self.code = f"{size}s"
        self.order = order
        self.fields = fields
        self.depth = 1 + max((field.node.depth for field in fields), default=0)

    @cached_property
    def _padding_free(self) -> int | None:
        mask = int.from_bytes(self.mask(), "little")
        return None if mask == (1 << 8 * self.size) - 1 else mask

    def clean(self, data: bytes) -> bytes:
        """Return the bytes with zeroes in all padding."""
        if self._padding_free is None:
            return data
        return (int.from_bytes(data, "little") & self._padding_free).to_bytes(self.size, "little")

    def _given_bytes(self, value: Any) -> bytes:
        data = bytes(value)
        if len(data) != self.size:
            raise Mismatch(f"takes {self.size} bytes, got {len(data)}")
        return self.clean(data)


class Record(Composite):
    """A struct. Its fields lie one after the other, in the order of their offsets."""

    def __init__(
        self, name: str, size: int, order: ByteOrder, fields: Sequence[Field], *, tail: Node | None = None
    ) -> None:
        super().__init__(name, size, order, fields)
        self.count = max(1, sum(field.node.count for field in fields))
        self.tail = tail
        self._stride = tail.element.size if isinstance(tail, Elements) else 1
        self.names = [field.name for field in fields]
        self._units = _units(fields, order)
        self.tail_at = fields[-1].start // 8 if tail is not None else size
        body = self._units[:-1] if tail is not None else self._units
        self._packer = struct.Struct(_layout(body, self.tail_at, MARK[order]))
        # From the last leaf to the first, so that a unit of several bit-fields does not move those still to do.
        self._steps = [(index, unit) for index, unit in reversed(list(enumerate(body))) if not unit.plain]

    @cached_property
    def _classes(self) -> tuple[type[Any], type[Any]]:
        """The frozen class, and a writable one of the same layout, which is much faster to fill."""
        fields = [(field.name, field.node.python_type) for field in self.fields]
        space = self._accessors()
        frozen = dataclasses.make_dataclass(
            "_", fields, namespace=space, repr="__repr__" not in space, frozen=True, slots=True
        )
        writable = dataclasses.make_dataclass("_", fields, repr=False, eq=False, slots=True)
        # A class called "_" does not mangle slots such as `__sk_common`; now it gets its name.
        frozen.__name__ = frozen.__qualname__ = self.name
        frozen.__module__ = __name__
        return frozen, writable

    def _accessors(self) -> dict[str, Any]:
        shown = [name for field in self.fields for name in (field.aliases or {field.name: ""})]
        space: dict[str, Any] = {"__shown__": tuple(shown)}
        for field in self.fields:
            for alias, name in (field.aliases or {}).items():
                space[alias] = property(attrgetter(f"{field.name}.{name}"))
        if shown != self.names:
            # The union itself is a detail: show its members in its place.
            space["__repr__"] = lambda value: _show(value, shown)
        return space

    @property
    def python_type(self) -> type[Any]:
        return self._classes[0]

    def value(self, leaf: Any) -> Any:
        return self.make(self._packer.unpack(leaf))

    def make(self, leaves: tuple[Any, ...], *tail: Any) -> Any:
        """Build the value from what the packer unpacked, and the flexible array's value if there is one."""
        frozen, writable = self._classes
        if not self._steps:
            made = writable(*leaves, *tail)
        else:
            values = list(leaves)
            for index, unit in self._steps:
                values[index : index + 1] = unit.read(values[index])
            made = writable(*values, *tail)
        made.__class__ = frozen
        return made

    def decoder(self) -> Callable[[Any], Any]:
        """Return the function that decodes a whole buffer; it raises struct.error for a wrong length."""
        if self.tail is not None:
            return self._decode_with_tail
        unpack, make = self._packer.unpack, self.make
        if self._steps:
            return lambda data: make(unpack(data))
        frozen, writable = self._classes

        def decode(data: Any) -> Any:
            made = writable(*unpack(data))
            made.__class__ = frozen
            return made

        return decode

    def _decode_with_tail(self, data: Any) -> Any:
        assert self.tail is not None
        raw = bytes(data)
        if len(raw) < self.size:
            raise struct.error(f"at least {self.size}")
        rest = raw[self.tail_at :]
        if len(raw) == self.size:
            # The array may begin before the end of the struct: those bytes are elements if they say anything.
            rest = rest[: len(rest) - len(rest) % self._stride] if any(rest) else b""
        return self.make(self._packer.unpack_from(raw), self.tail.value(rest))

    def leaf(self, value: Any) -> bytes:
        """Encode a value of the class, a mapping, a sequence, another dataclass, or exactly as many bytes."""
        if isinstance(value, (bytes, bytearray, memoryview)) and self.tail is None:
            return self._given_bytes(value)
        values = self._values(value)
        if self.tail is None:
            return self._pack(self._units, values)
        try:
            rest: bytes = self.tail.leaf(values[-1])
        except Mismatch as error:
            error.path.append(self.names[-1])
            raise
        return (self._pack(self._units[:-1], values[:-1]) + rest).ljust(self.size, b"\0")

    def _pack(self, units: Sequence[Unit], values: Sequence[Any]) -> bytes:
        if not self._steps:
            try:
                return self._packer.pack(*values)
            except struct.error:
                pass  # the slow way below finds out which one it is
        leaves, at = [], 0
        for unit in units:
            leaves.append(unit.write(values[at : at + len(unit.fields)]))
            at += len(unit.fields)
        return self._packer.pack(*leaves)

    def _values(self, value: Any) -> Sequence[Any]:
        if isinstance(value, self.python_type):
            return [getattr(value, name) for name in self.names]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return self._from_mapping(value)
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview)):
            if len(value) != len(self.names):
                raise Mismatch(f"has {len(self.names)} members ({', '.join(self.names)}), got {len(value)} values")
            return value
        raise Mismatch(f"takes a {self.name}, a mapping or a sequence, got {type(value).__name__}")

    def _from_mapping(self, value: Mapping[str, Any]) -> list[Any]:
        left = dict(value)
        values: list[Any] = []
        missing: list[str] = []
        for field in self.fields:
            aliases = field.aliases or {}
            if field.name in left:
                values.append(left.pop(field.name))
            else:
                values.append({aliases[alias]: left.pop(alias) for alias in aliases if alias in left})
                if aliases or field.aliases is None:
                    missing += [] if values[-1] else [f"one of {', '.join(aliases)}" if aliases else field.name]
        problems = [f"missing: {', '.join(missing)}"] if missing else []
        problems += [f"unknown: {', '.join(map(str, left))}"] if left else []
        if problems:
            raise Mismatch("; ".join(problems))
        return values

    def mask(self) -> bytes:
        mask = bytearray(self.size)
        for unit in self._units:
            mask[unit.start : unit.end] = unit.mask()
        return bytes(mask)


class OverlayValue:
    """A union's value: `raw` is all its bytes, padding zeroed; every member is an attribute that decodes them."""

    __slots__ = ()
    raw: bytes
    node: ClassVar[Overlay]

    def __repr__(self) -> str:
        return _show(self, self.node.names)


class Overlay(Composite):
    """A union (or a struct whose members overlap): keeps the bytes, since only they lose nothing."""

    def __init__(self, name: str, size: int, order: ByteOrder, fields: Sequence[Field]) -> None:
        super().__init__(name, size, order, fields)
        self.names = [field.name for field in fields]
        self._units = {field.name: Unit([field], order) for field in fields}
        mark = MARK[order]
        self._packers = {name: struct.Struct(f"{mark}{unit.start}x{unit.code}") for name, unit in self._units.items()}

    @cached_property
    def _class(self) -> type[Any]:
        space: dict[str, Any] = {name: property(self._reader(name)) for name in self.names}
        space |= {"node": self, "__shown__": tuple(self.names)}
        made = dataclasses.make_dataclass(
            "_", [("raw", bytes)], bases=(OverlayValue,), namespace=space, repr=False, frozen=True, slots=True
        )
        made.__name__ = made.__qualname__ = self.name
        made.__module__ = __name__
        return made

    def _reader(self, name: str) -> Callable[[Any], Any]:
        unit, packer = self._units[name], self._packers[name]

        def read(value: OverlayValue) -> Any:
            return unit.read(packer.unpack_from(value.raw)[0])[0]

        return read

    @property
    def python_type(self) -> type[Any]:
        return self._class

    def value(self, leaf: Any) -> Any:
        return self._class(self.clean(leaf))

    def leaf(self, value: Any) -> bytes:
        """Encode a value of the class, a mapping with one member (or several that agree), or exactly as many bytes."""
        if isinstance(value, OverlayValue):
            return self._given_bytes(value.raw)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._given_bytes(value)
        if not isinstance(value, Mapping):
            raise Mismatch(f"takes a {self.name}, {self.size} bytes or a mapping, got {type(value).__name__}")
        unknown = [str(name) for name in value if name not in self._units]
        if unknown or (self.names and not value):
            got = ", ".join(unknown) or "nothing"
            raise Mismatch(f"takes one of {', '.join(self.names)}; got {got}")
        return self._merged(value)

    def _merged(self, members: Mapping[str, Any]) -> bytes:
        bits = taken = 0
        for name, value in members.items():
            unit = self._units[name]
            new = int.from_bytes(self._packers[name].pack(unit.write([value])), "little")
            room = int.from_bytes(bytes(unit.start) + unit.mask(), "little")
            if (bits ^ new) & taken & room:
                raise Mismatch(f"{name} contradicts the members before it, which share its bytes")
            bits, taken = bits | new, taken | room
        return bits.to_bytes(self.size, "little")

    def mask(self) -> bytes:
        mask = 0
        for unit in self._units.values():
            mask |= int.from_bytes(bytes(unit.start) + unit.mask(), "little")
        return mask.to_bytes(self.size, "little")


def _show(value: Any, names: Iterable[str]) -> str:
    members = ", ".join(f"{name}={getattr(value, name)!r}" for name in names)
    return f"{type(value).__name__}({members})"


def overlap(fields: Sequence[Field]) -> bool:
    """Whether two of the fields, sorted by offset, share a bit, or a bit-field shares a byte with something else."""
    end, end_is_bits = 0, False
    for field in fields:
        both = field.bit_field and end_is_bits
        if field.start < (end if both else -(-end // 8) * 8):
            return True
        if field.end > field.start:
            end, end_is_bits = field.end, field.bit_field
    return False


def _units(fields: Sequence[Field], order: ByteOrder) -> list[Unit]:
    """Put bit-fields that share a byte into one unit."""
    groups: list[list[Field]] = []
    for field in fields:
        last = groups[-1][-1] if groups else None
        if field.bit_field and last is not None and last.bit_field and field.start // 8 < -(-last.end // 8):
            groups[-1].append(field)
        else:
            groups.append([field])
    return [Unit(group, order) for group in groups]


def _layout(units: Sequence[Unit], size: int, mark: str) -> str:
    """Return the struct format of the units, with the holes between them as padding."""
    parts, at = [mark], 0
    for unit in units:
        parts.append(f"{unit.start - at}x{unit.code}" if unit.start > at else unit.code)
        at = unit.end
    return "".join(parts) + (f"{size - at}x" if size > at else "")
