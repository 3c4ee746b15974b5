"""What an object expects of the kernel: settings (`.kconfig`), functions and variables (`.ksyms`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.types import MapFlag, MapType
from ebpf.elf.object import ObjectFile
from ebpf.elf.types import variable_type
from ebpf.errors import ElfError
from ebpf.spec import ExternSpec, MapSpec

if TYPE_CHECKING:
    from ebpf.btf import Type

_KCONFIG, _KSYMS = ".kconfig", ".ksyms"


def read_externs(obj: ObjectFile) -> dict[str, ExternSpec]:
    """Return the declared externs by name. Raises ElfError, BtfError."""
    weak = {symbol.name for symbol in obj.elf.symbols if symbol.section == 0 and symbol.weak}
    externs = {}
    for name, variable in obj.variables(_KCONFIG).items():
        externs[name] = ExternSpec(name, "kconfig", variable_type(variable), weak=name in weak)
    for name, declared in obj.variables(_KSYMS).items():
        externs[name] = _kernel_symbol(name, declared, weak=name in weak)
    return externs


def read_settings(obj: ObjectFile) -> tuple[dict[str, int], MapSpec | None]:
    """Return the byte offset of each kernel setting, and the map that load fills with their values."""
    from ebpf.btf import Datasec

    offsets = {entry.type.name: entry.offset for entry in obj.entries(_KCONFIG)}
    section = obj.types.find(_KCONFIG, Datasec) if obj.types is not None else None
    if section is None or not offsets:
        return {}, None
    flags = MapFlag.RDONLY_PROG
    spec = MapSpec(_KCONFIG, MapType.ARRAY, 4, section.size, 1, flags=flags, value=section, section=_KCONFIG)
    return offsets, spec


def _kernel_symbol(name: str, declared: Type, *, weak: bool) -> ExternSpec:
    from ebpf.btf import Func, Var

    if isinstance(declared, Func):
        return ExternSpec(name, "kfunc", declared, weak=weak)
    if isinstance(declared, Var):
        return ExternSpec(name, "ksym", declared.target, weak=weak)
    raise ElfError(f"{name or 'an unnamed type'} is neither a function nor a variable", section=_KSYMS)
