"""BTF, the type information of eBPF: read, build, format as C, decode values.

    btf = Btf.parse(data)                       # an object's .BTF section, or /sys/kernel/btf/vmlinux
    event = btf.find("event", Struct)
    print(format_definition(event))
    print(Codec(event).decode(record))

Bytes in, bytes out: nothing here opens a file or asks the kernel. What is damaged raises BtfError where it is used.
"""

from __future__ import annotations

from ebpf.btf.blob import Btf
from ebpf.btf.kind import FuncLinkage, IntEncoding, Kind, VarLinkage
from ebpf.btf.types import (
    Array,
    Const,
    Datasec,
    DeclTag,
    Enum,
    Enum64,
    Enumerator,
    Float,
    Func,
    FuncProto,
    Fwd,
    Int,
    Member,
    Param,
    Pointer,
    Restrict,
    SectionEntry,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Union,
    Var,
    Void,
    Volatile,
)

__all__ = [
    "Array",
    "Btf",
    "Const",
    "Datasec",
    "DeclTag",
    "Enum",
    "Enum64",
    "Enumerator",
    "Float",
    "Func",
    "FuncLinkage",
    "FuncProto",
    "Fwd",
    "Int",
    "IntEncoding",
    "Kind",
    "Member",
    "Param",
    "Pointer",
    "Restrict",
    "SectionEntry",
    "Struct",
    "Type",
    "TypeTag",
    "Typedef",
    "Union",
    "Var",
    "VarLinkage",
    "Void",
    "Volatile",
]
