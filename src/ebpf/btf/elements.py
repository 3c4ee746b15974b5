"""What the records of composite types consist of: members, enumerators, parameters, entries of a section."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebpf.btf.blob import Btf
    from ebpf.btf.types import Type


class Member:
    """A member of a struct or union. `bit_offset` counts from the start of the struct, in bits.

    `bit_size` is the width of a bit-field and 0 for an ordinary member. An old bit-field (kind_flag clear) has 0 too
    and its width in its integer type; `layout.bit_span` knows both.
    """

    __slots__ = ("_at", "_btf", "bit_offset", "bit_size")

    def __init__(self, btf: Btf, at: int, bit_offset: int, bit_size: int) -> None:
        self._btf = btf
        self._at = at
        self.bit_offset = bit_offset
        self.bit_size = bit_size

    @property
    def name(self) -> str:
        """The member's name; empty for an anonymous one."""
        return self._btf.string(self._btf.words[self._at])

    @property
    def type(self) -> Type:
        """The member's type."""
        return self._btf.by_id(self._btf.words[self._at + 1], at=self._at + 1)

    @property
    def type_id(self) -> int:
        """Id of the type, not checked."""
        return self._btf.words[self._at + 1]

    @property
    def offset(self) -> int:
        """Byte offset from the start of the struct, rounded down for a bit-field."""
        return self.bit_offset >> 3

    def __repr__(self) -> str:
        return f"<Member {self.name!r} at bit {self.bit_offset}>"


class Enumerator:
    """A named value of an enumeration."""

    __slots__ = ("_at", "_btf", "value")

    def __init__(self, btf: Btf, at: int, value: int) -> None:
        self._btf = btf
        self._at = at
        self.value = value

    @property
    def name(self) -> str:
        """The name, as in C."""
        return self._btf.string(self._btf.words[self._at])

    def __repr__(self) -> str:
        return f"<Enumerator {self.name} = {self.value}>"


class Param:
    """A parameter of a function. The last one of a variadic function has no name and type void."""

    __slots__ = ("_at", "_btf")

    def __init__(self, btf: Btf, at: int) -> None:
        self._btf = btf
        self._at = at

    @property
    def name(self) -> str:
        """The parameter's name, often empty."""
        return self._btf.string(self._btf.words[self._at])

    @property
    def type(self) -> Type:
        """The parameter's type."""
        return self._btf.by_id(self._btf.words[self._at + 1], at=self._at + 1)

    @property
    def type_id(self) -> int:
        """Id of the type, not checked; 0 marks `...`."""
        return self._btf.words[self._at + 1]

    def __repr__(self) -> str:
        return f"<Param {self.name!r}>"


class SectionEntry:
    """A variable (or extern function) of a section: `offset` and `size` in bytes."""

    __slots__ = ("_at", "_btf", "offset", "size")

    def __init__(self, btf: Btf, at: int) -> None:
        self._btf = btf
        self._at = at
        self.offset = btf.words[at + 1]
        self.size = btf.words[at + 2]

    @property
    def type(self) -> Type:
        """The Var (or Func) itself."""
        return self._btf.by_id(self._btf.words[self._at], at=self._at)

    @property
    def type_id(self) -> int:
        """Id of the type, not checked."""
        return self._btf.words[self._at]

    def __repr__(self) -> str:
        return f"<SectionEntry {self.type.name} at {self.offset}>"
