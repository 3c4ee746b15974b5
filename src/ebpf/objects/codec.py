"""Keys and values of maps: bytes ⇄ Python values, through BTF where there is a type."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ebpf.objects.percpu import PerCpu

if TYPE_CHECKING:
    from ebpf.btf import Codec, Type

_ALIGNMENT = 8
"""Each CPU's value starts at a multiple of this (round_up(value_size, 8) in kernel/bpf/syscall.c)."""


class ElementCodec:
    """Turns elements of `size` bytes into Python values and back; immutable, so threads may share it.

    With a BTF type of that size elements are what `btf.Codec` makes of them. Without, or when the caller asks for
    raw ones, they are `bytes`. Bytes of the exact size are always accepted for encoding.
    """

    __slots__ = ("_codec", "_type", "size", "what")

    def __init__(self, what: str, size: int, type_: Type | None) -> None:
        self.what = what
        self.size = size
        self._type = type_ if type_ is not None and size > 0 and _size_of(type_) == size else None
        self._codec: Codec | None = None

    @property
    def codec(self) -> Codec | None:
        """The BTF codec, made at its first use; None where elements are bytes. BtfError for a type without values."""
        if self._codec is None and self._type is not None:
            from ebpf.btf import Codec  # many maps have no types, and more of them nobody decodes

            self._codec = Codec(self._type, byte_order=sys.byteorder)
        return self._codec

    @property
    def python_type(self) -> type[Any]:
        """The class of decoded elements: call it to build a key or value of a struct type."""
        return bytes if self.codec is None else self.codec.python_type

    def encode(self, value: Any) -> bytes:
        """Return the element's bytes; ValueError or TypeError say what was expected and what came."""
        if isinstance(value, (bytes, bytearray, memoryview)):
            data = bytes(value)
            if len(data) == self.size:
                return data
            if self.codec is None:
                raise ValueError(f"{self.what} takes {self.size} bytes, got {len(data)}")
            if not issubclass(self.python_type, (bytes, str)):
                raise ValueError(f"{self.what} takes {self.size} bytes or a value of its type, got {len(data)} bytes")
        if self.codec is None:
            raise TypeError(f"{self.what} has no BTF type: give {self.size} bytes, got {type(value).__name__}")
        return self.codec.encode(value)

    def decode(self, data: bytes, *, raw: bool = False) -> Any:
        """Return the Python value of an element's bytes."""
        codec = self._codec or self.codec
        return data if raw or codec is None else codec.decode(data)


def _size_of(type_: Type) -> int:
    from ebpf.btf import size_of

    return size_of(type_)


class PerCpuCodec(ElementCodec):
    """Values of all CPUs, one after the other, each rounded up to 8 bytes, as `PerCpu` lists."""

    __slots__ = ("cpus", "stride")

    def __init__(self, what: str, size: int, type_: Type | None, cpus: int) -> None:
        super().__init__(what, size, type_)
        self.cpus = cpus
        self.stride = -(-size // _ALIGNMENT) * _ALIGNMENT

    def encode(self, value: Any) -> bytes:
        """Encode one value for each CPU; a sequence of any other length is a ValueError."""
        if not isinstance(value, Sequence) or isinstance(value, (bytes, bytearray, memoryview, str)):
            raise TypeError(f"{self.what} takes a list of {self.cpus} values, one for each CPU; got {value!r}")
        if len(value) != self.cpus:
            raise ValueError(f"{self.what} takes {self.cpus} values, one for each CPU; got {len(value)}")
        return b"".join(super(PerCpuCodec, self).encode(one).ljust(self.stride, b"\0") for one in value)

    def decode(self, data: bytes, *, raw: bool = False) -> PerCpu:
        """Decode a PerCpu list; with `raw` of bytes."""
        decode = super().decode
        return PerCpu(
            decode(data[cpu * self.stride : cpu * self.stride + self.size], raw=raw) for cpu in range(self.cpus)
        )


class IndexCodec(ElementCodec):
    """The u32 index of an array-like map as an int."""

    __slots__ = ("length",)

    def __init__(self, what: str, length: int) -> None:
        super().__init__(what, 4, None)
        self.length = length

    @property
    def python_type(self) -> type[Any]:
        return int

    def encode(self, value: Any) -> bytes:
        """Encode an index; negative ones are the caller's to resolve."""
        if isinstance(value, (bytes, bytearray, memoryview)):
            return super().encode(value)
        return int(value).to_bytes(4, sys.byteorder)

    def decode(self, data: bytes, *, raw: bool = False) -> Any:
        return data if raw else int.from_bytes(data, sys.byteorder)
