"""Binary columns of Arrow, taken over the C data interface: no Arrow library is needed (arrow.apache.org, format)."""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Iterator
from typing import Any, TypeVar

from ebpf.objects.spans import spans
from ebpf.runtime.joined import JoinedPackets


class _Schema(ctypes.Structure):
    """struct ArrowSchema."""

    _fields_ = (
        ("format", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("metadata", ctypes.c_void_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class _Array(ctypes.Structure):
    """struct ArrowArray."""

    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class _Stream(ctypes.Structure):
    """struct ArrowArrayStream."""


_Stream._fields_ = (
    ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Schema))),
    ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Array))),
    ("get_last_error", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
)

_Struct = TypeVar("_Struct", _Schema, _Array, _Stream)

_OFFSETS = {b"z": ctypes.c_int32, b"Z": ctypes.c_int64}
"""Formats of binary and large binary → type of their offsets."""


def binary_column(column: Any) -> JoinedPackets:
    """Copy a column of type binary, large_binary or fixed_size_binary.

    Raises TypeError for other types, ValueError where a value is null or somebody has read the column's capsules.
    """
    lengths, data = array("Q"), bytearray()
    for chunk, format_ in _chunks(column):
        sizes, content = _values(chunk, format_)
        lengths.extend(sizes)
        data += content
    return JoinedPackets(memoryview(data), lengths)


def _chunks(column: Any) -> Iterator[tuple[_Array, bytes]]:
    if hasattr(column, "__arrow_c_array__"):
        schema, content = column.__arrow_c_array__()
        # The capsules own the structures, and release them.
        yield _content(content, b"arrow_array", _Array), _format(_content(schema, b"arrow_schema", _Schema))
        return
    capsule = column.__arrow_c_stream__()
    stream = _content(capsule, b"arrow_array_stream", _Stream)
    try:
        yield from _streamed(stream)
    finally:
        _release(stream)


def _streamed(stream: _Stream) -> Iterator[tuple[_Array, bytes]]:
    schema = _Schema()
    _asked(stream.get_schema(stream, schema))
    try:
        while True:
            chunk = _Array()
            _asked(stream.get_next(stream, chunk))
            if not chunk.release:
                return
            try:
                yield chunk, _format(schema)
            finally:
                _release(chunk)
    finally:
        _release(schema)


def _release(structure: _Schema | _Array | _Stream) -> None:
    if structure.release:
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(structure.release)(ctypes.addressof(structure))


def _asked(error: int) -> None:
    if error:
        raise OSError(error, "the Arrow stream gives no data")


def _content(capsule: Any, name: bytes, kind: type[_Struct]) -> _Struct:
    """Return the structure in a capsule. It is released once a reader has moved it out, and its memory is gone."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    content = kind.from_address(get(capsule, name))
    if not content.release:
        raise ValueError(
            f"the capsule {name.decode()!r} of an Arrow column has been read already, which can be done once: pass a "
            "column that makes a new one"
        )
    return content


def _format(schema: _Schema) -> bytes:
    return bytes(schema.format or b"")


def _values(chunk: _Array, format_: bytes) -> tuple[array[int], bytes]:
    """Return the sizes of the values, and their bytes one behind the other."""
    width = _OFFSETS.get(format_)
    if width is None and not format_.startswith(b"w:"):
        raise TypeError(
            f"an Arrow column of format {format_.decode()!r} has no packets: cast it to binary, large_binary or "
            "fixed_size_binary"
        )
    count = chunk.length
    if not count:
        return array("Q"), b""  # it needs no buffers
    if _nulls(chunk):
        raise ValueError("the Arrow column has nulls, which are no packets: drop or fill them")
    if width is None:
        size = int(format_[2:])
        return array("Q", [size]) * count, _memory(chunk.buffers[1], chunk.offset * size, count * size)
    edges = (width * (count + 1)).from_address(chunk.buffers[1] + ctypes.sizeof(width) * chunk.offset)
    numpy = sys.modules.get("numpy")
    first, end, sizes = spans(edges[:] if numpy is None else numpy.frombuffer(edges, width))
    return sizes, _memory(chunk.buffers[2], first, end - first)


def _nulls(chunk: _Array) -> bool:
    if chunk.null_count >= 0 or not chunk.buffers[0]:
        return bool(chunk.null_count > 0)
    # -1: nobody has counted. A bit of 0 is a null.
    bits = _memory(chunk.buffers[0], 0, -(-(chunk.offset + chunk.length) // 8))
    return any(not bits[i >> 3] >> (i & 7) & 1 for i in range(chunk.offset, chunk.offset + chunk.length))


def _memory(address: int | None, start: int, size: int) -> bytes:
    return ctypes.string_at(address + start, size) if address and size else b""
