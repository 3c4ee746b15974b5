"""The `.BTF.ext` section and the records for PROG_LOAD."""

from __future__ import annotations

import struct

import pytest

from ebpf.btf import (
    Btf,
    Builder,
    CoreKind,
    CoreRelocation,
    ExtInfo,
    FuncRecord,
    Line,
    encode_func_info,
    encode_line_info,
)
from ebpf.errors import BtfError


def blob(order: str = "little") -> Btf:
    b = Builder()
    for text in ("xdp", "tc", "a.c", "return 0;", "0:1:2"):
        b.add_string(text)
    b.add_int("int", 4)
    return b.build(order)  # type: ignore[arg-type]


def info(btf: Btf) -> ExtInfo:
    return ExtInfo(
        btf,
        funcs={"xdp": [FuncRecord(0, 1), FuncRecord(64, 1)], "tc": [FuncRecord(0, 1)]},
        lines={"xdp": [Line(0, 8, 12, 70_000, 1023), Line(8, 8, 12, 4, 2)]},
        cores={"tc": [CoreRelocation(8, 1, "0:1:2", CoreKind.FIELD_EXISTS), CoreRelocation(16, 1, "0:1:2", 99)]},
    )


@pytest.mark.parametrize("order", ["little", "big"])
def test_what_is_written_is_read(order: str) -> None:
    wanted = info(blob(order))
    assert ExtInfo.parse(wanted.encode(), wanted.btf) == wanted
    other = "big" if order == "little" else "little"
    assert ExtInfo.parse(wanted.encode(other), wanted.btf) == wanted  # type: ignore[arg-type]
    assert ExtInfo.parse(ExtInfo(wanted.btf).encode(), wanted.btf) == ExtInfo(wanted.btf)


def test_headers_without_core_records_and_longer_records() -> None:
    btf = blob()
    name = btf.string_offset("xdp")
    # Header of 24 bytes (before CO-RE), records of 12 bytes, of which 8 are known.
    table = struct.pack("<IIIIII", 12, name, 1, 24, 1, 0xAAAA)
    data = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(table), len(table), 0) + table
    assert ExtInfo.parse(data, btf).funcs == {"xdp": [(24, 1)]}
    assert ExtInfo.parse(data, btf).cores == {}


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, 0, "magic"),
        (4, 4096, "header's length"),
        (12, 1 << 31, "a table lies at"),
        (32, 6, "records have 6 bytes"),
        (36, 9999, "no string at offset"),
        (40, 1 << 30, "don't fit"),
        (40, 0, "don't fit"),
    ],
)
def test_damage_is_located(at: int, value: int, reason: str) -> None:
    btf = blob()
    data = bytearray(info(btf).encode())
    data[at : at + 4] = value.to_bytes(4, "little")
    with pytest.raises(BtfError, match=reason):
        ExtInfo.parse(data, btf)


def test_truncation_anywhere_is_an_error_or_less_information() -> None:
    btf = blob()
    whole = info(btf).encode()
    for length in range(len(whole)):
        with pytest.raises(BtfError):
            ExtInfo.parse(whole[:length], btf)


def test_records_for_the_kernel() -> None:
    for order, mark in (("little", "<"), ("big", ">")):
        btf = blob(order)
        assert encode_func_info([(0, 1), (8, 1)], btf) == struct.pack(f"{mark}4I", 0, 1, 8, 1)
        rows: list[tuple[int, int | str, int | str, int, int]] = [
            (0, "a.c", "return 0;", 7, 3),
            (2, 5, "gone", 8, 4096),
        ]
        file, text = btf.string_offset("a.c"), btf.string_offset("return 0;")
        wanted = struct.pack(f"{mark}8I", 0, file, text, 7 << 10 | 3, 2, 5, 0, 8 << 10 | 1023)
        assert encode_line_info(rows, btf) == wanted


def test_names_must_be_in_the_string_table() -> None:
    btf = blob()
    with pytest.raises(BtfError, match="'kprobe' is not in the string table"):
        ExtInfo(btf, funcs={"kprobe": [FuncRecord(0, 1)]}).encode()
