"""The eBPF library for Python: load, run, attach and inspect eBPF programs.

    import ebpf

    spec = ebpf.CollectionSpec.from_file("conn.bpf.o")   # pure; inspect and edit it freely
    with spec.load() as collection:                      # the Linux kernel, or the one inside this process
        print(collection.programs["conn"].run(packet))

Where things are:

    ebpf.asm       instructions: encode, decode, assemble, disassemble
    ebpf.btf       type information: read, build, format as C, decode values
    ebpf.spec      inert blueprints of collections, programs, maps and variables
    ebpf.elf       object files to specs
    ebpf.runtime   what loads and runs: linux(), embedded(), choose()
    ebpf.objects   live collections, programs, maps, variables, readers
    ebpf.link      attach points, one function a hook
    ebpf.errors    every exception, drawn as a tree

Every name below is imported on first use, so that `import ebpf` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ebpf.lazy import lazy_names

if TYPE_CHECKING:
    from ebpf import asm as asm
    from ebpf import btf as btf
    from ebpf import errors as errors
    from ebpf import link as link
    from ebpf import runtime as runtime
    from ebpf.abi.helpers import Helper as Helper
    from ebpf.abi.types import AttachType as AttachType
    from ebpf.abi.types import Cmd as Cmd
    from ebpf.abi.types import LinkType as LinkType
    from ebpf.abi.types import MapFlag as MapFlag
    from ebpf.abi.types import MapType as MapType
    from ebpf.abi.types import ProgramFlag as ProgramFlag
    from ebpf.abi.types import ProgramType as ProgramType
    from ebpf.abi.types import UpdateFlag as UpdateFlag
    from ebpf.asm import Insn as Insn
    from ebpf.asm import Instructions as Instructions
    from ebpf.asm import Reference as Reference
    from ebpf.asm import ReferenceKind as ReferenceKind
    from ebpf.errors import AsmError as AsmError
    from ebpf.errors import BtfError as BtfError
    from ebpf.errors import ClosedError as ClosedError
    from ebpf.errors import DeadlineExceeded as DeadlineExceeded
    from ebpf.errors import EbpfError as EbpfError
    from ebpf.errors import ElfError as ElfError
    from ebpf.errors import ImageError as ImageError
    from ebpf.errors import KeyExistsError as KeyExistsError
    from ebpf.errors import KeyNotFoundError as KeyNotFoundError
    from ebpf.errors import LibraryNotFoundError as LibraryNotFoundError
    from ebpf.errors import LinkingError as LinkingError
    from ebpf.errors import LoadError as LoadError
    from ebpf.errors import MapFullError as MapFullError
    from ebpf.errors import MapIncompatibleError as MapIncompatibleError
    from ebpf.errors import MapIndexError as MapIndexError
    from ebpf.errors import MissingPrivilegeError as MissingPrivilegeError
    from ebpf.errors import NotSupportedError as NotSupportedError
    from ebpf.errors import ObjectFileError as ObjectFileError
    from ebpf.errors import PeError as PeError
    from ebpf.errors import ProgramFault as ProgramFault
    from ebpf.errors import RelocationError as RelocationError
    from ebpf.errors import SystemCallError as SystemCallError
    from ebpf.errors import VerifierError as VerifierError
    from ebpf.objects import Collection as Collection
    from ebpf.objects import Map as Map
    from ebpf.objects import Program as Program
    from ebpf.objects import Variable as Variable
    from ebpf.runtime import Runtime as Runtime
    from ebpf.spec import CollectionSpec as CollectionSpec
    from ebpf.spec import ExternSpec as ExternSpec
    from ebpf.spec import MapSpec as MapSpec
    from ebpf.spec import ProgramSpec as ProgramSpec
    from ebpf.spec import VariableSpec as VariableSpec

_HOMES: dict[str, tuple[str, ...]] = {
    "abi.helpers": ("Helper",),
    "abi.types": (
        "AttachType", "Cmd", "LinkType", "MapFlag", "MapType", "ProgramFlag", "ProgramType", "UpdateFlag",
    ),
    "asm": ("Insn", "Instructions", "Reference", "ReferenceKind"),
    "errors": (
        "AsmError", "BtfError", "ClosedError", "DeadlineExceeded", "EbpfError", "ElfError", "ImageError",
        "KeyExistsError", "KeyNotFoundError", "LibraryNotFoundError", "LinkingError", "LoadError", "MapFullError",
        "MapIncompatibleError", "MapIndexError", "MissingPrivilegeError", "NotSupportedError", "ObjectFileError",
        "PeError", "ProgramFault", "RelocationError", "SystemCallError", "VerifierError",
    ),
    "objects": ("Collection", "Map", "Program", "Variable"),
    "runtime": ("Runtime",),
    "spec": ("CollectionSpec", "ExternSpec", "MapSpec", "ProgramSpec", "VariableSpec"),
}  # fmt: skip
_MODULES = ("asm", "btf", "elf", "errors", "link", "objects", "runtime", "spec")

__version__ = "0.1.0"
__all__ = [  # noqa: PLE0604 - computed from the one table above
    "__version__", *_MODULES, *(name for names in _HOMES.values() for name in names),
]  # fmt: skip

_find = lazy_names(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    return import_module(f"ebpf.{name}") if name in _MODULES else _find(name)


def __dir__() -> list[str]:
    return sorted(__all__)
