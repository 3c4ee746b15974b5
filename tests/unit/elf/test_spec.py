"""Specs: copies stand on their own, variables write into what will be loaded."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from ebpf.errors import ElfError, NotSupportedError, ObjectFileError
from ebpf.spec import CollectionSpec

OBJECTS = Path(__file__).parents[2] / "objects"


@pytest.fixture
def spec():
    return CollectionSpec.from_file(OBJECTS / "calls.o")


def test_a_path_a_file_and_bytes_are_the_same(spec):
    data = (OBJECTS / "calls.o").read_bytes()

    for other in (
        CollectionSpec.from_bytes(data),
        CollectionSpec.from_bytes(memoryview(bytearray(data))),
        CollectionSpec.from_file(io.BytesIO(data)),
        CollectionSpec.from_file(str(OBJECTS / "calls.o"), dialect="linux"),
    ):
        assert other.programs["first"].insns == spec.programs["first"].insns
        assert other.maps.keys() == spec.maps.keys()


def test_paths_and_bytes_are_not_mixed_up():
    with pytest.raises(TypeError, match=r"expected a path or an open binary file, got bytes: .* go to from_bytes\(\)"):
        CollectionSpec.from_file(b"\x7fELF")
    for path in ("calls.o", OBJECTS / "calls.o"):
        with pytest.raises(
            TypeError, match=rf"expected the bytes of an object, got {type(path).__name__}: paths go to"
        ):
            CollectionSpec.from_bytes(path)


def test_reading_is_deterministic(spec):
    again = CollectionSpec.from_file(OBJECTS / "calls.o")

    assert list(again.programs) == list(spec.programs)
    assert list(again.maps) == list(spec.maps)
    assert list(again.variables) == list(spec.variables)


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "empty.o"
    path.write_bytes(b"")

    with pytest.raises(ElfError) as caught:
        CollectionSpec.from_file(path)
    assert caught.value.path == str(path)
    assert str(caught.value).startswith(str(path))
    with pytest.raises(ObjectFileError, match=r"^mine, "):
        CollectionSpec.from_bytes(b"\x7fELF", name="mine")


def test_a_missing_file_is_an_operating_system_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        CollectionSpec.from_file(tmp_path / "none.o")


def test_dialects():
    with pytest.raises(NotSupportedError, match="Windows dialect"):
        CollectionSpec.from_bytes(b"", dialect="windows")
    with pytest.raises(ValueError, match="dialect is"):
        CollectionSpec.from_bytes(b"", dialect="bsd")


def test_variables_write_into_the_maps_contents(spec):
    variable = spec.variables["start"]

    variable.value = -3
    at = variable.offset
    assert spec.maps[".data"].contents[at : at + 4] == (-3).to_bytes(4, "little", signed=True)
    variable.raw = bytes(4)
    assert variable.value == 0
    with pytest.raises(ValueError, match="takes 4 bytes, got 5"):
        variable.raw = bytes(5)


def test_big_endian_variables_are_written_big_endian():
    spec = CollectionSpec.from_file(OBJECTS / "calls-eb.o")

    spec.variables["start"].value = 1
    assert spec.variables["start"].raw == b"\0\0\0\1"


def test_a_copy_stands_on_its_own(spec):
    other = spec.copy()
    other.variables["start"].value = 99
    other.programs["first"].insns.pop()
    other.maps[".data"].max_entries = 5
    other.maps["new"] = other.maps.pop(".bss")

    assert spec.variables["start"].value == 7
    assert other.variables["start"].value == 99
    assert other.variables["start"].map is other.maps[".data"]
    assert len(spec.programs["first"].insns) == len(other.programs["first"].insns) + 1
    assert (spec.maps[".data"].max_entries, ".bss" in spec.maps) == (1, True)
    assert other.types is spec.types
    assert other.maps[".data"].value == spec.maps[".data"].value


def test_a_copy_of_a_copy_keeps_inner_maps_and_contents():
    spec = CollectionSpec.from_file(OBJECTS / "maps.o")
    other = spec.copy().copy()
    other.maps["outer"].inner.max_entries = 77
    other.maps["outer"].contents.clear()
    other.maps["typed"].tags.append("third tag")

    assert (spec.maps["outer"].inner.max_entries, len(spec.maps["outer"].contents)) == (4, 2)
    assert spec.maps["typed"].tags == ["first tag", "second tag"]
    assert other.maps["typed"].key == spec.maps["typed"].key


def test_a_copy_after_a_map_was_renamed(spec):
    spec.maps["renamed"] = spec.maps.pop(".data")
    other = spec.copy()
    other.variables["start"].value = 1

    assert other.variables["start"].map is other.maps["renamed"]
    assert spec.variables["start"].value == 7


def test_zeros_without_contents_become_writable(spec):
    spec.maps[".bss"].contents = None

    assert spec.variables["counter"].raw == bytes(4)
    spec.variables["counter"].raw = b"\1\2\3\4"
    assert len(spec.maps[".bss"].contents) == spec.maps[".bss"].value_size
    assert spec.variables["counter"].raw == b"\1\2\3\4"
