"""Random BTF types together with which of their bits carry values, computed apart from the library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import strategies as st

from ebpf.btf import Btf, Builder, IntEncoding, Type

ByteOrder = Literal["little", "big"]


@dataclass(frozen=True)
class Made:
    """A type in the builder: id, size in bytes, and the mask of the bits that carry values."""

    id: int
    mask: bytes

    @property
    def size(self) -> int:
        return len(self.mask)


@dataclass(frozen=True)
class Case:
    """A finished type, its mask and the byte order that both are for."""

    btf: Btf
    type: Type
    mask: bytes
    order: ByteOrder


class _Maker:
    def __init__(self, draw: Any, order: ByteOrder) -> None:
        self.draw = draw
        self.order: ByteOrder = order
        self.builder = Builder()
        self.names = 0

    def name(self) -> str:
        self.names += 1
        # Some names need care in Python: keywords, dunders, private-looking ones.
        special = {1: "class", 3: "__init__", 5: "__sk_common", 7: "def", 9: "_value_", 11: "self"}
        return special.get(self.names, f"m{self.names}")

    def any_type(self, depth: int) -> Made:
        leaves = (self.integer, self.boolean, self.enum, self.enum64, self.real, self.text, self.pointer)
        nests = (self.array, self.struct, self.union, self.alias)
        choice = self.pick(*leaves, *nests, *nests) if depth else self.pick(*leaves)
        made: Made = choice(depth - 1) if choice in nests else choice()
        return made

    def pick(self, *options: Any) -> Any:
        return options[self.draw(st.integers(0, len(options) - 1))]

    def integer(self) -> Made:
        size = self.pick(1, 2, 3, 4, 5, 8, 16)
        signed = self.draw(st.booleans())
        return Made(self.builder.add_int(f"int{size}", size, signed=signed), b"\xff" * size)

    def boolean(self) -> Made:
        return Made(self.builder.add_int("_Bool", 1, encoding=IntEncoding.BOOL), b"\xff")

    def enum(self) -> Made:
        size = self.pick(1, 2, 4)
        values = {self.name(): self.draw(st.integers(-3, 3)) for _ in range(self.draw(st.integers(0, 3)))}
        return Made(self.builder.add_enum(self.pick("", "kind"), values, size=size), b"\xff" * size)

    def enum64(self) -> Made:
        return Made(self.builder.add_enum64("wide", {self.name(): self.draw(st.integers(0, 1 << 63))}), b"\xff" * 8)

    def real(self) -> Made:
        size = self.pick(2, 4, 8, 16)
        return Made(self.builder.add_float("float", size), b"\xff" * size)

    def text(self) -> Made:
        char = self.builder.add_int("char", 1, signed=True)
        length = self.draw(st.integers(0, 6))
        return Made(self.builder.add_array(char, length), b"\xff" * length)

    def pointer(self) -> Made:
        return Made(self.builder.add_pointer(0), b"\xff" * 8)

    def alias(self, depth: int) -> Made:
        inner = self.any_type(depth)
        add = self.pick(
            self.builder.add_const,
            self.builder.add_volatile,
            lambda id_: self.builder.add_typedef("alias", id_),
            lambda id_: self.builder.add_type_tag("tag", id_),
        )
        return Made(add(inner.id), inner.mask)

    def array(self, depth: int) -> Made:
        inner = self.any_type(depth)
        length = self.draw(st.integers(0, 3))
        return Made(self.builder.add_array(inner.id, length), inner.mask * length)

    def union(self, depth: int) -> Made:
        parts = [self.any_type(depth) for _ in range(self.draw(st.integers(1, 3)))]
        mask = bytearray(max(part.size for part in parts) + self.draw(st.integers(0, 2)))
        for part in parts:
            mask[: part.size] = bytes(a | b for a, b in zip(mask, part.mask, strict=False))
        members = [(self.name(), part.id, 0) for part in parts]
        return Made(self.builder.add_union(self.pick("", "choice"), len(mask), members), bytes(mask))

    def struct(self, depth: int) -> Made:
        mask = bytearray()
        members: list[tuple[str, int, int, int]] = []
        bit_fields = self.draw(st.booleans())
        for _ in range(self.draw(st.integers(0, 4))):
            mask += bytes(self.draw(st.integers(0, 2)))
            if bit_fields and self.draw(st.booleans()):
                self.bits(members, mask)
                continue
            make = self.pick(self.any_type, self.struct, self.union) if depth else self.any_type
            part = make(max(depth - 1, 0))
            name = "" if make != self.any_type and self.draw(st.booleans()) else self.name()
            members.append((name, part.id, 8 * len(mask), 0))
            mask += part.mask
        mask += bytes(self.draw(st.integers(0, 3)))
        return Made(self.builder.add_struct(self.pick("", "record"), len(mask), members), bytes(mask))

    def bits(self, members: list[tuple[str, int, int, int]], mask: bytearray) -> None:
        """Add a run of bit-fields that share bytes."""
        start = 8 * len(mask)
        at = start
        for _ in range(self.draw(st.integers(1, 4))):
            at += self.draw(st.integers(0, 3))
            number, widest = self.pick(
                (self.builder.add_int("u32", 4), 32),
                (self.builder.add_int("s64", 8, signed=True), 64),
                (self.builder.add_int("_Bool", 1, encoding=IntEncoding.BOOL), 8),
                (self.builder.add_enum("kind", {"on": 1, "off": 0, "bad": -1}), 32),
            )
            width = self.draw(st.integers(1, widest))
            members.append((self.name(), number, at, width))
            size = -(-(at + width) // 8)
            mask += bytes(size - len(mask))
            whole = int.from_bytes(mask, self.order)
            shift = at if self.order == "little" else 8 * size - at - width
            mask[:] = (whole | ((1 << width) - 1) << shift).to_bytes(size, self.order)
            at += width


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a random type with its mask, for either byte order."""
    order: ByteOrder = draw(st.sampled_from(["little", "big"]))
    maker = _Maker(draw, order)
    made = maker.any_type(3)
    btf = maker.builder.build(order)
    return Case(btf, btf.by_id(made.id), made.mask, order)
