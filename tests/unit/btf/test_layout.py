"""Size, alignment and what hides under typedefs."""

from __future__ import annotations

import pytest

from ebpf.btf import Builder, Struct, Type, align_of, bit_span, size_of, strip
from ebpf.btf.layout import is_packed
from ebpf.errors import BtfError
from tests.unit.btf.samples import every_kind


def made(b: Builder, id_: int) -> Type:
    return b.build().by_id(id_)


def test_sizes() -> None:
    btf = every_kind()
    sizes = {"unsigned int": 4, "event": 32, "color": 4, "wide": 8, "__u32": 4, "count": 8, ".data": 12, "double": 8}
    for name, size in sizes.items():
        type_ = btf.find(name)
        assert type_ is not None
        assert size_of(type_) == size, name
    b = Builder()
    grid = b.add_array(b.add_array(b.add_pointer(0), 3), 5)
    assert size_of(made(b, grid)) == 120
    assert size_of(made(b, grid), pointer_size=4) == 60


@pytest.mark.parametrize("name", ["handler", "opaque", "hot"])
def test_what_has_no_size(name: str) -> None:
    type_ = every_kind().find(name)
    assert type_ is not None
    with pytest.raises(BtfError, match="has no size"):
        size_of(type_)


def test_strip_goes_through_names_and_qualifiers() -> None:
    b = Builder()
    number = b.add_int("int", 4)
    wrapped = b.add_typedef("t", b.add_const(b.add_volatile(b.add_type_tag("user", number))))
    assert strip(made(b, wrapped)).name == "int"
    assert strip(made(b, number)).name == "int"


@pytest.mark.parametrize("length", [31, 32, 10_000])
def test_chains_are_followed_as_far_as_the_kernel_does(length: int) -> None:
    b = Builder()
    last = b.add_int("int", 4)
    for _ in range(length):
        last = b.add_const(last)
    type_ = made(b, last)
    if length < 32:
        assert strip(type_).name == "int"
        assert size_of(type_) == 4
        return
    for ask in (strip, size_of, align_of):
        with pytest.raises(BtfError, match="contains itself or is nested more than 32 deep"):
            ask(type_)


def test_alignment_and_packing() -> None:
    b = Builder()
    u8, u32 = b.add_int("u8", 1), b.add_int("u32", 4)
    tight = made(b, b.add_struct("tight", 5, [("a", u8, 0), ("b", u32, 8)]))
    loose = made(b, b.add_struct("loose", 8, [("a", u8, 0), ("b", u32, 32)]))
    odd = made(b, b.add_struct("odd", 5, [("a", u32, 0), ("b", u8, 32)]))
    assert isinstance(tight, Struct)
    assert isinstance(loose, Struct)
    assert isinstance(odd, Struct)
    assert [is_packed(type_) for type_ in (tight, loose, odd)] == [True, False, True]
    assert [align_of(type_) for type_ in (tight, loose, odd)] == [1, 4, 1]
    assert align_of(made(b, b.add_int("wide", 16))) == 8


def test_both_encodings_of_bit_fields() -> None:
    b = Builder()
    old, plain = b.add_int("int", 4, bits=3, bit_offset=2), b.add_int("int", 4)
    first = made(b, b.add_struct("old", 4, [("a", old, 8), ("b", plain, 0)]))
    second = made(b, b.add_struct("new", 4, [("a", plain, 10, 3), ("b", plain, 0, 0)]))
    assert isinstance(first, Struct)
    assert isinstance(second, Struct)
    for type_ in (first, second):
        assert [bit_span(member) for member in type_.members] == [(10, 3), (0, 0)]
