"""Values of BTF types: bytes ⇄ Python."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ebpf.btf.arrays import Elements
from ebpf.btf.compile import Compiler
from ebpf.btf.layout import describe, strip
from ebpf.btf.records import Record
from ebpf.btf.scalars import MARK, ByteOrder, Mismatch
from ebpf.errors import BtfError

if TYPE_CHECKING:
    from numpy import dtype
    from typing_extensions import Buffer

    from ebpf.btf.types import Type


class Codec:
    """Decodes and encodes values of one type; immutable, threads may share it.

    | C | Python |
    |---|---|
    | integers (1 to 16 bytes), pointers | int |
    | `_Bool` | bool; a byte other than 0 and 1 is an int |
    | enum | IntEnum member; int where no name has the value |
    | float of 2, 4, 8 bytes | float; bytes for a NaN whose payload a float would lose; other sizes are bytes |
    | `char[n]` | str where it ends in NUL, holds only NULs behind it and is UTF-8; else bytes |
    | array | tuple; `ByteTuple`, which is one, of unsigned integers of one byte |
    | struct | frozen slotted dataclass; members of anonymous structs and unions are attributes of it |
    | union | frozen dataclass with the bytes as `raw`, and an attribute for each member |
    | flexible array at the end of a struct | takes the rest of the buffer |

    `encode(decode(b)) == b` for every b whose padding is zero; encoding zeroes padding. A struct is encoded from its
    dataclass, a mapping or a sequence; a union from its class, its bytes or a mapping with one member. Members whose
    name is a Python keyword, a `__dunder__` or taken already have a trailing `_`.
    `python_type` is the class of values. `size` is in bytes (the least, where there is a flexible array).
    """

    __slots__ = ("_decode", "_node", "_packer", "_type", "byte_order")

    def __init__(self, type_: Type, byte_order: ByteOrder = "little", pointer_size: int = 8) -> None:
        """Prepare for a type; BtfError where it has no values, contains itself, or is damaged."""
        self._type = type_
        self.byte_order = byte_order
        self._node = Compiler(byte_order, pointer_size).root(type_)
        self._packer = struct.Struct(MARK[byte_order] + self._node.code)
        self._decode: Callable[[Buffer], Any] | None = None

    @property
    def size(self) -> int:
        """Size of the type in bytes."""
        return self._node.size

    @property
    def flexible(self) -> bool:
        """Whether values may be longer than `size`: the type ends in a flexible array."""
        return isinstance(self._node, Record) and self._node.tail is not None

    @property
    def python_type(self) -> type[Any]:
        """The class of decoded values: int, bool, str, tuple, an IntEnum or a dataclass."""
        return self._node.python_type

    def decode(self, data: Buffer) -> Any:
        """Turn the bytes of one value into Python; BtfError unless there are exactly `size` of them."""
        try:
            return (self._decode or self._prepare())(data)
        except struct.error:
            raise BtfError(
                f"{describe(self._type)} takes {self._sizes()} bytes, got {memoryview(data).nbytes}"
            ) from None

    def encode(self, value: Any) -> bytes:
        """Turn a Python value into bytes; BtfError names the member that does not fit, and why."""
        try:
            leaf = self._node.leaf(value)
        except Mismatch as error:
            raise BtfError(f"{describe(strip(self._type))}{_place(error.path)}: {error.reason}") from None
        return leaf if isinstance(self._node, Record) else self._packer.pack(leaf)

    @property
    def dtype(self) -> dtype[Any]:
        """The NumPy dtype of the same layout (imports NumPy).

        Raises BtfError where NumPy has none: bit-fields, flexible arrays, integers of odd size.
        """
        from ebpf.btf.dtype import dtype_of

        return dtype_of(self._node, self.byte_order)

    def _sizes(self) -> str:
        tail = self._node.tail if isinstance(self._node, Record) else None
        step = f", in whole elements of {tail.element.size}," if isinstance(tail, Elements) else ""
        return f"{self.size}" if tail is None else f"at least {self.size}{step}"

    def _prepare(self) -> Callable[[Buffer], Any]:
        node, packer = self._node, self._packer
        if isinstance(node, Record):
            self._decode = node.decoder()
        elif node.plain:
            self._decode = lambda data: packer.unpack(data)[0]
        else:
            self._decode = lambda data: node.value(*packer.unpack(data))
        return self._decode


def _place(path: list[str]) -> str:
    text = "".join(part if part.startswith("[") else f".{part}" for part in reversed(path))
    return f", {text.lstrip('.')}" if text else ""
