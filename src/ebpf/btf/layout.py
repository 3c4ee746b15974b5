"""How types lie in memory: size, alignment, bit-fields. What refers to itself by value raises BtfError."""

from __future__ import annotations

from collections.abc import Iterator

from ebpf.btf.elements import Member
from ebpf.btf.kind import MAX_DEPTH
from ebpf.btf.types import (
    Array,
    Const,
    Datasec,
    Enum,
    Enum64,
    Float,
    Int,
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

QUALIFIERS = (Const, Volatile, Restrict)
ALIASES = (Typedef, Const, Volatile, Restrict, TypeTag)
"""Types that change neither size nor representation of their target."""

_STATED = (Int, Struct, Union, Enum, Enum64, Float, Datasec)
_LARGEST = 0xFFFFFFFF


def strip(type_: Type) -> Type:
    """Return what a type is underneath its typedefs, qualifiers and type tags.

    Raises BtfError for more than 32 of them in a row, which is how a cycle shows.
    """
    here = type_
    for _ in range(MAX_DEPTH):
        if not isinstance(here, ALIASES):
            return here
        here = here.target
    raise too_deep(type_)


def size_of(type_: Type, *, pointer_size: int = 8) -> int:
    """Return the size of a type in bytes; of a variable, its type's.

    Raises BtfError for types without a size (void, functions, forward declarations), for more than 4 GiB, and for
    cycles.
    """
    here, count = type_, 1
    for _ in range(MAX_DEPTH):
        if isinstance(here, _STATED):
            return _checked(type_, count * here.size)
        if isinstance(here, Pointer):
            return _checked(type_, count * pointer_size)
        if isinstance(here, Array):
            count *= here.nelems
        elif not isinstance(here, (*ALIASES, Var)):
            raise type_.btf.damaged(f"{describe(here)} has no size")
        here = here.target
    raise too_deep(type_)


def align_of(type_: Type, *, pointer_size: int = 8) -> int:
    """Return the alignment of a type in bytes; 1 for a packed struct.

    BTF does not record alignment, so this is what its members ask for. No type asks for more than a pointer.
    """
    return Alignment(pointer_size).of(type_, 0)


def is_packed(type_: Struct | Union, *, pointer_size: int = 8) -> bool:
    """Whether only `__attribute__((packed))` explains the offsets and the size of a struct or union."""
    return Alignment(pointer_size).packed(type_, 0)


def bit_span(member: Member) -> tuple[int, int]:
    """Return offset and width of a bit-field in bits, from either encoding; width 0 for an ordinary member.

    On a little-endian machine bits count from the least significant, on a big-endian one from the most significant.
    """
    if member.bit_size:
        return member.bit_offset, member.bit_size
    type_ = strip(member.type)
    if isinstance(type_, Int) and is_partial(type_):
        return member.bit_offset + type_.bit_offset, type_.bits
    return member.bit_offset, 0


def is_partial(type_: Int) -> bool:
    """Whether an integer uses only some bits of its storage: the old encoding of a bit-field."""
    return type_.bits != 8 * type_.size or type_.bit_offset != 0


def describe(type_: Type) -> str:
    """Name a type in an error: kind, name and id."""
    kind = type_.kind.label
    return f"{kind} {type_.name!r} (id {type_.id})" if type_.id and type_.name else f"{kind} (id {type_.id})"


def too_deep(type_: Type) -> BtfError:
    """Make the error for a type that contains itself, or goes deeper than the kernel allows."""
    return BtfError(
        f"{describe(type_)} contains itself or is nested more than {MAX_DEPTH} deep",
        section=".BTF",
        offset=type_.offset,
    )


def _checked(type_: Type, size: int) -> int:
    if size > _LARGEST:
        raise type_.btf.damaged(f"{describe(type_)} would take {size} bytes, more than 4 GiB")
    return size


class Alignment:
    """Remembers what it has seen, so that a struct used in many places is looked at once."""

    def __init__(self, pointer_size: int) -> None:
        self._pointer = pointer_size
        self._known: dict[int, int] = {}

    def of(self, type_: Type, depth: int) -> int:
        here = strip(type_)
        for _ in range(MAX_DEPTH):
            if not isinstance(here, (Array, Var)):
                break
            here = strip(here.target)
        if isinstance(here, Pointer):
            return self._pointer
        if isinstance(here, (Int, Enum, Enum64, Float)):
            return min(self._pointer, max(1, here.size & -here.size))
        if isinstance(here, (Struct, Union)):
            return self._of_members(here, depth)
        raise here.btf.damaged(f"{describe(here)} has no alignment")

    def packed(self, type_: Struct | Union, depth: int) -> bool:
        natural = max(self._members(type_, depth), default=1)
        if type_.size % natural:
            return True
        return any(not width and at % (8 * self.of(member.type, depth + 1)) for member, at, width in _spans(type_))

    def _of_members(self, type_: Struct | Union, depth: int) -> int:
        if type_.id not in self._known:
            if depth >= MAX_DEPTH:
                raise too_deep(type_)
            natural = max(self._members(type_, depth), default=1)
            self._known[type_.id] = 1 if self.packed(type_, depth) else natural
        return self._known[type_.id]

    def _members(self, type_: Struct | Union, depth: int) -> Iterator[int]:
        return (self.of(member.type, depth + 1) for member in type_.members)


def _spans(type_: Struct | Union) -> Iterator[tuple[Member, int, int]]:
    return ((member, *bit_span(member)) for member in type_.members)
