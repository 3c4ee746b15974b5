"""Kinds of BTF types and the shape of their records (include/uapi/linux/btf.h)."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Kind(IntEnum):
    """BTF_KIND_*: what a type record describes."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19

    @property
    def label(self) -> str:
        """The name of the class that stands for this kind, as listings show it (`FuncProto`)."""
        return "Pointer" if self is Kind.PTR else "".join(part.capitalize() for part in self.name.split("_"))


class IntEncoding(IntFlag):
    """BTF_INT_*: how the bits of an integer are meant."""

    SIGNED = 1
    CHAR = 2
    BOOL = 4


class FuncLinkage(IntEnum):
    """BTF_FUNC_*: who sees a function (in the vlen of its record)."""

    STATIC = 0
    GLOBAL = 1
    EXTERN = 2


class VarLinkage(IntEnum):
    """BTF_VAR_*: who sees a variable."""

    STATIC = 0
    GLOBAL = 1
    EXTERN = 2


MAGIC = 0xEB9F
VERSION = 1
KIND_FLAG = 1 << 31
MAX_VLEN = 0xFFFF
VLEN_MASK = 0xFFFF

MAX_DEPTH = 32
"""How many types may follow one another by value or qualifier: the kernel's and libbpf's MAX_RESOLVE_DEPTH."""

UNKNOWN = 1 << 40
"""Length of a record of unknown kind: past the end of everything, so that one comparison finds it."""

_FIXED = {Kind.INT: 4, Kind.ARRAY: 6, Kind.VAR: 4, Kind.DECL_TAG: 4}
_STRIDE = {
    Kind.STRUCT: 3,
    Kind.UNION: 3,
    Kind.ENUM: 2,
    Kind.FUNC_PROTO: 2,
    Kind.DATASEC: 3,
    Kind.ENUM64: 3,
}

FIXED_WORDS = tuple(_FIXED.get(Kind(k), 3) if 1 <= k <= max(Kind) else UNKNOWN for k in range(32))
"""Words of 32 bits that every record of a kind has, by kind (5 bits)."""

STRIDE_WORDS = tuple(_STRIDE.get(Kind(k), 0) if k <= max(Kind) else 0 for k in range(32))
"""Words of 32 bits that follow for each of a record's vlen elements, by kind."""
