"""Inert blueprints: what an object file says, before any kernel sees it.

A spec is a plain object that may be inspected, edited, copied and loaded many times. Nothing here touches the
operating system; specs are not synchronised, so share one between threads only for reading.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from ebpf.abi import types
from ebpf.asm.instructions import ByteOrder as ByteOrder
from ebpf.asm.instructions import Instructions
from ebpf.plain import NamedTuple, Plain, field

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.abi.types import AttachType, MapFlag, MapType, ProgramFlag, ProgramType
    from ebpf.btf import Btf, Type
    from ebpf.objects import Collection, Map, Program
    from ebpf.runtime import Runtime

Dialect = Literal["auto", "linux", "windows"]
Pinning = Literal["none", "by_name"]


class MapSpec(Plain):
    """Blueprint of a map.

    `key_size` and `value_size` are bytes. `key`/`value` are BTF types or None. `contents` is the image of a data
    section (bytes, None for zeros) or a list of (key, value) pairs: bytes, or as value the name of a map (map-in-map)
    or program (program array). `inner` is the blueprint of a map-in-map's elements. `relocations` maps byte offsets
    of a struct_ops image to program names. `extra` holds what a legacy definition carries beyond the kernel's fields.
    """

    name: str
    type: MapType
    key_size: int
    value_size: int
    max_entries: int
    flags: MapFlag = field(default_factory=lambda: types.MapFlag(0), kw_only=True)
    pinning: Pinning = field(default="none", kw_only=True)
    key: Type | None = field(default=None, kw_only=True)
    value: Type | None = field(default=None, kw_only=True)
    contents: bytearray | bytes | list[tuple[bytes, bytes | str]] | None = field(default=None, kw_only=True)
    inner: MapSpec | None = field(default=None, kw_only=True)
    map_extra: int = field(default=0, kw_only=True)
    numa_node: int = field(default=0, kw_only=True)
    tags: list[str] = field(default_factory=list, kw_only=True)
    relocations: dict[int, str] = field(default_factory=dict, kw_only=True)
    extra: bytes = field(default=b"", kw_only=True)
    section: str = field(default="", kw_only=True)

    def copy(self) -> MapSpec:
        """Return a deep copy; BTF types are shared, they are immutable."""
        import copy

        return copy.deepcopy(self)


class FuncInfo(NamedTuple):
    """Type of the function that begins at the instruction with this index (not slot, not byte)."""

    insn: int
    type: Type


class ProgramSpec(Plain):
    """Blueprint of a program.

    `insns` is the whole program: the entry function, then each subprogram it reaches in order of first use.
    `attach_to` is the text after the section's slash, `attach_target` a loaded program (freplace, fentry on a
    program). `section` is the name in the object. `autoload=False` keeps the program out of a load (`?SEC`).
    `kernel_version` is for old kprobes; `ifindex` binds to a device. All positions count instructions.
    """

    name: str
    type: ProgramType
    insns: Instructions
    license: str = field(default="", kw_only=True)
    attach_type: AttachType | None = field(default=None, kw_only=True)
    attach_to: str = field(default="", kw_only=True)
    attach_target: Program | None = field(default=None, kw_only=True)
    section: str = field(default="", kw_only=True)
    flags: ProgramFlag | int = field(default=0, kw_only=True)
    autoload: bool = field(default=True, kw_only=True)
    kernel_version: int = field(default=0, kw_only=True)
    ifindex: int = field(default=0, kw_only=True)
    func_info: tuple[FuncInfo, ...] = field(default=(), kw_only=True)

    def copy(self) -> ProgramSpec:
        """Return a copy with its own instruction list; instructions are immutable and shared."""
        import copy

        other = copy.copy(self)
        other.insns = Instructions(self.insns)
        return other


class ExternSpec(Plain):
    """Something that the object expects the running kernel to supply.

    `kind` is "kconfig", "ksym" or "kfunc"; `value` overrides what the kernel says (kconfig).
    """

    name: str
    kind: Literal["kconfig", "ksym", "kfunc"]
    type: Type | None = None
    weak: bool = False
    value: object = None


class VariableSpec(Plain):
    """A global variable: `size` bytes at `offset` of the map that holds its `section`.

    `value` reads and writes the map spec's contents through BTF (bytes where there is no type).
    """

    name: str
    section: str
    offset: int
    size: int
    type: Type | None
    map: MapSpec = field(repr=False)
    byte_order: ByteOrder = field(default="little", kw_only=True)

    @property
    def raw(self) -> bytes:
        """The variable's bytes, in the object's byte order."""
        contents = self.map.contents
        if contents is None:
            return bytes(self.size)
        assert not isinstance(contents, list)
        return bytes(contents[self.offset : self.offset + self.size])

    @raw.setter
    def raw(self, data: bytes) -> None:
        if len(data) != self.size:
            raise ValueError(f"variable {self.name} takes {self.size} bytes, got {len(data)}")
        contents = self.map.contents
        if not isinstance(contents, bytearray):
            assert not isinstance(contents, list)
            contents = self.map.contents = bytearray(contents if contents is not None else self.map.value_size)
        contents[self.offset : self.offset + self.size] = data

    @property
    def value(self) -> Any:
        """The decoded value: int, bool, str, bytes, enum member, dataclass or list; see `btf.Codec`."""
        return self.raw if self.type is None else self._codec(self.type).decode(self.raw)

    @value.setter
    def value(self, value: Any) -> None:
        self.raw = bytes(value) if self.type is None else self._codec(self.type).encode(value)

    def _codec(self, type_: Type) -> Any:
        from ebpf.btf import Codec

        return Codec(type_, byte_order=self.byte_order)


class CollectionSpec(Plain):
    """Everything that one object file defines."""

    maps: dict[str, MapSpec] = field(default_factory=dict)
    programs: dict[str, ProgramSpec] = field(default_factory=dict)
    variables: dict[str, VariableSpec] = field(default_factory=dict)
    externs: dict[str, ExternSpec] = field(default_factory=dict)
    types: Btf | None = None
    byte_order: ByteOrder = "little"

    @classmethod
    def from_file(cls, path: str | os.PathLike[str] | BinaryIO, *, dialect: Dialect = "auto") -> CollectionSpec:
        """Read an object file (.o). Pure: the same bytes give the same spec on every machine.

        Raises ObjectFileError naming file, section and offset; OSError when the file can't be opened.
        """
        from ebpf.elf import read_file

        return read_file(path, dialect=dialect)

    @classmethod
    def from_bytes(cls, data: Buffer, *, name: str = "<bytes>", dialect: Dialect = "auto") -> CollectionSpec:
        """Read an object from memory; `name` stands for the path in errors."""
        from ebpf.elf import read_bytes

        return read_bytes(data, name=name, dialect=dialect)

    def load(
        self,
        *,
        runtime: Runtime | str = "auto",
        engine: str = "auto",
        trusted: bool = False,
        pin_path: str | os.PathLike[str] | None = None,
        replace_maps: Mapping[str, Map] | None = None,
        kernel_btf: Btf | None = None,
        extra_btf: Sequence[Btf] = (),
        token: int | str = "auto",
        log_level: int = 0,
    ) -> Collection:
        """Create the maps and load the programs; the caller closes the collection (it is a context manager).

        `runtime` is "auto", "linux", "embedded" or a Runtime. `pin_path` is where `by_name` maps are pinned.
        `replace_maps` are used instead of the spec's maps of those names and stay the caller's. Raises LoadError
        (VerifierError with the log), MissingPrivilegeError, NotSupportedError; nothing stays loaded then.
        """
        from ebpf.objects import load_collection

        return load_collection(
            self,
            runtime=runtime,
            engine=engine,
            trusted=trusted,
            pin_path=pin_path,
            replace_maps=replace_maps,
            kernel_btf=kernel_btf,
            extra_btf=extra_btf,
            token=token,
            log_level=log_level,
        )

    def copy(self) -> CollectionSpec:
        """Return a deep copy; variables of the copy write into the copy's maps, BTF types are shared."""
        import copy

        maps = {name: spec.copy() for name, spec in self.maps.items()}
        copies = {id(spec): maps[name] for name, spec in self.maps.items()}
        variables = {}
        for name, variable in self.variables.items():
            variables[name] = copy.copy(variable)
            # A map that was taken out of the spec keeps its variables: they are of no use to a load, but no error.
            variables[name].map = copies.get(id(variable.map)) or variable.map.copy()
        return CollectionSpec(
            maps=maps,
            programs={name: spec.copy() for name, spec in self.programs.items()},
            variables=variables,
            externs={name: copy.copy(extern) for name, extern in self.externs.items()},
            types=self.types,
            byte_order=self.byte_order,
        )
