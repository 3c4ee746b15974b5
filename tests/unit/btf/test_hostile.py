"""Damaged and malicious input: one BtfError, in bounded time and memory."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ebpf.btf import (
    Btf,
    Builder,
    Codec,
    ExtInfo,
    Kind,
    Struct,
    align_of,
    format_definition,
    format_header,
    format_raw,
    format_type,
    size_of,
    strip,
)
from ebpf.errors import BtfError
from tests.bounds import bounded
from tests.unit.btf.samples import every_kind

SAMPLE = every_kind().raw
_FIRST_TYPE = 24
_STRINGS = 24 + struct.unpack_from("<I", SAMPLE, 12)[0]


def explore(btf: Btf) -> None:
    """Ask everything of every type; only BtfError may come of it."""
    asks: list[Callable[..., object]] = [size_of, strip, align_of, format_type, format_definition, format_raw, _values]
    for whole in (lambda: list(btf), lambda: btf.find("event"), lambda: format_header(btf), lambda: btf.encode("big")):
        with suppress(BtfError):
            whole()
    for type_ in btf:
        for ask in asks:
            with suppress(BtfError):
                ask(type_)
    with suppress(BtfError):
        btf.with_datasecs({".data": (64, {"count": 8})})


def _values(type_: object) -> None:
    codec = Codec(type_)  # type: ignore[arg-type]
    if codec.size < 4096:
        data = bytes(codec.size)
        assert codec.encode(codec.decode(data)) == data


@pytest.mark.parametrize("data", [b"", b"\x9f", b"\x9f\xeb\1\0", bytes(24), b"\x7fELF" + bytes(60), b"\xff" * 100])
def test_what_is_not_btf(data: bytes) -> None:
    with pytest.raises(BtfError, match=r"section \.BTF, offset"):
        Btf.parse(data)


def test_truncation_anywhere() -> None:
    for length in range(len(SAMPLE)):
        with pytest.raises(BtfError, match=r"section \.BTF, offset"):
            Btf.parse(SAMPLE[:length])


_mutation = st.tuples(
    st.integers(1, (len(SAMPLE) - 4) // 4),
    st.one_of(
        st.integers(0, 64),
        st.sampled_from([0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x0000FFFF, 0x00FFFFFF]),
        st.integers(0, 31).map(lambda kind: kind << 24 | 1),
        st.integers(0, 31).map(lambda kind: kind << 24 | 0x8000FFFF),
        st.integers(0, 0xFFFFFFFF),
    ),
)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([(20, 0)], False)  # a bit-field whose type has no size
@given(st.lists(_mutation, min_size=1, max_size=6), st.booleans())
def test_mutated_words(mutations: list[tuple[int, int]], big: bool) -> None:
    data = bytearray(SAMPLE)
    for word, value in mutations:
        data[4 * word : 4 * word + 4] = value.to_bytes(4, "little")
    with suppress(BtfError):
        btf = Btf.parse(data)
        explore(btf)
        if big:
            assert Btf.parse(btf.encode("big")).encode("little") == btf.raw


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_random_types(body: bytes) -> None:
    body = body[: len(body) & ~3]
    head = struct.pack("<HBB5I", 0xEB9F, 1, 0, 24, 0, len(body), len(body), 8)
    with suppress(BtfError):
        explore(Btf.parse(head + body + b"\0abc\0de\0"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_extension(body: bytes) -> None:
    btf = every_kind()
    head = struct.pack("<HBBI", 0xEB9F, 1, 0, 32)
    with suppress(BtfError):
        ExtInfo.parse(head + body, btf)


@pytest.mark.parametrize("kind", [Kind.TYPEDEF, Kind.CONST, Kind.VOLATILE, Kind.RESTRICT, Kind.TYPE_TAG, Kind.VAR])
def test_types_that_refer_to_themselves(kind: Kind) -> None:
    b = Builder()
    record = {
        Kind.TYPEDEF: lambda: b.add_typedef("t", 1),
        Kind.CONST: lambda: b.add_const(1),
        Kind.VOLATILE: lambda: b.add_volatile(1),
        Kind.RESTRICT: lambda: b.add_restrict(1),
        Kind.TYPE_TAG: lambda: b.add_type_tag("t", 1),
        Kind.VAR: lambda: b.add_var("v", 1),
    }[kind]
    record()
    btf = b.build()
    asks: list[Callable[..., object]] = [size_of, Codec]
    for ask in asks:
        with pytest.raises(BtfError, match=r"contains itself|has no values"):
            ask(btf.by_id(1))
    explore(btf)


def test_structs_and_arrays_that_contain_themselves() -> None:
    b = Builder()
    b.add_struct("s", 8, [("s", b.next_id, 0)])
    b.add_array(b.next_id, 2, index=1)
    first = b.next_id
    b.add_struct("a", 8, [("b", first + 1, 0)])
    b.add_struct("b", 8, [("", first, 0)])
    b.add_union("u", 8, [("", b.next_id, 0)])
    btf = b.build()
    for type_ in btf:
        with pytest.raises(BtfError, match="contains itself"):
            Codec(type_)
    explore(btf)


def test_deep_nesting_reached_from_the_inside_is_still_too_deep() -> None:
    b = Builder()
    last = b.add_int("int", 4)
    for number in range(300):
        last = b.add_struct(f"s{number}", 4, [("in", last, 0)])
    btf = b.build()
    codecs = 0
    for type_ in btf:
        with suppress(BtfError):
            Codec(type_).decode(bytes(4))
            codecs += 1
    assert 20 < codecs <= 33
    bounded(lambda: explore(Btf.parse(btf.raw)), len(btf.raw))


def test_arrays_of_arrays_of_arrays() -> None:
    b = Builder()
    last = b.add_int("char", 1)
    for _ in range(3):
        last = b.add_array(last, 0xFFFFFFFF)
    empty = b.add_struct("empty", 0)
    many = b.add_array(b.add_array(empty, 0xFFFFFFFF), 0xFFFFFFFF)
    b.add_struct("holder", 0, [("many", many, 0)])
    btf = b.build()
    with pytest.raises(BtfError, match="more than 4 GiB"):
        size_of(btf.by_id(last))
    with pytest.raises(BtfError, match="values in 0 bytes"):
        Codec(btf.by_id(many))
    bounded(lambda: explore(Btf.parse(btf.raw)), len(btf.raw))


def test_a_huge_struct_costs_nothing_until_there_are_bytes() -> None:
    b = Builder()
    u32 = b.add_int("u32", 4)
    b.add_struct("huge", 0xFFFFFFFC, [("data", b.add_array(u32, 0x3FFFFFFF), 0)])
    btf = b.build()
    huge = btf.find("huge", Struct)
    assert huge is not None

    def look() -> None:
        codec = Codec(huge)
        assert codec.size == 0xFFFFFFFC
        with pytest.raises(BtfError, match="takes 4294967292 bytes, got 4"):
            codec.decode(bytes(4))

    bounded(look, len(btf.raw))


def test_doubling_types_stay_small() -> None:
    b = Builder()
    last = b.add_struct("", 0)
    for _ in range(31):
        last = b.add_struct("", 0, [("a", last, 0), ("b", last, 0)])
    b.add_struct("top", 0, [("", last, 0)])
    btf = b.build()
    bounded(lambda: explore(Btf.parse(btf.raw)), len(btf.raw))


def test_many_types_share_one_huge_name() -> None:
    count = 4000
    name = b"x" * 500_000
    for step in (0, 1):
        types = b"".join(struct.pack("<III", 1 + step * i, 8 << 24, 0) for i in range(count))
        strings = b"\0" + name + b"\0"
        raw = struct.pack("<HBB5I", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings

        def look(raw: bytes = raw) -> None:
            btf = Btf.parse(raw)
            assert btf.find("y") is None
            for type_ in btf:
                with suppress(BtfError):
                    _ = type_.name

        bounded(look, len(raw))


def test_many_copies_of_one_string() -> None:
    count = 30_000
    types = b"".join(struct.pack("<III", 1 + 2 * i, 8 << 24, 0) for i in range(count))
    strings = b"\0" + b"a\0" * count
    raw = struct.pack("<HBB5I", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings
    bounded(lambda: Btf.parse(raw).find_all("a"), len(raw))
    assert [type_.id for type_ in Btf.parse(raw).find_all("a")] == list(range(1, count + 1))


def test_counts_and_names_that_point_nowhere() -> None:
    def damaged(word: int, value: int) -> bytes:
        data = bytearray(SAMPLE)
        data[_FIRST_TYPE + 4 * word : _FIRST_TYPE + 4 * word + 4] = value.to_bytes(4, "little")
        return bytes(data)

    with pytest.raises(BtfError, match="past the end of the type section"):
        Btf.parse(damaged(1, Kind.STRUCT << 24 | 0xFFFF))
    with pytest.raises(BtfError, match="unknown kind 31"):
        Btf.parse(damaged(1, 31 << 24))
    btf = Btf.parse(damaged(0, 0x7FFFFFFF))
    for ask in (lambda: btf.by_id(1).name, lambda: btf.find("event")):
        with pytest.raises(BtfError, match=r"section \.BTF, offset 0x[0-9a-f]+: there is no string"):
            ask()


def test_what_libbpf_tolerates_is_tolerated() -> None:
    # Sections of size 0, bytes behind the string table, a longer header, nothing but void.
    b = Builder()
    b.add_datasec(".bss", 0, [(b.add_var("v", b.add_int("int", 4)), 0, 4)])
    assert len(Btf.parse(b.build().raw + bytes(100))) == 3
    long_header = struct.pack("<HBB5I", 0xEB9F, 1, 0, 32, 0, 0, 0, 1) + bytes(8) + b"\0"
    assert len(Btf.parse(long_header)) == 0
    assert Btf.parse(Btf.parse(long_header).encode("big")).encode("little") == long_header
