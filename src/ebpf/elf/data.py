"""Data sections: one array map of one element each, and the global variables in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ebpf.abi.types import MapFlag, MapType
from ebpf.elf.file import STB_LOCAL, STV_HIDDEN, STV_INTERNAL, Section, Symbol
from ebpf.elf.object import ObjectFile, Use
from ebpf.elf.types import variable_type
from ebpf.errors import ElfError
from ebpf.spec import MapSpec, VariableSpec

if TYPE_CHECKING:
    from ebpf.btf import Type

SIZE_LIMIT = (1 << 31) - 1
"""An array's value has at most INT_MAX bytes (kernel/bpf/arraymap.c)."""
_ZEROS_LIMIT = 4 << 20
"""Sections of zeros get contents up to this many bytes in all; beyond it they have none, which means zeros too."""


def read_data(obj: ObjectFile) -> tuple[dict[str, MapSpec], dict[str, VariableSpec]]:
    """Return the maps of data sections by section name, and their variables by name. Raises ElfError, BtfError.

    A section that nothing refers to and that defines nothing is left out (`.rodata.str1.1` of inlined strings).
    """
    maps: dict[str, MapSpec] = {}
    variables: dict[str, VariableSpec] = {}
    zeros = 0
    for section in obj.sections(Use.DATA):
        if section.index not in obj.referenced and not obj.symbols(section):
            continue
        if section.name in maps:
            raise ElfError("two sections have this name", section=section.name)
        zeros += section.size if section.zeros else 0
        spec = maps[section.name] = _data_map(obj, section, written=zeros <= _ZEROS_LIMIT)
        for variable in _variables(obj, section, spec):
            if variable.name in variables:
                raise ElfError(f"variable {variable.name} is defined twice", section=section.name)
            variables[variable.name] = variable
    return maps, variables


def _data_map(obj: ObjectFile, section: Section, *, written: bool) -> MapSpec:
    from ebpf.btf import Datasec

    if section.size > SIZE_LIMIT:
        raise ElfError(f"{section.size:#x} bytes of data, a map holds at most {SIZE_LIMIT:#x}", section=section.name)
    contents: bytearray | None = bytearray(section.data)
    if section.zeros:
        contents = bytearray(section.size) if written else None
    return MapSpec(
        section.name,
        MapType.ARRAY,
        4,
        section.size,
        1,
        flags=MapFlag.RDONLY_PROG if section.name.startswith(".rodata") else MapFlag(0),
        value=obj.types.find(section.name, Datasec) if obj.types is not None else None,
        contents=contents,
        section=section.name,
    )


def _variables(obj: ObjectFile, section: Section, spec: MapSpec) -> Iterator[VariableSpec]:
    types = {entry.type.name: (entry.offset, entry.size, entry.type) for entry in obj.entries(section.name)}
    for symbol in sorted(obj.symbols(section), key=lambda symbol: symbol.value):
        if not _is_public(symbol):
            continue
        if symbol.value + symbol.size > section.size:
            reason = f"variable {symbol.name} of {symbol.size} bytes passes the end ({section.size:#x} bytes)"
            raise ElfError(reason, section=section.name, offset=symbol.value)
        type_ = _checked_type(symbol, section, *types[symbol.name]) if symbol.name in types else None
        order = obj.byte_order
        yield VariableSpec(symbol.name, section.name, symbol.value, symbol.size, type_, spec, byte_order=order)


def _is_public(symbol: Symbol) -> bool:
    """Whether C code of another file could name it: not static, not hidden, not of the compiler's own making."""
    hidden = symbol.visibility in (STV_INTERNAL, STV_HIDDEN)
    return symbol.bind != STB_LOCAL and not hidden and not symbol.name.startswith(".")


def _checked_type(symbol: Symbol, section: Section, offset: int, size: int, variable: Type) -> Type:
    if (offset, size) != (symbol.value, symbol.size):
        reason = (
            f"variable {symbol.name} has {size} bytes at {offset:#x} as its type says, but"
            f" {symbol.size} at {symbol.value:#x} as its symbol says"
        )
        raise ElfError(reason, section=section.name, offset=symbol.value)
    return variable_type(variable)
