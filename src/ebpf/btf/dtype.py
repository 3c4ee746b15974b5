"""Codecs as NumPy dtypes, for arrays of values without a Python object each. NumPy is imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpf.btf.arrays import Elements
from ebpf.btf.records import Composite, Field, Record
from ebpf.btf.scalars import MARK, ByteOrder, Integer, Node, Partial, Real, Text, Truth
from ebpf.errors import BtfError

if TYPE_CHECKING:
    from numpy import dtype

_LARGEST = (1 << 31) - 1
"""NumPy keeps the size of an item in a C int."""


def dtype_of(node: Node, byte_order: ByteOrder) -> dtype[Any]:
    """Return the dtype with the layout of a codec; BtfError says why there is none."""
    import numpy

    if node.size > _LARGEST:
        raise BtfError(f"NumPy items have up to {_LARGEST} bytes, this type has {node.size}")
    made: dtype[Any] = numpy.dtype(_spec(node, MARK[byte_order]))
    return made


def _spec(node: Node, mark: str) -> Any:
    if isinstance(node, Composite):
        return _composite(node, mark)
    if isinstance(node, Elements):
        return (_spec(node.element, mark), (node.length,))
    if isinstance(node, Integer):
        return _integer(node, mark)
    if isinstance(node, Real):
        return f"{mark}f{node.size}"
    if isinstance(node, Partial):
        raise BtfError("NumPy has no bit-fields")
    return f"{'S' if isinstance(node, Text) else 'V'}{node.size}"


def _integer(node: Integer, mark: str) -> str:
    if node.wide:
        raise BtfError(f"NumPy has no integers of {node.size} bytes")
    if isinstance(node, Truth) and node.size == 1:
        return "?"
    return f"{mark}{'i' if node.signed else 'u'}{node.size}"


def _composite(node: Composite, mark: str) -> dict[str, Any]:
    if isinstance(node, Record) and node.tail is not None:
        raise BtfError(f"NumPy items have one size, {node.name} ends in a flexible array")
    columns = [column for field in node.fields for column in _columns(node, field, mark)]
    return {
        "names": [name for name, _, _ in columns],
        "formats": [spec for _, spec, _ in columns],
        "offsets": [offset for _, _, offset in columns],
        "itemsize": node.size,
    }


def _columns(node: Composite, field: Field, mark: str) -> list[tuple[str, Any, int]]:
    """Return (name, dtype, byte offset); the members of an anonymous union overlap one another, as in C."""
    offset = field.start // 8
    if field.bit_field:
        raise BtfError(f"NumPy has no bit-fields, {node.name}.{field.name} is one")
    if field.aliases is None or not isinstance(field.node, Composite):
        return [(field.name, _spec(field.node, mark), offset)]
    names = {inner: alias for alias, inner in field.aliases.items()}
    inner = [column for one in field.node.fields for column in _columns(field.node, one, mark)]
    return [(names.get(name, name), spec, offset + at) for name, spec, at in inner]
