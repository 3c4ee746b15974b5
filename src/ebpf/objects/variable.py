"""A live global variable: a piece of a data section's map."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ebpf.abi.types import MapFlag
from ebpf.btf import Codec
from ebpf.errors import NotSupportedError

if TYPE_CHECKING:
    from ebpf.btf import Type
    from ebpf.objects.map import Map
    from ebpf.spec import VariableSpec

_INDEX = (0).to_bytes(4, sys.byteorder)


class Variable:
    """A global variable of a loaded object: `size` bytes at `offset` of `map`'s only value.

    Reading and writing go through mapped memory where the map can be mapped, else through look-up and update of the
    whole section. Threads may share it; a value of more than 8 bytes may be read while a program writes it, and
    without mapped memory an assignment rewrites its neighbours too.
    """

    def __init__(self, spec: VariableSpec, map_: Map) -> None:
        self.name = spec.name
        self.section = spec.section
        self.offset = spec.offset
        self.size = spec.size
        self.type: Type | None = spec.type
        self.map = map_
        self._codec = None if spec.type is None else Codec(spec.type, byte_order=sys.byteorder)

    @property
    def read_only(self) -> bool:
        """Whether it lies in a section that programs and user space may only read (.rodata)."""
        return bool(self.map.flags & MapFlag.RDONLY_PROG)

    @property
    def raw(self) -> bytes:
        """The variable's bytes, in native byte order."""
        end = self.offset + self.size
        if self.map.flags & MapFlag.MMAPABLE:
            return bytes(self.map.memory()[self.offset : end])
        return self.map.io.lookup(_INDEX)[self.offset : end]

    @raw.setter
    def raw(self, data: bytes) -> None:
        if len(data) != self.size:
            raise ValueError(f"variable {self.name} takes {self.size} bytes, got {len(data)}")
        if self.read_only:
            raise TypeError(
                f"variable {self.name} is constant once loaded ({self.section}); set it in the spec instead"
            )
        end = self.offset + self.size
        if self.map.flags & MapFlag.MMAPABLE:
            self.map.memory()[self.offset : end] = data
            return
        section = bytearray(self.map.io.lookup(_INDEX))
        section[self.offset : end] = data
        self.map.io.update(_INDEX, section)

    @property
    def value(self) -> Any:
        """The decoded value: int, bool, str, bytes, enum member, dataclass or list; bytes without a type."""
        return self.raw if self._codec is None else self._codec.decode(self.raw)

    @value.setter
    def value(self, value: Any) -> None:
        self.raw = bytes(value) if self._codec is None else self._codec.encode(value)

    def memory(self) -> memoryview:
        """Map the variable's bytes: writes go through to programs. Valid after the collection is closed too.

        Raises NotSupportedError where the kernel can't map data sections (before Linux 5.5).
        """
        if not self.map.flags & MapFlag.MMAPABLE:
            raise NotSupportedError(f"mapping variable {self.name}", runtime=self.map.runtime.name, since="Linux 5.5")
        return self.map.memory()[self.offset : self.offset + self.size]

    def __repr__(self) -> str:
        return f"<Variable {self.name!r} {self.section}+{self.offset:#x} {self.size} bytes>"
