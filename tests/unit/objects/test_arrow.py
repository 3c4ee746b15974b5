"""Binary columns of Arrow: hand-made ones over the C data interface, and pyarrow's where that is installed."""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from ebpf.objects.arrow import _Array, _Schema, binary_column
from ebpf.objects.packets import gather

VALUES = [b"one", b"", b"three", b"0123456789"]


class Column:
    """An array as `__arrow_c_array__` gives it: the structures live as long as this."""

    def __init__(self, format_: str, buffers: Sequence[bytes | None], length: int, *, offset: int = 0, nulls: int = 0):
        self._format = format_.encode()
        self._buffers = [None if data is None else ctypes.create_string_buffer(data, len(data)) for data in buffers]
        addresses = [None if data is None else ctypes.addressof(data) for data in self._buffers]
        self._table = (ctypes.c_void_p * len(addresses))(*addresses)
        self._schema = _Schema(self._format, None)
        self._array = _Array(length=length, null_count=nulls, offset=offset, n_buffers=len(buffers))
        self._array.buffers = ctypes.cast(self._table, ctypes.POINTER(ctypes.c_void_p))

    def __arrow_c_array__(self, requested: object = None) -> tuple[Any, Any]:
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return (
            new(ctypes.addressof(self._schema), b"arrow_schema", None),
            new(ctypes.addressof(self._array), b"arrow_array", None),
        )


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
