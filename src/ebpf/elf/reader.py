"""Object files → specs. Pure: the same bytes give the same spec on every machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from ebpf.abi.types import MapType
from ebpf.elf.btf_maps import read_btf_maps
from ebpf.elf.data import read_data
from ebpf.elf.externs import read_externs, read_settings
from ebpf.elf.functions import find_spans, read_functions
from ebpf.elf.legacy_maps import read_legacy_maps
from ebpf.elf.link import link_programs
from ebpf.elf.object import ObjectFile, Use, open_object
from ebpf.elf.relocate import Relocator
from ebpf.elf.struct_ops import read_struct_ops
from ebpf.errors import ElfError, NotSupportedError, ObjectFileError
from ebpf.spec import CollectionSpec, Dialect, MapSpec

if TYPE_CHECKING:
    from typing_extensions import Buffer


def read_file(path: str | os.PathLike[str] | BinaryIO, *, dialect: Dialect = "auto") -> CollectionSpec:
    """Read an object file by path, or from an open binary file, which stays open.

    Raises ObjectFileError naming file, section and offset; OSError when the file can't be read.
    """
    if isinstance(path, (str, os.PathLike)):
        with open(path, "rb") as file:
            return read_bytes(file.read(), name=os.fspath(path), dialect=dialect)
    if not hasattr(path, "read"):
        raise TypeError(
            f"expected a path or an open binary file, got {type(path).__name__}: bytes of an object go to from_bytes()"
        )
    return read_bytes(path.read(), name=str(getattr(path, "name", "<file>")), dialect=dialect)


def read_bytes(data: Buffer, *, name: str = "<bytes>", dialect: Dialect = "auto") -> CollectionSpec:
    """Read an object from memory, which is copied; `name` stands for the path in errors. Raises ObjectFileError."""
    if isinstance(data, (str, os.PathLike)):
        raise TypeError(f"expected the bytes of an object, got {type(data).__name__}: paths go to from_file()")
    if dialect not in ("auto", "linux", "windows"):
        raise ValueError(f"dialect is 'auto', 'linux' or 'windows', got {dialect!r}")
    if dialect == "windows":
        raise NotSupportedError("reading an object in the Windows dialect", alternative="use dialect='linux'")
    try:
        return _read_collection(open_object(memoryview(bytes(data))))
    except ObjectFileError as error:
        if error.path is not None:
            raise
        raise type(error)(error.reason, path=name, section=error.section, offset=error.offset) from None


def _read_collection(obj: ObjectFile) -> CollectionSpec:
    spans = find_spans(obj)
    functions = {(index, span.start): span.name for index, found in spans.items() for span in found}
    maps, variables = read_data(obj)
    settings, setting_map = read_settings(obj)
    if setting_map is not None:
        maps[setting_map.name] = setting_map
    _merge(maps, read_legacy_maps(obj))
    _merge(maps, read_btf_maps(obj, functions))
    arena = _place_arena_data(obj, maps)
    externs = read_externs(obj)
    relocator = Relocator(obj, functions, frozenset(maps), externs, settings, arena)
    programs = link_programs(
        read_functions(obj, spans, relocator), license=_license(obj), kernel_version=_kernel_version(obj)
    )
    _merge(maps, read_struct_ops(obj, functions, programs))
    return CollectionSpec(maps, programs, variables, externs, obj.types, obj.byte_order)


def _merge(maps: dict[str, MapSpec], more: dict[str, MapSpec]) -> None:
    for name, spec in more.items():
        if maps.setdefault(name, spec) is not spec:
            raise ElfError(f"two maps are named {name}", section=spec.section)


def _place_arena_data(obj: ObjectFile, maps: dict[str, MapSpec]) -> str | None:
    """Give the arena its first contents; return its name. There is at most one arena in a program."""
    sections = obj.sections(Use.ARENA)
    arenas = [spec for spec in maps.values() if spec.type is MapType.ARENA]
    if not sections:
        return None
    if len(arenas) != 1:
        raise ElfError(f"arena data with {len(arenas)} arenas, expected 1", section=sections[0].name)
    arenas[0].contents = bytearray(sections[0].data)
    return arenas[0].name


def _license(obj: ObjectFile) -> str:
    data = _contents(obj, "license")
    return bytes(data).rstrip(b"\0").decode("utf-8", "backslashreplace") if data is not None else ""


def _kernel_version(obj: ObjectFile) -> int:
    data = _contents(obj, "version")
    if data is None:
        return 0
    if len(data) < 4:
        raise ElfError(f"a kernel version takes 4 bytes, found {len(data)}", section="version")
    return int.from_bytes(data[:4], obj.byte_order)


def _contents(obj: ObjectFile, prefix: str) -> memoryview | None:
    found = [section.data for section in obj.elf.sections.values() if section.name.startswith(prefix)]
    return found[-1] if found else None
