"""What values look like in Python, case by case."""

from __future__ import annotations

import dataclasses
import struct
from enum import IntEnum
from typing import Any

import numpy
import pytest

from ebpf.btf import Btf, Builder, Codec, IntEncoding, Struct
from ebpf.errors import BtfError
from tests.unit.btf.samples import every_kind


def codec_of(builder: Builder, id_: int, order: str = "little", **options: Any) -> Codec:
    return Codec(builder.build(order).by_id(id_), byte_order=order, **options)  # type: ignore[arg-type]


def event_codec() -> Codec:
    event = every_kind().find("event", Struct)
    assert event is not None
    return Codec(event)


def number(size: int, *, signed: bool = False, order: str = "little", encoding: IntEncoding | None = None) -> Codec:
    b = Builder()
    return codec_of(b, b.add_int("number", size, signed=signed, encoding=encoding), order)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 16])
@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("signed", [False, True])
def test_integers(size: int, order: Any, signed: bool) -> None:
    codec = number(size, signed=signed, order=order)
    low = -(1 << 8 * size - 1) if signed else 0
    high = low + (1 << 8 * size) - 1
    for value in (low, high, 1, 0x55):
        data = value.to_bytes(size, order, signed=signed)
        assert codec.decode(data) == value
        assert codec.encode(value) == data
    for value in (low - 1, high + 1):
        with pytest.raises(BtfError, match=f"{value} is out of range, {low} to {high} fit"):
            codec.encode(value)
    assert codec.python_type is int


def test_values_of_the_wrong_class_are_refused() -> None:
    for value in ("1", 1.0, None, [1]):
        with pytest.raises(BtfError, match="takes an int, got"):
            number(4).encode(value)


def test_wrong_lengths_are_refused() -> None:
    with pytest.raises(BtfError, match=r"takes 4 bytes, got 3"):
        number(4).decode(b"abc")
    with pytest.raises(BtfError, match=r"Struct 'event' \(id \d+\) takes 32 bytes, got 33"):
        event_codec().decode(bytes(33))


def test_booleans_that_are_neither() -> None:
    codec = number(1, encoding=IntEncoding.BOOL)
    assert [codec.decode(bytes([n])) for n in (0, 1, 2)] == [False, True, 2]
    assert codec.decode(b"\1") is True
    assert codec.encode(2) == b"\2"
    assert codec.encode(True) == b"\1"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"bash\0\0", "bash"),
        (b"\0" * 6, ""),
        ("grün\0".encode(), "grün"),
        (b"bash\0x", b"bash\0x"),
        (b"sixsix", b"sixsix"),
        (b"\xff\xfe\0\0\0\0", b"\xff\xfe\0\0\0\0"),
    ],
)
def test_text(data: bytes, value: str | bytes) -> None:
    b = Builder()
    codec = codec_of(b, b.add_array(b.add_int("char", 1, signed=True), 6))
    assert codec.decode(data) == value
    assert codec.encode(value) == data


def test_text_that_does_not_fit() -> None:
    b = Builder()
    codec = codec_of(b, b.add_array(b.add_int("char", 1, signed=True), 4))
    assert codec.encode(b"ab") == b"ab\0\0"
    for value, reason in [
        ("abcd", "3 and a NUL"),
        (b"abcde", "up to 4"),
        ("a\0b", "NUL"),
        ("\ud800", "UTF-8"),
        (1, "str"),
    ]:
        with pytest.raises(BtfError, match=reason):
            codec.encode(value)


def test_enumerations() -> None:
    b = Builder()
    codec = codec_of(b, b.add_enum("verdict", {"DROP": 1, "PASS": 2, "class": 3, "mro": 4, "_x_": 5, "___y": 6}))
    verdict = codec.decode(struct.pack("<I", 2))
    assert isinstance(verdict, IntEnum)
    assert repr(verdict) == "<verdict.PASS: 2>"
    assert codec.decode(struct.pack("<I", 77)) == 77
    assert type(codec.decode(struct.pack("<I", 77))) is int
    assert codec.encode(verdict) == codec.encode(2) == codec.encode("PASS")
    assert [member.name for member in codec.python_type] == ["DROP", "PASS", "class_", "mro_", "_x__", "___y"]
    with pytest.raises(BtfError, match="no enumerator 'NONE'"):
        codec.encode("NONE")


def test_floats_keep_their_bits() -> None:
    for size, code in ((2, "e"), (4, "f"), (8, "d")):
        b = Builder()
        codec = codec_of(b, b.add_float("real", size))
        assert codec.decode(struct.pack(f"<{code}", 1.5)) == 1.5
        # Quiet and signalling NaNs with payloads, infinity, the negative zero.
        for top in (b"\xf0\x7f", b"\xf8\x7f", b"\x80\x7f", b"\xc0\xff", b"\0\x7c", b"\1\x7c", b"\0\x80"):
            pattern = b"\x01" * (size - 2) + top
            assert codec.encode(codec.decode(pattern)) == pattern
    b = Builder()
    wide = codec_of(b, b.add_float("long double", 16))
    assert wide.decode(bytes(range(16))) == bytes(range(16))
    with pytest.raises(BtfError, match="takes 16 bytes"):
        wide.encode(1.0)


def test_structs_are_frozen_slotted_dataclasses() -> None:
    codec = event_codec()
    value = codec.decode(struct.pack("<Ii16sQ", 7, 1, b"bash", 9))
    assert dataclasses.is_dataclass(value)
    assert repr(value) == "event(pid=7, color=<color.GREEN: 1>, comm='bash', ns=9)"
    assert type(value) is codec.python_type
    assert value == codec.python_type(7, 1, "bash", 9)
    assert hash(value) == hash(codec.python_type(7, 1, "bash", 9))
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.pid = 8
    assert not hasattr(value, "__dict__")
    assert dataclasses.replace(value, pid=8).pid == 8


def test_structs_encode_from_many_shapes() -> None:
    codec = event_codec()
    wanted = struct.pack("<Ii16sQ", 7, 1, b"bash", 9)
    members = {"pid": 7, "color": "GREEN", "comm": "bash", "ns": 9}
    for value in (codec.decode(wanted), members, tuple(members.values()), wanted, dataclasses.make_dataclass(
        "Other", list(members))(**members)):  # fmt: skip
        assert codec.encode(value) == wanted


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"pid": 1}, r"missing: color, comm, ns"),
        ({"pid": 1, "color": 0, "comm": "", "ns": 0, "uid": 1}, "unknown: uid"),
        ([1, 2], r"has 4 members \(pid, color, comm, ns\), got 2 values"),
        ({"pid": -1, "color": 0, "comm": "", "ns": 0}, r"pid: -1 is out of range, 0 to 4294967295 fit"),
        ({"pid": 1, "color": 0, "comm": "x" * 16, "ns": 0}, r"comm: text of 16 bytes"),
        (3, "takes a event, a mapping or a sequence, got int"),
        (b"123", "takes 32 bytes, got 3"),
    ],
)
def test_what_does_not_fit_a_struct_is_named(value: Any, reason: str) -> None:
    with pytest.raises(BtfError, match=reason):
        event_codec().encode(value)


def test_the_path_to_a_wrong_value() -> None:
    b = Builder()
    u8 = b.add_int("u8", 1)
    inner = b.add_struct("inner", 2, [("lo", u8, 0), ("hi", u8, 8)])
    outer = b.add_struct("outer", 4, [("pairs", b.add_array(inner, 2), 0)])
    with pytest.raises(BtfError, match=r"Struct 'outer' \(id \d+\), pairs\[1\]\.hi: 256 is out of range"):
        codec_of(b, outer).encode({"pairs": [(1, 2), (3, 256)]})


def test_names_that_python_reserves() -> None:
    b = Builder()
    u8 = b.add_int("u8", 1)
    names = ["class", "__init__", "__sk_common", "match", "Option<u8>", "", "class_"]
    id_ = b.add_struct("def", len(names), [(name, u8, 8 * at) for at, name in enumerate(names)])
    codec = codec_of(b, id_)
    value = codec.decode(bytes(range(len(names))))
    fields = [field.name for field in dataclasses.fields(value)]
    assert fields == ["class_", "__init___", "__sk_common", "match", "Option_u8_", "_", "class__"]
    assert getattr(value, "__sk_common") == 2
    assert codec.python_type.__name__ == "def_"


def bits_builder(*, old: bool) -> tuple[Builder, int]:
    b = Builder()
    if old:
        small, large = b.add_int("int", 4, bits=3), b.add_int("int", 4, signed=True, bits=5)
        return b, b.add_struct("bits", 4, [("a", small, 0), ("b", large, 3), ("c", b.add_int("u16", 2), 16)])
    u32, s32 = b.add_int("u32", 4), b.add_int("int", 4, signed=True)
    return b, b.add_struct("bits", 4, [("a", u32, 0, 3), ("b", s32, 3, 5), ("c", b.add_int("u16", 2), 16, 0)])


@pytest.mark.parametrize("old", [False, True])
def test_bit_fields(old: bool) -> None:
    b, id_ = bits_builder(old=old)
    # a = 5, b = -2: 0b11110_101 from the low end, 0b101_11110 from the high end
    for order, first in (("little", 0b11110_101), ("big", 0b101_11110)):
        codec = codec_of(b, id_, order)
        data = bytes([first, 0]) + (0x1234).to_bytes(2, order)  # type: ignore[arg-type]
        value = codec.decode(data)
        assert (value.a, value.b, value.c) == (5, -2, 0x1234)
        assert codec.encode(value) == data
        assert codec.decode(bytes([first, 0xFF]) + data[2:]) == value
        with pytest.raises(BtfError, match="a: 8 is out of range, 0 to 7 fit"):
            codec.encode((8, 0, 0))


def test_unions_keep_their_bytes() -> None:
    b = Builder()
    u32, u8 = b.add_int("u32", 4), b.add_int("u8", 1)
    codec = codec_of(b, b.add_union("either", 4, [("word", u32, 0), ("octets", b.add_array(u8, 4), 0)]))
    value = codec.decode(b"\1\2\3\4")
    assert (value.word, value.octets, value.raw) == (0x04030201, (1, 2, 3, 4), b"\1\2\3\4")
    assert repr(value) == "either(word=67305985, octets=(1, 2, 3, 4))"
    for source in (value, {"word": 0x04030201}, {"octets": [1, 2, 3, 4]}, b"\1\2\3\4"):
        assert codec.encode(source) == b"\1\2\3\4"
    assert {value: 1}[codec.decode(b"\1\2\3\4")] == 1
    with pytest.raises(BtfError, match="octets contradicts"):
        codec.encode({"word": 1, "octets": [2, 0, 0, 0]})
    with pytest.raises(BtfError, match="takes one of word, octets; got dword"):
        codec.encode({"dword": 1})


def test_anonymous_members_are_attributes_of_the_struct() -> None:
    b = Builder()
    u32, u8 = b.add_int("u32", 4), b.add_int("u8", 1)
    pair = b.add_struct("", 2, [("lo", u8, 0), ("hi", u8, 8)])
    either = b.add_union("", 4, [("word", u32, 0), ("", pair, 0)])
    inner = b.add_struct("", 4, [("x", u32, 0)])
    codec = codec_of(b, b.add_struct("outer", 12, [("", inner, 0), ("", either, 32), ("y", u32, 64)]))
    value = codec.decode(struct.pack("<III", 1, 0x0203, 4))
    assert (value.x, value.word, value.lo, value.hi, value.y) == (1, 0x0203, 3, 2, 4)
    assert repr(value) == "outer(x=1, word=515, lo=3, hi=2, y=4)"
    data = struct.pack("<III", 1, 0x0203, 4)
    assert codec.encode({"x": 1, "word": 0x0203, "y": 4}) == data
    assert codec.encode({"x": 1, "lo": 3, "hi": 2, "y": 4}) == data
    assert codec.encode(value) == data
    with pytest.raises(BtfError, match="missing: one of word, lo, hi"):
        codec.encode({"x": 1, "y": 4})


def test_flexible_arrays_take_the_rest() -> None:
    b = Builder()
    u32, u16, char = b.add_int("u32", 4), b.add_int("u16", 2), b.add_int("char", 1, signed=True)
    words = codec_of(b, b.add_struct("words", 4, [("n", u32, 0), ("data", b.add_array(u16, 0), 32)]))
    assert words.flexible
    assert words.decode(struct.pack("<IHH", 2, 7, 8)).data == (7, 8)
    assert words.decode(struct.pack("<I", 0)).data == ()
    assert words.encode((2, [7, 8])) == struct.pack("<IHH", 2, 7, 8)
    for length in (3, 5):
        with pytest.raises(BtfError, match="takes at least 4, in whole elements of 2, bytes"):
            words.decode(bytes(length))
    text = codec_of(b, b.add_struct("text", 4, [("n", u32, 0), ("data", b.add_array(char, 0), 32)]))
    for rest, value in ((b"hi\0", "hi"), (b"hi\0\0", b"hi\0\0"), (b"hi", b"hi"), (b"", b"")):
        assert text.decode(bytes(4) + rest).data == value
        assert text.encode((0, value)) == bytes(4) + rest


def test_a_flexible_array_may_begin_in_the_padding() -> None:
    b = Builder()
    u64, u8 = b.add_int("u64", 8), b.add_int("u8", 1)
    triple = b.add_array(u8, 3)
    codec = codec_of(b, b.add_struct("s", 16, [("a", u64, 0), ("b", u8, 64), ("data", b.add_array(triple, 0), 72)]))
    assert codec.decode(bytes(16)).data == ()
    assert codec.decode(bytes(9) + b"\1\2\3\4\5\6\0").data == ((1, 2, 3), (4, 5, 6))
    assert codec.encode((0, 0, [])) == bytes(16)


def test_members_that_overlap_make_a_struct_like_a_union() -> None:
    b = Builder()
    u32, u16 = b.add_int("u32", 4), b.add_int("u16", 2)
    codec = codec_of(b, b.add_struct("odd", 4, [("word", u32, 0), ("high", u16, 16)]))
    value = codec.decode(struct.pack("<I", 0x00010002))
    assert (value.word, value.high) == (0x00010002, 1)
    assert codec.encode(value) == struct.pack("<I", 0x00010002)


def test_pointers_of_other_machines() -> None:
    b = Builder()
    pointer = b.add_pointer(0)
    assert codec_of(b, pointer).decode(b"\xff" * 8) == (1 << 64) - 1
    assert codec_of(b, pointer, "big", pointer_size=4).decode(b"\0\0\1\2") == 0x102


def test_variables_and_sections_decode_too() -> None:
    btf = every_kind()
    data = btf.find(".data")
    count = btf.find("count")
    assert data is not None
    assert count is not None
    assert Codec(count).decode(struct.pack("<Q", 5)) == 5
    value = Codec(data).decode(struct.pack("<QI", 5, 6))
    assert (value.count, value.limit) == (5, 6)


def test_types_without_values_are_refused() -> None:
    btf = every_kind()
    for name in ("handler", "opaque", "hot"):
        type_ = btf.find(name)
        assert type_ is not None
        with pytest.raises(BtfError, match="has no values"):
            Codec(type_)
    with pytest.raises(BtfError, match="has no values"):
        Codec(btf.by_id(0))


def test_numpy_sees_the_same_values() -> None:
    codec = event_codec()
    rows = [struct.pack("<Ii16sQ", n, n % 3, b"task%d" % n, n << 40) for n in range(5)]
    table = numpy.frombuffer(b"".join(rows), dtype=codec.dtype)
    assert codec.dtype.itemsize == codec.size
    for row, raw in zip(table, rows, strict=True):
        value = codec.decode(raw)
        assert (row["pid"], row["color"], row["comm"].decode(), row["ns"]) == (
            value.pid, value.color, value.comm, value.ns)  # fmt: skip


def test_numpy_overlays_anonymous_unions_and_knows_byte_order() -> None:
    b = Builder()
    u32, u16 = b.add_int("u32", 4), b.add_int("u16", 2)
    either = b.add_union("", 4, [("word", u32, 0), ("halves", b.add_array(u16, 2), 0)])
    codec = codec_of(b, b.add_struct("s", 8, [("n", u32, 0), ("", either, 32)]), "big")
    (row,) = numpy.frombuffer(struct.pack(">II", 1, 0x20003), dtype=codec.dtype)
    assert (row["n"], row["word"], row["halves"].tolist()) == (1, 0x20003, [2, 3])


def test_numpy_refusals_say_why() -> None:
    b, bits = bits_builder(old=False)
    wide = b.add_int("wide", 16)
    tail = b.add_struct("tail", 0, [("data", b.add_array(wide, 0), 0)])
    for id_, reason in ((bits, "no bit-fields, bits.a is one"), (wide, "no integers of 16 bytes"), (tail, "flexible")):
        with pytest.raises(BtfError, match=reason):
            _ = codec_of(b, id_).dtype


def test_one_type_has_one_class() -> None:
    btf = every_kind()
    event = btf.find("event", Struct)
    assert event is not None
    assert Codec(event).python_type is Codec(event).python_type
    assert Codec(event).decode(bytes(32)) == Codec(event).decode(bytes(32))
    assert isinstance(btf, Btf)
