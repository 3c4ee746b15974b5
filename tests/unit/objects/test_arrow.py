"""Binary columns of Arrow: hand-made ones over the C data interface, and pyarrow's where that is installed."""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from ebpf.objects.arrow import _Array, _Schema, _Stream, binary_column
from ebpf.objects.packets import gather

VALUES = [b"one", b"", b"three", b"0123456789"]


RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def release_of(kind: type[_Array | _Schema | _Stream]) -> Any:
    """Return a function that releases a structure whose memory somebody else owns."""

    def release(structure: int) -> None:
        kind.from_address(structure).release = None

    return RELEASE(release)


RELEASES = {kind: release_of(kind) for kind in (_Array, _Schema, _Stream)}


def address_of_release(kind: type[_Array | _Schema | _Stream]) -> int | None:
    return ctypes.cast(RELEASES[kind], ctypes.c_void_p).value


def capsule(structure: ctypes.Structure, name: bytes) -> Any:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(ctypes.addressof(structure), name, None)


class Column:
    """An array as `__arrow_c_array__` gives it: the structures live as long as this."""

    def __init__(self, format_: str, buffers: Sequence[bytes | None], length: int, *, offset: int = 0, nulls: int = 0):
        self._format = format_.encode()
        self._buffers = [None if data is None else ctypes.create_string_buffer(data, len(data)) for data in buffers]
        addresses = [None if data is None else ctypes.addressof(data) for data in self._buffers]
        self._table = (ctypes.c_void_p * len(addresses))(*addresses)
        self._schema = _Schema(self._format, release=address_of_release(_Schema))
        self._array = _Array(length=length, null_count=nulls, offset=offset, n_buffers=len(buffers))
        self._array.release = address_of_release(_Array)
        self._array.buffers = ctypes.cast(self._table, ctypes.POINTER(ctypes.c_void_p))

    def __arrow_c_array__(self, requested: object = None) -> tuple[Any, Any]:
        return capsule(self._schema, b"arrow_schema"), capsule(self._array, b"arrow_array")


class Stream:
    """Columns of one type as `__arrow_c_stream__` gives them."""

    def __init__(self, *columns: Column) -> None:
        self._columns = columns
        self._left = [one._array for one in columns]
        self._stream = _Stream(release=address_of_release(_Stream))
        self._stream.get_schema = dict(_Stream._fields_)["get_schema"](self._get_schema)
        self._stream.get_next = dict(_Stream._fields_)["get_next"](self._get_next)

    def _get_schema(self, _stream: object, schema: Any) -> int:
        schema[0] = self._columns[0]._schema
        return 0

    def _get_next(self, _stream: object, chunk: Any) -> int:
        chunk[0] = self._left.pop(0) if self._left else _Array()
        return 0

    def __arrow_c_stream__(self, requested: object = None) -> Any:
        return capsule(self._stream, b"arrow_array_stream")


def edges(values: Iterable[bytes], code: str) -> bytes:
    found = array(code, [7])
    for value in values:
        found.append(found[-1] + len(value))
    return found.tobytes()


def column(format_: str = "z", code: str = "i", **options: Any) -> Column:
    content = b"unused!" + b"".join(VALUES)
    return Column(format_, [None, edges(VALUES, code), content], len(VALUES), **options)


def values(source: Any) -> list[bytes]:
    return [bytes(value) for value in gather(source)]


@pytest.mark.parametrize(("format_", "code"), [("z", "i"), ("Z", "q")])
def test_binary_columns(format_: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    assert values(column(format_, code)) == VALUES
    monkeypatch.delitem(sys.modules, "numpy")
    assert values(column(format_, code)) == VALUES


def test_a_slice_begins_at_its_offset() -> None:
    sliced = column(offset=1)
    sliced._array.length = 2
    assert values(sliced) == VALUES[1:3]


def test_values_of_a_fixed_size() -> None:
    assert values(Column("w:4", [None, b"aaaabbbbccccdddd"], 3, offset=1)) == [b"bbbb", b"cccc", b"dddd"]
    assert values(Column("w:0", [None, b""], 2)) == [b"", b""]


def test_nulls_are_no_packets() -> None:
    with pytest.raises(ValueError, match="has nulls"):
        binary_column(column(nulls=1))
    content = [b"\x0d", edges(VALUES, "i"), b"unused!" + b"".join(VALUES)]
    with pytest.raises(ValueError, match="has nulls"):
        binary_column(Column("z", content, 4, nulls=-1))
    assert values(Column("z", content, 2, offset=2, nulls=-1)) == VALUES[2:]


@pytest.mark.parametrize(("format_", "count"), [("z", 3), ("Z", 3), ("w:4", 2)])
def test_an_empty_column_needs_no_buffers(format_: str, count: int) -> None:
    assert values(Column(format_, [None] * count, 0)) == []
    with pytest.raises(TypeError, match="has no packets"):
        binary_column(Column("l", [None, None], 0))


def test_a_stream_is_read_to_its_end() -> None:
    assert values(Stream(column(), Column("z", [None] * 3, 0), column())) == VALUES * 2


@pytest.mark.parametrize("part", ["_array", "_schema"])
def test_a_capsule_that_somebody_has_read_is_refused(part: str) -> None:
    known = column()
    getattr(known, part).release = None  # as a reader leaves it that has moved the structure out
    with pytest.raises(ValueError, match=rf"'arrow{part}' of an Arrow column has been read already.*makes a new one"):
        binary_column(known)


def test_a_stream_is_read_once() -> None:
    known = Stream(column())
    assert values(known) == VALUES
    with pytest.raises(ValueError, match="'arrow_array_stream' of an Arrow column has been read already"):
        binary_column(known)


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="format 'l' has no packets: cast it to binary"):
        binary_column(Column("l", [None, bytes(64)], 8))


def test_columns_of_pyarrow() -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow")
    for kind in (pyarrow.binary(), pyarrow.large_binary()):
        assert values(pyarrow.array(VALUES, kind)) == VALUES
        assert values(pyarrow.array(VALUES, kind)[1:]) == VALUES[1:]
        assert values(pyarrow.chunked_array([VALUES[:1], [], VALUES[1:]], kind)) == VALUES
    assert values(pyarrow.array([b"ab", b"cd"], pyarrow.binary(2))) == [b"ab", b"cd"]
    with pytest.raises(ValueError, match="has nulls"):
        values(pyarrow.array([b"ab", None]))
    with pytest.raises(TypeError, match="has no packets"):
        values(pyarrow.array(["text"]))
