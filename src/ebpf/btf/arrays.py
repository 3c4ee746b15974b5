"""Codec of arrays: tuples of their elements."""

from __future__ import annotations

import struct
from typing import Any

from ebpf.btf.scalars import Integer, Mismatch, Node


class ByteTuple(tuple[int, ...]):
    """An array of unsigned integers of one byte: a tuple like others, but whoever shows it may show bytes."""

    __slots__ = ()


class Elements(Node):
    """`length` elements as a tuple. A flexible array takes whatever is there (length None)."""

    def __init__(self, element: Node, length: int | None, mark: str) -> None:
        self.element = element
        self.length = length
        self.size = element.size * (length or 0)
        self.code = f"{self.size}s"
        self.count = max(1, element.count * (length or 0))
        self.depth = element.depth + 1
        self._mark = mark
        self._fast = element.plain and len(element.code) == 1
        self._one = struct.Struct(mark + element.code)
        self._bytes = type(element) is Integer and element.size == 1 and not element.signed

    @property
    def python_type(self) -> type[Any]:
        return ByteTuple if self._bytes else tuple

    def value(self, leaf: Any) -> tuple[Any, ...]:
        element = self.element
        if not element.size:
            return tuple(element.value(b"") for _ in range(self.length or 0))
        if self._bytes:
            return ByteTuple(leaf)
        if self._fast:
            return self._many(len(leaf) // element.size).unpack(leaf)
        decode = element.value
        return tuple([decode(one) for (one,) in self._one.iter_unpack(leaf)])

    def leaf(self, value: Any) -> bytes:
        items = self._items(value)
        if self._fast:
            try:
                return self._many(len(items)).pack(*items)
            except struct.error:
                pass  # the slow way below finds out which one it is
        encode, pack = self.element.leaf, self._one.pack
        parts = []
        for index, item in enumerate(items):
            try:
                parts.append(pack(encode(item)))
            except Mismatch as error:
                error.path.append(f"[{index}]")
                raise
        return b"".join(parts)

    def mask(self) -> bytes:
        return self.element.mask() * (self.length or 0)

    def _many(self, length: int) -> struct.Struct:
        return struct.Struct(f"{self._mark}{length}{self.element.code}")

    def _items(self, value: Any) -> list[Any]:
        if isinstance(value, str):
            raise Mismatch("takes a sequence, got str")
        try:
            items = list(value)
        except TypeError:
            raise Mismatch(f"takes a sequence, got {type(value).__name__}") from None
        if self.length is not None and len(items) != self.length:
            raise Mismatch(f"takes {self.length} elements, got {len(items)}")
        return items
