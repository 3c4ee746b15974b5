"""BTF, the type information of eBPF: read, build, format as C, decode values.

    btf = Btf.parse(data)                       # an object's .BTF section, or /sys/kernel/btf/vmlinux
    event = btf.find("event", Struct)
    print(format_definition(event))
    print(Codec(event).decode(record))

Bytes in, bytes out: nothing here opens a file or asks the kernel. What is damaged raises BtfError where it is used.
Threads may share everything here but a Builder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.lazy import lazy_names

if TYPE_CHECKING:
    from ebpf.btf.arrays import ByteTuple
    from ebpf.btf.blob import Btf
    from ebpf.btf.builder import Builder
    from ebpf.btf.codec import Codec
    from ebpf.btf.elements import Enumerator, Member, Param, SectionEntry
    from ebpf.btf.ext import (
        CoreKind,
        CoreRelocation,
        ExtInfo,
        FuncRecord,
        Line,
        encode_func_info,
        encode_line_info,
    )
    from ebpf.btf.format import format_definition, format_type
    from ebpf.btf.header import format_header
    from ebpf.btf.kind import FuncLinkage, IntEncoding, Kind, VarLinkage
    from ebpf.btf.layout import align_of, bit_span, size_of, strip
    from ebpf.btf.raw import format_raw, raw_fields
    from ebpf.btf.types import (
        Array,
        Const,
        Datasec,
        DeclTag,
        Enum,
        Enum64,
        Float,
        Func,
        FuncProto,
        Fwd,
        Int,
        Pointer,
        Restrict,
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
    "Builder",
    "ByteTuple",
    "Codec",
    "Const",
    "CoreKind",
    "CoreRelocation",
    "Datasec",
    "DeclTag",
    "Enum",
    "Enum64",
    "Enumerator",
    "ExtInfo",
    "Float",
    "Func",
    "FuncLinkage",
    "FuncProto",
    "FuncRecord",
    "Fwd",
    "Int",
    "IntEncoding",
    "Kind",
    "Line",
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
    "align_of",
    "bit_span",
    "encode_func_info",
    "encode_line_info",
    "format_definition",
    "format_header",
    "format_raw",
    "format_type",
    "raw_fields",
    "size_of",
    "strip",
]

__getattr__ = lazy_names(__name__, {
    "arrays": ("ByteTuple",),
    "blob": ("Btf",),
    "builder": ("Builder",),
    "codec": ("Codec",),
    "elements": ("Enumerator", "Member", "Param", "SectionEntry"),
    "ext": ("CoreKind", "CoreRelocation", "ExtInfo", "FuncRecord", "Line", "encode_func_info", "encode_line_info"),
    "format": ("format_definition", "format_type"),
    "header": ("format_header",),
    "kind": ("FuncLinkage", "IntEncoding", "Kind", "VarLinkage"),
    "layout": ("align_of", "bit_span", "size_of", "strip"),
    "raw": ("format_raw", "raw_fields"),
    "types": (
        "Array", "Const", "Datasec", "DeclTag", "Enum", "Enum64", "Float", "Func", "FuncProto", "Fwd", "Int",
        "Pointer", "Restrict", "Struct", "Type", "Typedef", "TypeTag", "Union", "Var", "Void", "Volatile",
    ),
})  # fmt: skip
