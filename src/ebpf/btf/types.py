"""The types of a BTF blob, one class a kind (include/uapi/linux/btf.h `struct btf_type`).

A type is a view of its record: names and references are decoded when they are asked for, and a damaged one raises
BtfError then. Types are immutable and threads may share them. Two are equal when they come from the same Btf object
and have the same id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ebpf.btf.elements import Enumerator, Member, Param, SectionEntry
from ebpf.btf.kind import KIND_FLAG, VLEN_MASK, FuncLinkage, IntEncoding, Kind, VarLinkage

if TYPE_CHECKING:
    from ebpf.btf.blob import Btf


class Type:
    """Any type. `btf` is the blob that it belongs to, `id` its number there."""

    __slots__ = ("_at", "btf", "id")
    kind: ClassVar[Kind]

    def __init__(self, btf: Btf, id_: int, at: int) -> None:
        self.btf = btf
        self.id = id_
        self._at = at

    @property
    def name(self) -> str:
        """The type's name, empty for an anonymous type."""
        return self.btf.string(self.btf.words[self._at])

    @property
    def kind_flag(self) -> bool:
        """Bit 31 of the record's info word; its meaning depends on the kind."""
        return bool(self.btf.words[self._at + 1] & KIND_FLAG)

    @property
    def offset(self) -> int:
        """Byte offset of the record in the `.BTF` section."""
        return self.btf.offset_of(self._at)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and other.btf is self.btf and other.id == self.id

    def __hash__(self) -> int:
        return hash((id(self.btf), self.id))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} id {self.id}>"

    def __copy__(self) -> Type:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Type:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.btf, self.id)

    @property
    def _vlen(self) -> int:
        return self.btf.words[self._at + 1] & VLEN_MASK

    @property
    def _third(self) -> int:
        return self.btf.words[self._at + 2]


def _restore(btf: Btf, id_: int) -> Type:
    return btf.by_id(id_)


class _Referring(Type):
    """A type that consists of one reference to another."""

    __slots__ = ()

    @property
    def target(self) -> Type:
        """The type that this one refers to."""
        return self.btf.by_id(self.btf.words[self._at + 2], at=self._at + 2)

    @property
    def target_id(self) -> int:
        """Id of the target, not checked."""
        return self._third


class _Sized(Type):
    """A type whose record states its size."""

    __slots__ = ()

    @property
    def size(self) -> int:
        """Size in bytes, as the record states it."""
        return self._third


class Void(Type):
    """Id 0: no type."""

    __slots__ = ()
    kind = Kind.VOID

    @property
    def name(self) -> str:
        """Always "void"."""
        return "void"

    @property
    def kind_flag(self) -> bool:
        """Always False."""
        return False

    @property
    def offset(self) -> int:
        """Always 0: void has no record."""
        return 0


class Int(_Sized):
    """BTF_KIND_INT: an integer of `size` bytes, of which `bits` from `bit_offset` on carry the value.

    `bits` below 8 × size is the old encoding of a bit-field.
    """

    __slots__ = ()
    kind = Kind.INT

    @property
    def encoding(self) -> IntEncoding:
        """SIGNED, CHAR and BOOL flags."""
        return IntEncoding(self._data >> 24 & 7)

    @property
    def bits(self) -> int:
        """How many bits carry the value."""
        return self._data & 0xFF

    @property
    def bit_offset(self) -> int:
        """Where the value begins, in bits from the start of the storage."""
        return self._data >> 16 & 0xFF

    @property
    def signed(self) -> bool:
        """Whether the value is in two's complement."""
        return bool(self._data >> 24 & IntEncoding.SIGNED)

    @property
    def is_bool(self) -> bool:
        """Whether this is `_Bool`."""
        return bool(self._data >> 24 & IntEncoding.BOOL)

    @property
    def is_char(self) -> bool:
        """Whether this is C's `char` (text), not a small number."""
        return self.size == 1 and bool(self._data >> 24 & IntEncoding.CHAR or self.name == "char")

    @property
    def _data(self) -> int:
        return self.btf.words[self._at + 3]


class Pointer(_Referring):
    """BTF_KIND_PTR."""

    __slots__ = ()
    kind = Kind.PTR


class Array(Type):
    """BTF_KIND_ARRAY: `nelems` times `target`; `index` is the type of its index."""

    __slots__ = ()
    kind = Kind.ARRAY

    @property
    def target(self) -> Type:
        """The type of one element."""
        return self.btf.by_id(self.btf.words[self._at + 3], at=self._at + 3)

    @property
    def target_id(self) -> int:
        """Id of the element type, not checked."""
        return self.btf.words[self._at + 3]

    @property
    def index(self) -> Type:
        """The type of the index."""
        return self.btf.by_id(self.btf.words[self._at + 4], at=self._at + 4)

    @property
    def index_id(self) -> int:
        """Id of the index type, not checked."""
        return self.btf.words[self._at + 4]

    @property
    def nelems(self) -> int:
        """How many elements; 0 for a flexible array."""
        return self.btf.words[self._at + 5]


class _Composite(_Sized):
    __slots__ = ("_members",)

    @property
    def members(self) -> tuple[Member, ...]:
        """The members in the order of their declaration."""
        try:
            return self._members
        except AttributeError:
            self._members: tuple[Member, ...] = self._read_members()
            return self._members

    def _read_members(self) -> tuple[Member, ...]:
        btf, words, first = self.btf, self.btf.words, self._at + 3
        places = range(first, first + 3 * self._vlen, 3)
        if self.kind_flag:
            return tuple(Member(btf, at, words[at + 2] & 0xFFFFFF, words[at + 2] >> 24) for at in places)
        return tuple(Member(btf, at, words[at + 2], 0) for at in places)


class Struct(_Composite):
    """BTF_KIND_STRUCT. `kind_flag` says that member offsets carry bit-field widths."""

    __slots__ = ()
    kind = Kind.STRUCT


class Union(_Composite):
    """BTF_KIND_UNION."""

    __slots__ = ()
    kind = Kind.UNION


class Enum(_Sized):
    """BTF_KIND_ENUM: values of 32 bits; signed where kind_flag says so."""

    __slots__ = ()
    kind = Kind.ENUM

    @property
    def signed(self) -> bool:
        """Whether values are signed (kind_flag)."""
        return self.kind_flag

    @property
    def values(self) -> tuple[Enumerator, ...]:
        """The enumerators in the order of their declaration."""
        btf, words, first = self.btf, self.btf.words, self._at + 3
        flip = 1 << 31 if self.signed else 0
        return tuple(
            Enumerator(btf, at, (words[at + 1] ^ flip) - flip) for at in range(first, first + 2 * self._vlen, 2)
        )


class Enum64(_Sized):
    """BTF_KIND_ENUM64: values of 64 bits (since kernel 6.0)."""

    __slots__ = ()
    kind = Kind.ENUM64

    @property
    def signed(self) -> bool:
        """Whether values are signed (kind_flag)."""
        return self.kind_flag

    @property
    def values(self) -> tuple[Enumerator, ...]:
        """The enumerators in the order of their declaration."""
        btf, words, first = self.btf, self.btf.words, self._at + 3
        flip = 1 << 63 if self.signed else 0
        return tuple(
            Enumerator(btf, at, ((words[at + 2] << 32 | words[at + 1]) ^ flip) - flip)
            for at in range(first, first + 3 * self._vlen, 3)
        )


class Fwd(Type):
    """BTF_KIND_FWD: a struct, or a union where kind_flag is set, that is declared but not defined."""

    __slots__ = ()
    kind = Kind.FWD

    @property
    def is_union(self) -> bool:
        """Whether it announces a union."""
        return self.kind_flag


class Typedef(_Referring):
    """BTF_KIND_TYPEDEF."""

    __slots__ = ()
    kind = Kind.TYPEDEF


class Volatile(_Referring):
    """BTF_KIND_VOLATILE."""

    __slots__ = ()
    kind = Kind.VOLATILE


class Const(_Referring):
    """BTF_KIND_CONST."""

    __slots__ = ()
    kind = Kind.CONST


class Restrict(_Referring):
    """BTF_KIND_RESTRICT."""

    __slots__ = ()
    kind = Kind.RESTRICT


class Func(_Referring):
    """BTF_KIND_FUNC: a function; `target` is its FuncProto."""

    __slots__ = ()
    kind = Kind.FUNC

    @property
    def linkage(self) -> FuncLinkage | int:
        """Who sees the function; a plain int where the number is unknown."""
        return FuncLinkage(self._vlen) if self._vlen <= FuncLinkage.EXTERN else self._vlen


class FuncProto(_Referring):
    """BTF_KIND_FUNC_PROTO: what a function takes; `target` is what it returns."""

    __slots__ = ()
    kind = Kind.FUNC_PROTO

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters in order."""
        first = self._at + 3
        return tuple(Param(self.btf, at) for at in range(first, first + 2 * self._vlen, 2))


class Var(_Referring):
    """BTF_KIND_VAR: a global variable of type `target`."""

    __slots__ = ()
    kind = Kind.VAR

    @property
    def linkage(self) -> VarLinkage | int:
        """Who sees the variable; a plain int where the number is unknown."""
        number = self.btf.words[self._at + 3]
        return VarLinkage(number) if number <= VarLinkage.EXTERN else number


class Datasec(_Sized):
    """BTF_KIND_DATASEC: the variables of a section. A compiler leaves size and offsets 0 (`Btf.with_datasecs`)."""

    __slots__ = ()
    kind = Kind.DATASEC

    @property
    def entries(self) -> tuple[SectionEntry, ...]:
        """What lies in the section, in the order of the record."""
        first = self._at + 3
        return tuple(SectionEntry(self.btf, at) for at in range(first, first + 3 * self._vlen, 3))


class Float(_Sized):
    """BTF_KIND_FLOAT: an IEEE (or, with 10 to 16 bytes, extended) number."""

    __slots__ = ()
    kind = Kind.FLOAT


class DeclTag(_Referring):
    """BTF_KIND_DECL_TAG: a `btf_decl_tag("name")` on `target`, or on its member or parameter `component`.

    kind_flag marks an attribute of any other name (since kernel 6.15).
    """

    __slots__ = ()
    kind = Kind.DECL_TAG

    @property
    def component(self) -> int | None:
        """Index of the tagged member or parameter; None where the whole of `target` is tagged."""
        index = self.btf.words[self._at + 3]
        return None if index == 0xFFFFFFFF else index


class TypeTag(_Referring):
    """BTF_KIND_TYPE_TAG: a `btf_type_tag("name")` before `target`; kind_flag marks any other attribute."""

    __slots__ = ()
    kind = Kind.TYPE_TAG


CLASSES: dict[int, type[Type]] = {
    class_.kind: class_
    for class_ in (
        *(Void, Int, Pointer, Array, Struct, Union, Enum, Fwd, Typedef, Volatile, Const, Restrict, Func, FuncProto),
        *(Var, Datasec, Float, DeclTag, TypeTag, Enum64),
    )
}
"""Kind → class."""
