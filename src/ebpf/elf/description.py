"""A spec as plain data, the document that `ebpf inspect --json` prints."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ebpf.asm import Insn
from ebpf.elf.object import is_data_section
from ebpf.spec import ByteOrder, CollectionSpec, MapSpec, ProgramSpec, VariableSpec

if TYPE_CHECKING:
    from ebpf.btf import Btf, Type

_ZEROS_LIMIT = 16 << 20
"""Sections of zeros beyond this many bytes show neither hash nor values: a size alone takes no room in a file."""


def describe(spec: CollectionSpec) -> dict[str, Any]:
    """Return all that an object defines as JSON types; bytes are hex. Raises BtfError for damaged types."""
    return {
        "byte_order": spec.byte_order,
        "maps": {name: describe_map(map_spec) for name, map_spec in sorted(spec.maps.items())},
        "programs": {
            name: describe_program(program, spec.byte_order, spec.types)
            for name, program in sorted(spec.programs.items())
        },
        "variables": {name: _variable(variable) for name, variable in sorted(spec.variables.items())},
        "btf": _types(spec.types),
    }


def describe_map(spec: MapSpec) -> dict[str, Any]:
    """Return a map's attributes; data sections have no C type, a list of elements has no hash."""
    return {
        "type": spec.type.label,
        "key_size": spec.key_size,
        "value_size": spec.value_size,
        "max_entries": spec.max_entries,
        "flags": int(spec.flags),
        "map_extra": spec.map_extra,
        "pinning": spec.pinning,
        "tags": list(spec.tags),
        "inner": describe_map(spec.inner) if spec.inner is not None else None,
        "contents_sha256": _hash(spec),
        "key": _c_type(spec.key),
        "value": _c_type(spec.value),
    }


def describe_program(spec: ProgramSpec, byte_order: ByteOrder, types: Btf | None) -> dict[str, Any]:
    """Return a linked program; its references are still names, for CO-RE records that of the type in `types`."""
    return {
        "type": spec.type.label,
        "attach_type": spec.attach_type.label if spec.attach_type is not None else "None",
        "section": spec.section,
        "attach_to": spec.attach_to,
        "flags": int(spec.flags),
        "license": spec.license,
        "autoload": spec.autoload,
        "insns": len(spec.insns),
        "bytecode": spec.insns.encode(byte_order).hex(),
        "references": list(_references(spec, types)),
    }


def _references(spec: ProgramSpec, types: Btf | None) -> Iterator[dict[str, Any]]:
    for index, (insn, slot) in enumerate(zip(spec.insns, spec.insns.raw_offsets(), strict=True)):
        for kind, name, value_offset in _reference(insn, types):
            yield {"insn": index, "offset": 8 * slot, "kind": kind, "name": name, "value_offset": value_offset}


def _reference(insn: Insn, types: Btf | None) -> Iterator[tuple[str, str, int]]:
    if insn.reference is not None:
        yield insn.reference.kind.value, insn.reference.name, insn.reference.offset
    if insn.core is not None and types is not None:
        yield "core", types.by_id(insn.core.type_id).name, 0


def _variable(variable: VariableSpec) -> dict[str, Any]:
    zeros = variable.map.contents is None
    return {
        "section": variable.section,
        "offset": variable.offset,
        "size": variable.size,
        "type": _c_type(variable.type),
        "value": None if zeros and variable.size > _ZEROS_LIMIT else variable.raw.hex(),
    }


def _types(types: Btf | None) -> dict[str, Any]:
    kinds = Counter(type_.kind.label for type_ in types or ())
    return {"types": kinds.total(), "kinds": dict(sorted(kinds.items()))}


def _hash(spec: MapSpec) -> str | None:
    if isinstance(spec.contents, (bytes, bytearray)):
        return hashlib.sha256(spec.contents).hexdigest()
    if spec.contents is not None or not is_data_section(spec.section) or spec.value_size > _ZEROS_LIMIT:
        return None
    digest = hashlib.sha256()
    for start in range(0, spec.value_size, 1 << 20):
        digest.update(bytes(min(1 << 20, spec.value_size - start)))
    return digest.hexdigest()


def _c_type(type_: Type | None) -> str | None:
    from ebpf.btf import Datasec, format_type

    return None if type_ is None or isinstance(type_, Datasec) else format_type(type_)
