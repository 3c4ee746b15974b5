"""Tables of kernel callbacks written in C: `.struct_ops` and `.struct_ops.link` (Documentation/bpf/map_struct_ops)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ebpf.abi.types import MapFlag, MapType, ProgramType
from ebpf.elf.file import Section
from ebpf.elf.object import ObjectFile, Use
from ebpf.elf.types import variable_type
from ebpf.errors import ElfError, LinkingError
from ebpf.spec import MapSpec, ProgramSpec

if TYPE_CHECKING:
    from ebpf.btf import Struct
    from ebpf.btf.elements import SectionEntry


def read_struct_ops(
    obj: ObjectFile, functions: Mapping[tuple[int, int], str], programs: Mapping[str, ProgramSpec]
) -> dict[str, MapSpec]:
    """Return one map for each table; its programs get `struct:member` as what they attach to.

    Raises ElfError, LinkingError, BtfError.
    """
    maps = {}
    budget = 0
    for section in obj.sections(Use.STRUCT_OPS):
        entries = obj.entries(section.name)
        if not entries:
            raise ElfError("no types say what the tables are (compile with -g)", section=section.name)
        budget += section.size
        for entry in entries:
            name = entry.type.name
            struct = _struct_of(entry, section)
            budget -= struct.size
            if name in maps or budget < 0:
                raise ElfError(f"table {name} overlaps another", section=section.name, offset=entry.offset)
            maps[name] = spec = _table(name, struct, entry, section)
            for offset, program, member in _callbacks(obj, functions, section, entry, struct):
                _attach(programs, program, f"{struct.name}:{member}", section, entry.offset + offset)
                spec.relocations[offset] = program
    return maps


def _struct_of(entry: SectionEntry, section: Section) -> Struct:
    from ebpf.btf import Struct, strip

    struct = strip(variable_type(entry.type))
    if not isinstance(struct, Struct):
        raise ElfError(f"{entry.type.name} is not a struct", section=section.name, offset=entry.offset)
    if entry.offset + struct.size > len(section.data):
        raise ElfError(f"table {entry.type.name} passes the end", section=section.name, offset=entry.offset)
    return struct


def _table(name: str, struct: Struct, entry: SectionEntry, section: Section) -> MapSpec:
    linked = section.name.endswith(".link")
    return MapSpec(
        name,
        MapType.STRUCT_OPS,
        4,
        struct.size,
        1,
        flags=MapFlag.LINK if linked else MapFlag(0),
        value=struct,
        contents=bytearray(section.data[entry.offset : entry.offset + struct.size]),
        section=section.name,
    )


def _callbacks(
    obj: ObjectFile,
    functions: Mapping[tuple[int, int], str],
    section: Section,
    entry: SectionEntry,
    struct: Struct,
) -> Iterator[tuple[int, str, str]]:
    """Yield offset in the table, program and member for each member that points at a program."""
    relocations = obj.relocations[section.index]
    for member in struct.members:
        place = entry.offset + member.offset
        target = relocations.get(place)
        if target is None:
            continue
        addend = int.from_bytes(section.data[place : place + 8], obj.byte_order)
        program = functions.get((target.section, target.value + addend))
        if program is None:
            reason = f"member {member.name} points at {target.name or 'a section'}, which is not a program"
            raise LinkingError(reason, section=section.name, offset=place)
        yield member.offset, program, member.name


def _attach(programs: Mapping[str, ProgramSpec], name: str, target: str, section: Section, offset: int) -> None:
    program = programs.get(name)
    if program is None or program.type is not ProgramType.STRUCT_OPS:
        found = program.section if program is not None else ".text"
        reason = f"{name} is in section {found}, a callback belongs in struct_ops"
        raise LinkingError(reason, section=section.name, offset=offset)
    program.attach_to = target
