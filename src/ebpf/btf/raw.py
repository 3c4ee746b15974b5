"""Types as they are recorded: one line a record, or one dictionary, with the field names that bpftool prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ebpf.btf.elements import Member, SectionEntry
from ebpf.btf.kind import IntEncoding
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
    Volatile,
)

_ANONYMOUS = "(anon)"
_LISTS = ("members", "values", "params", "vars")


def format_raw(type_: Type) -> str:
    """Write the record on one line, `[7] STRUCT 'event' size=16 vlen=2`, and each of its elements on another."""
    facts = raw_fields(type_)
    rows: list[dict[str, Any]] = next((facts.pop(key) for key in _LISTS if key in facts), [])
    head = f"[{facts.pop('id')}] {facts.pop('kind')} '{facts.pop('name')}'"
    row_line = _entry_line if isinstance(type_, Datasec) else _row_line
    return "\n".join([_line(head, facts), *map(row_line, rows)])


def raw_fields(type_: Type) -> dict[str, Any]:
    """Return the record as a dictionary; references are ids. Raises BtfError for bad names."""
    facts = {"id": type_.id, "kind": type_.kind.name, "name": type_.name or _ANONYMOUS}
    for classes, describe in _DESCRIBERS:
        if isinstance(type_, classes):
            facts |= describe(type_)
    return facts


def _line(head: str, facts: dict[str, Any]) -> str:
    return " ".join([head, *(f"{name}={value}" for name, value in facts.items())])


def _row_line(row: dict[str, Any]) -> str:
    return _line(f"\t'{row.pop('name')}'", row)


def _entry_line(row: dict[str, Any]) -> str:
    return f"\ttype_id={row['type_id']} offset={row['offset']} size={row['size']} ({row['kind']} '{row['name']}')"


def _int(type_: Int) -> dict[str, Any]:
    encoding = next((flag.name for flag in IntEncoding if flag in type_.encoding), None)
    return {
        "size": type_.size,
        "bits_offset": type_.bit_offset,
        "nr_bits": type_.bits,
        "encoding": encoding or "(none)",
    }


def _array(type_: Array) -> dict[str, Any]:
    return {"type_id": type_.target_id, "index_type_id": type_.index_id, "nr_elems": type_.nelems}


def _composite(type_: Struct | Union) -> dict[str, Any]:
    rows = [_member(member) for member in type_.members]
    return {"size": type_.size, "vlen": len(rows), "members": rows}


def _member(member: Member) -> dict[str, Any]:
    facts = {"name": member.name or _ANONYMOUS, "type_id": member.type_id, "bits_offset": member.bit_offset}
    return facts | ({"bitfield_size": member.bit_size} if member.bit_size else {})


def _enum(type_: Enum | Enum64) -> dict[str, Any]:
    rows = [{"name": one.name, "val": one.value} for one in type_.values]
    encoding = "SIGNED" if type_.signed else "UNSIGNED"
    return {"encoding": encoding, "size": type_.size, "vlen": len(rows), "values": rows}


def _func_proto(type_: FuncProto) -> dict[str, Any]:
    rows = [{"name": param.name or _ANONYMOUS, "type_id": param.type_id} for param in type_.params]
    return {"ret_type_id": type_.target_id, "vlen": len(rows), "params": rows}


def _datasec(type_: Datasec) -> dict[str, Any]:
    rows = [_entry(entry) for entry in type_.entries]
    return {"size": type_.size, "vlen": len(rows), "vars": rows}


def _entry(entry: SectionEntry) -> dict[str, Any]:
    type_ = entry.type
    facts = {"type_id": entry.type_id, "offset": entry.offset, "size": entry.size}
    return facts | {"kind": type_.kind.name, "name": type_.name or _ANONYMOUS}


def _linkage(type_: Func | Var) -> dict[str, Any]:
    linkage = type_.linkage
    return {"type_id": type_.target_id, "linkage": getattr(linkage, "name", str(linkage)).lower()}


def _decl_tag(type_: DeclTag) -> dict[str, Any]:
    return {"type_id": type_.target_id, "component_idx": -1 if type_.component is None else type_.component}


_DESCRIBERS: Iterable[tuple[Any, Any]] = (
    (Int, _int),
    (Array, _array),
    ((Struct, Union), _composite),
    ((Enum, Enum64), _enum),
    (Fwd, lambda type_: {"fwd_kind": "union" if type_.is_union else "struct"}),
    (FuncProto, _func_proto),
    ((Func, Var), _linkage),
    (Datasec, _datasec),
    (Float, lambda type_: {"size": type_.size}),
    (DeclTag, _decl_tag),
    ((Pointer, Typedef, Const, Volatile, Restrict, TypeTag), lambda type_: {"type_id": type_.target_id}),
)
"""Class → what its record holds beside id, kind and name."""
