"""The linker: layout, every relocation against the architecture's encoding, and what a flat blob can't have."""

from __future__ import annotations

import struct

import pytest

from ebpf.codegen.flat import LinkError, link
from tests.unit.codegen.elf_object import (
    AARCH64,
    CODE,
    COMMON,
    NOBITS,
    READ,
    UNDEFINED,
    WRITE,
    Section,
    write_object,
)


def test_code_first_then_data_each_at_its_alignment() -> None:
    data = Section(".rodata.cst16", b"D" * 16, READ, align=16)
    empty = Section(".data", b"", WRITE)
    code = Section(".text", b"C" * 5)
    cold = Section(".text.unlikely", b"c", align=2)
    flat = link(write_object([data, empty, code, cold], [("data", 1, 8), ("code", 3, 1), ("cold", 4, 0)]))
    assert flat.code == b"C" * 5 + b"\0" + b"c" + bytes(9) + b"D" * 16
    assert flat.symbols == {"code": 1, "cold": 6, "data": 24}


@pytest.mark.parametrize("kind", [2, 4])
def test_relative_of_x86_64(kind: int) -> None:
    code = Section(".text", bytes(16), relocations=[(3, 1, kind, -4)])
    flat = link(write_object([code, Section(".rodata", bytes(32), READ)], [("table", 2, 20)]))
    assert struct.unpack_from("<i", flat.code, 3) == (16 + 20 - 4 - 3,)


# After: what clang-19 assembles with the distance written out.
@pytest.mark.parametrize(
    ("kind", "before", "target", "after"),
    [
        (261, 0, 0x108, 0x104),  # .word target - .
        (274, 0x10000000, 0x109, 0x30000820),  # adr x0, .+0x105
        (275, 0x90000000, 0x5008, 0xB0000020),  # adrp x0, .+0x5000
        (277, 0x91000000, 0x5ABC, 0x912AF000),  # add x0, x0, #0xabc
        (278, 0x39400000, 0x5ABC, 0x396AF000),  # ldrb w0, [x0, #0xabc]
        (282, 0x14000000, 0x104, 0x14000040),  # b .+0x100
        (283, 0x94000000, 0x104, 0x94000040),  # bl .+0x100
        (284, 0x79400000, 0x5ABC, 0x79557800),  # ldrh w0, [x0, #0xabc]
        (285, 0xB9400000, 0x5ABC, 0xB94ABC00),  # ldr w0, [x0, #0xabc]
        (286, 0xF9400000, 0x5AB8, 0xF9455C00),  # ldr x0, [x0, #0xab8]
        (299, 0x3DC00000, 0x5AB0, 0x3DC2AC00),  # ldr q0, [x0, #0xab0]
    ],
)
def test_relocations_of_aarch64(kind: int, before: int, target: int, after: int) -> None:
    content = bytearray(0x6000)
    struct.pack_into("<I", content, 4, before)
    code = Section(".text", bytes(content), relocations=[(4, 1, kind, 0)])
    flat = link(write_object([code], [("target", 1, target)], machine=AARCH64))
    assert struct.unpack_from("<I", flat.code, 4) == (after,)


def test_backward() -> None:
    content = struct.pack("<8I", *[0] * 6, 0x94000000, 0x10000000)
    code = Section(".text", content, relocations=[(24, 1, 283, 0), (28, 1, 274, 0)])
    flat = link(write_object([code], [("start", 1, 0)], machine=AARCH64))
    assert struct.unpack_from("<2I", flat.code, 24) == (0x97FFFFFA, 0x10FFFF20)  # bl .-24; adr x0, .-28


def test_too_far() -> None:
    code = Section(".text", bytes((1 << 20) + 8), relocations=[(0, 1, 274, 0)])
    with pytest.raises(LinkError, match="a distance of 1048576 does not fit in 21 bits"):
        link(write_object([code], [("far", 1, 1 << 20)], machine=AARCH64))


@pytest.mark.parametrize(
    ("section", "symbols", "why"),
    [
        (Section(".data", b"1", WRITE), [], r"section \.data is not allowed"),
        (Section(".bss", b"1", WRITE, NOBITS), [], r"section \.bss is not allowed"),
        (Section(".eh_frame", b"1", READ), [], r"section \.eh_frame is not allowed"),
        (Section(".init_array", b"1", READ, 14), [], r"section \.init_array is not allowed"),
        (Section(".text", b"1"), [("b", UNDEFINED, 0), ("a", UNDEFINED, 0)], "not defined in the object: a, b"),
        (Section(".text", b"1"), [("shared", COMMON, 0)], "not defined in the object: shared"),
        (Section(".text", bytes(8), relocations=[(0, 1, 1, 0)]), [("f", 1, 0)], "relocation 1 to f is not relative"),
        (Section(".text", bytes(8), relocations=[(0, 1, 42, 0)]), [("f", 1, 0)], "relocation 42 to f is not relative"),
    ],
)  # fmt: skip
def test_what_a_blob_can_not_have(section: Section, symbols: list[tuple[str, int, int]], why: str) -> None:
    with pytest.raises(LinkError, match=why):
        link(write_object([section], symbols))


def test_what_is_not_loaded_does_not_matter() -> None:
    comment = Section(".comment", b"compiler", 0)
    assert link(write_object([comment, Section(".text", b"C")], [])).code == b"C"


@pytest.mark.parametrize("content", [b"", b"MZ" + bytes(100), b"\x7fELF" + bytes(60), write_object([], [], machine=8)])
def test_no_object(content: bytes) -> None:
    with pytest.raises(LinkError):
        link(content)


def test_cut_short() -> None:
    good = write_object([Section(".text", bytes(16), CODE, relocations=[(0, 1, 2, 0)])], [("f", 1, 0)])
    link(good)
    for length in range(len(good)):
        with pytest.raises(LinkError):
            link(good[:length])
