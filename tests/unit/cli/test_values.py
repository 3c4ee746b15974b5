"""How decoded values are shown."""

from __future__ import annotations

import json

import pytest

from ebpf.btf import Builder, ByteTuple, Codec
from ebpf.cli.values import brief, plain
from ebpf.objects.percpu import PerCpu


def test_numbers_of_many_cpus_are_no_bytes() -> None:
    counts = PerCpu([1, 0, 0, 0, 0, 0, 0, 7])
    assert brief(counts) == "[1 0 0 0 0 0 0 7]"
    assert brief(PerCpu([ByteTuple((1, 2, 3, 4, 255))] * 2)) == "[01020304ff 01020304ff]"
    assert json.dumps(plain(counts)) == "[1, 0, 0, 0, 0, 0, 0, 7]"


@pytest.mark.parametrize(
    ("size", "signed", "shown"),
    [(1, False, "0000000000ff"), (1, True, "[0 0 0 0 0 -1]"), (8, False, "[0 0 0 0 0 255]")],
)
def test_what_an_array_is_of_decides_how_it_is_shown(size: int, signed: bool, shown: str) -> None:
    codec = array_of(size, 6, signed=signed)
    value = codec.decode(bytes(5 * size) + (-1 if signed else 255).to_bytes(size, "little", signed=signed))
    assert brief(value) == shown
    assert json.loads(json.dumps(plain(value))) == list(value)
    assert codec.encode(value) == codec.encode(list(value))


def test_zeros_are_shown_like_what_is_counted_later() -> None:
    histogram = array_of(8, 27)
    assert brief(histogram.decode(bytes(8 * 27))) == "[" + " ".join("0" * 27) + "]"


def test_bytes_are_hex() -> None:
    assert (brief(ByteTuple(b"\xde\xad\xbe\xef\0")), brief(b"\xff"), brief(ByteTuple(b"\1\2"))) == (
        "deadbeef00",
        "ff",
        "[1 2]",
    )


def array_of(size: int, length: int, *, signed: bool = False) -> Codec:
    builder = Builder()
    element = builder.add_int("number", size, signed=signed)
    array = builder.add_array(element, length)
    return Codec(builder.build().by_id(array))
