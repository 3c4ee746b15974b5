"""Maps of sections named `maps*`: one `struct bpf_map_def` each, as libbpf had them before 1.0 and iproute2 has."""

from __future__ import annotations

import struct

from ebpf.elf.file import Section, Symbol
from ebpf.elf.object import ObjectFile, Use
from ebpf.elf.values import map_flags, map_type
from ebpf.errors import ElfError
from ebpf.spec import MapSpec

_DEFINITION_SIZE = 20


def read_legacy_maps(obj: ObjectFile) -> dict[str, MapSpec]:
    """Return the maps by name. Raises ElfError naming the section and the definition."""
    maps = {}
    for section in obj.sections(Use.LEGACY_MAPS):
        symbols = sorted({symbol.value: symbol for symbol in obj.symbols(section)}.values(), key=lambda s: s.value)
        if not symbols:
            raise ElfError("maps without symbols", section=section.name)
        ends = [*(symbol.value for symbol in symbols[1:]), section.size]
        variables = obj.variables(section.name)
        for symbol, following in zip(symbols, ends, strict=True):
            if symbol.name in maps:
                raise ElfError(f"two maps are named {symbol.name}", section=section.name, offset=symbol.value)
            spec = maps[symbol.name] = _parse_definition(obj, section, symbol, following)
            spec.tags = obj.tags_of(variables.get(symbol.name))
    return maps


def _parse_definition(obj: ObjectFile, section: Section, symbol: Symbol, following: int) -> MapSpec:
    # Compilers before clang 8 left the size out.
    end = symbol.value + symbol.size if symbol.size else following
    if end > len(section.data) or end - symbol.value < _DEFINITION_SIZE:
        reason = f"map {symbol.name} has {max(end - symbol.value, 0)} bytes, a definition takes {_DEFINITION_SIZE}"
        raise ElfError(f"{reason} inside the section's {len(section.data)}", section=section.name, offset=symbol.value)
    fields = struct.unpack_from("<5I" if obj.byte_order == "little" else ">5I", section.data, symbol.value)
    type_, key_size, value_size, max_entries, flags = fields
    return MapSpec(
        symbol.name,
        map_type(type_, section.name, symbol.name),
        key_size,
        value_size,
        max_entries,
        flags=map_flags(flags),
        extra=bytes(section.data[symbol.value + _DEFINITION_SIZE : end]),
        section=section.name,
    )
