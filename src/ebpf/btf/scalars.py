"""Codecs of single values: integers, booleans, enumerations, pointers, floats, text.

A codec here turns a *leaf*, what `struct` unpacks for its format code, into a Python value and back.
"""

from __future__ import annotations

import copy
import operator
import struct
from abc import ABC, abstractmethod
from enum import IntEnum
from functools import cached_property
from typing import Any, Literal, Self

from ebpf.btf.names import Names, enumerator_name, python_name
from ebpf.btf.types import Enum, Enum64

ByteOrder = Literal["little", "big"]
MARK = {"little": "<", "big": ">"}

_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}
_FLOATS = {2: "e", 4: "f", 8: "d"}
_MOST_ENUMERATORS = 4096
"""An enumeration of more names than this is decoded as plain numbers: making the class would take seconds."""


class Mismatch(Exception):
    """A Python value does not fit its type; `path` collects the members on the way out."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []


class Node(ABC):
    """Codec of one type. `size` is in bytes, `code` the struct format of the leaf, `count` how many values it holds,
    `depth` how many codecs lie inside of one another."""

    size: int
    code: str
    count: int = 1
    depth: int = 1
    plain: bool = False
    """Whether the leaf is the value already."""

    @property
    @abstractmethod
    def python_type(self) -> type[Any]:
        """The class of decoded values."""

    @abstractmethod
    def value(self, leaf: Any) -> Any:
        """Turn the leaf into a Python value."""

    @abstractmethod
    def leaf(self, value: Any) -> Any:
        """Turn a Python value into the leaf; Mismatch where it does not fit."""

    def mask(self) -> bytes:
        """Return which bits carry a value; the others are padding."""
        return b"\xff" * self.size


class Integer(Node):
    """A number of 1 to 16 bytes, or `bits` bits of one."""

    def __init__(self, size: int, *, signed: bool, order: ByteOrder) -> None:
        self.size = size
        self.signed = signed
        self.order = order
        code = _CODES.get(size)
        self.wide = code is None
        self.code = f"{size}s" if code is None else code if signed else code.upper()
        self.plain = not self.wide
        self.set_bits(8 * size)

    def set_bits(self, bits: int) -> None:
        """Set the range of values."""
        self.bits = bits
        self.low = -(1 << bits - 1) if self.signed else 0
        self.high = self.low + (1 << bits) - 1

    def narrow(self, bits: int) -> Self:
        """Return the same kind of number with another width, for a bit-field."""
        other = copy.copy(self)
        other.set_bits(bits)
        return other

    @property
    def python_type(self) -> type[Any]:
        return int

    def value(self, leaf: Any) -> Any:
        return self.from_int(int.from_bytes(leaf, self.order, signed=self.signed) if self.wide else leaf)

    def leaf(self, value: Any) -> Any:
        number = self.to_int(value)
        return number.to_bytes(self.size, self.order, signed=self.signed) if self.wide else number

    def from_int(self, number: int) -> Any:
        """Turn the number into the Python value."""
        return number

    def to_int(self, value: Any) -> int:
        """Turn the Python value into a number within range."""
        try:
            number = operator.index(value)
        except TypeError:
            raise Mismatch(f"takes an int, got {type(value).__name__}") from None
        if not self.low <= number <= self.high:
            raise Mismatch(f"{number} is out of range, {self.low} to {self.high} fit")
        return number


class Truth(Integer):
    """`_Bool`: 0 and 1 are bool, whatever else a program stored stays an int."""

    def __init__(self, size: int, *, order: ByteOrder) -> None:
        super().__init__(size, signed=False, order=order)
        self.plain = False

    @property
    def python_type(self) -> type[Any]:
        return bool

    def from_int(self, number: int) -> Any:
        return number if number > 1 else number == 1


class Enumeration(Integer):
    """An enum: its names are IntEnum members, unknown numbers stay int. Encodes names too."""

    def __init__(self, type_: Enum | Enum64, name: str, *, order: ByteOrder) -> None:
        super().__init__(type_.size, signed=type_.signed, order=order)
        self.plain = False
        self._type = type_
        self._name = name

    @cached_property
    def enum(self) -> type[IntEnum]:
        """The enumeration class, made when the first value is decoded."""
        names, values = Names(), self._type.values
        members = (
            []
            if len(values) > _MOST_ENUMERATORS
            else [(names.add(enumerator_name(one.name)), one.value) for one in values]
        )
        # IntEnum drops names that look private to a class of its name (`_class__x`); none does to this one.
        made = IntEnum("an enum", members, module=__name__)  # type: ignore[misc]  # members are only known now
        made.__name__ = made.__qualname__ = python_name(self._name or "enum")
        return made

    @cached_property
    def _members(self) -> dict[int, IntEnum]:
        return {member.value: member for member in self.enum}

    @property
    def python_type(self) -> type[Any]:
        return self.enum

    def from_int(self, number: int) -> Any:
        return self._members.get(number, number)

    def to_int(self, value: Any) -> int:
        if isinstance(value, str):
            try:
                return super().to_int(self.enum[value])
            except KeyError:
                raise Mismatch(f"there is no enumerator {value!r} in {self.enum.__name__}") from None
        return super().to_int(value)


class BitField:
    """Some bits of a storage unit: a number between `shift` and `shift + bits`, counted from the least significant."""

    def __init__(self, number: Integer, shift: int) -> None:
        self.number = number
        self.shift = shift
        self.mask = (1 << number.bits) - 1
        self._sign = 1 << number.bits - 1 if number.signed else 0

    def read(self, unit: int) -> Any:
        """Take the value out of the unit."""
        bits = unit >> self.shift & self.mask
        return self.number.from_int((bits ^ self._sign) - self._sign)

    def write(self, value: Any) -> int:
        """Return the unit that holds nothing but this value."""
        return (self.number.to_int(value) & self.mask) << self.shift


class Partial(Node):
    """An integer that uses only some bits of its storage (the old encoding), outside of a struct."""

    def __init__(self, size: int, field: BitField, order: ByteOrder) -> None:
        self.size = size
        self.code = f"{size}s"
        self._field = field
        self._order = order

    @property
    def python_type(self) -> type[Any]:
        return self._field.number.python_type

    def value(self, leaf: Any) -> Any:
        return self._field.read(int.from_bytes(leaf, self._order))

    def leaf(self, value: Any) -> bytes:
        return self._field.write(value).to_bytes(self.size, self._order)

    def mask(self) -> bytes:
        return (self._field.mask << self._field.shift).to_bytes(self.size, self._order)


class Real(Node):
    """A float of 2, 4 or 8 bytes.

    A NaN whose payload a Python float would lose stays bytes.
    """

    def __init__(self, size: int, *, order: ByteOrder) -> None:
        self.size = size
        self.code = f"{size}s"
        self._packer = struct.Struct(MARK[order] + _FLOATS[size])

    @property
    def python_type(self) -> type[Any]:
        return float

    def value(self, leaf: Any) -> Any:
        (number,) = self._packer.unpack(leaf)
        return number if number == number or self._packer.pack(number) == leaf else leaf

    def leaf(self, value: Any) -> bytes:
        if isinstance(value, bytes) and len(value) == self.size:
            return value
        try:
            return self._packer.pack(value)
        except (struct.error, TypeError):
            raise Mismatch(f"takes a float, got {type(value).__name__}") from None
        except OverflowError:
            raise Mismatch(f"{value} does not fit a float of {self.size} bytes") from None


class Raw(Node):
    """Bytes that Python has no number for: `long double`, and floats of odd sizes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.code = f"{size}s"
        self.plain = True

    @property
    def python_type(self) -> type[Any]:
        return bytes

    def value(self, leaf: Any) -> Any:
        return leaf

    def leaf(self, value: Any) -> bytes:
        return _exact(value, self.size)


class Text(Node):
    """An array of char: str where it ends in NUL, has only NULs behind and is UTF-8, else bytes.

    `flexible` text has no fixed size: it is a str where its only NUL is the last byte.
    """

    def __init__(self, size: int, *, flexible: bool = False) -> None:
        self.size = size
        self.code = f"{size}s"
        self._flexible = flexible

    @property
    def python_type(self) -> type[Any]:
        return str

    def value(self, leaf: Any) -> Any:
        text, nul, rest = leaf.partition(b"\0")
        if not nul or (rest if self._flexible else rest.strip(b"\0")):
            return leaf
        try:
            return text.decode()
        except UnicodeDecodeError:
            return leaf

    def leaf(self, value: Any) -> bytes:
        if not isinstance(value, str):
            return bytes(value) if self._flexible and _is_bytes(value) else _padded(value, self.size)
        try:
            data = value.encode()
        except UnicodeEncodeError:
            raise Mismatch("the text can't be encoded as UTF-8; give bytes") from None
        if b"\0" in data:
            raise Mismatch("the text contains NUL; give bytes")
        if self._flexible:
            return data + b"\0"
        if len(data) >= self.size:
            room = max(self.size - 1, 0)
            raise Mismatch(f"text of {len(data)} bytes does not fit, {room} and a NUL do; give bytes to fill all")
        return data.ljust(self.size, b"\0")


def real(size: int, *, order: ByteOrder) -> Node:
    """Return the codec of a float of this size in bytes."""
    return Real(size, order=order) if size in _FLOATS else Raw(size)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, (bytes, bytearray, memoryview))


def _exact(value: Any, size: int) -> bytes:
    if not _is_bytes(value):
        raise Mismatch(f"takes {size} bytes, got {type(value).__name__}")
    if len(bytes(value)) != size:
        raise Mismatch(f"takes {size} bytes, got {len(bytes(value))}")
    return bytes(value)


def _padded(value: Any, size: int) -> bytes:
    if not _is_bytes(value):
        raise Mismatch(f"takes str or up to {size} bytes, got {type(value).__name__}")
    if len(bytes(value)) > size:
        raise Mismatch(f"takes up to {size} bytes, got {len(bytes(value))}")
    return bytes(value).ljust(size, b"\0")
