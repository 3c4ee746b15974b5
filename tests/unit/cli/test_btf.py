"""`ebpf btf dump` of files: objects in both byte orders, plain and split BTF."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpf.btf import Builder
from tests.command import OBJECTS, ebpf
from tests.unit.btf.samples import every_kind


@pytest.mark.parametrize("name", ["maps.o", "maps-eb.o"])
def test_an_object(name: str) -> None:
    whole = ebpf("btf", "dump", OBJECTS / name)
    assert whole.status == 0
    assert "STRUCT 'inner' size=32 vlen=4\n\t'type' type_id=1 bits_offset=0" in whole.output
    (struct,) = ebpf("btf", "dump", OBJECTS / name, "inner", "--json").json["types"]
    assert [member["name"] for member in struct["members"]] == ["type", "max_entries", "key", "value"]


def test_a_file_of_types_as_c(tmp_path: Path) -> None:
    path = tmp_path / "types.btf"
    path.write_bytes(every_kind().raw)
    chosen = ebpf("btf", "dump", path, "event", "--format", "c").output
    assert chosen.index("enum color {") < chosen.index("struct event {")
    assert "union either" not in chosen
    assert "union either {" in ebpf("btf", "dump", path, "--format", "c").output


def test_split_types_need_their_base(tmp_path: Path) -> None:
    base = every_kind()
    builder = Builder(base=base)
    builder.add_struct("module", 4, [("pid", 1, 0)])
    (tmp_path / "base").write_bytes(base.raw)
    (tmp_path / "module").write_bytes(builder.build().raw)
    done = ebpf("btf", "dump", tmp_path / "module", "module", "--base", tmp_path / "base", "--format", "c")
    assert "struct module {\n\tunsigned int pid;\n};" in done.output
    alone = ebpf("btf", "dump", tmp_path / "module")
    assert alone.status == 1
    assert "the string table does not begin with the empty string" in alone.errors


def test_what_can_not_be_dumped(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(every_kind().raw[:100])
    for arguments, status, reason in (
        ([OBJECTS / "maps.o", "no_such_type"], 1, "no type is named 'no_such_type'"),
        ([OBJECTS / "legacy.o"], 1, "has no BTF"),
        ([tmp_path / "cut"], 1, "section .BTF, offset"),
        (["id"], 2, "expected a value after 'id'"),
    ):
        done = ebpf("btf", "dump", *arguments)
        assert done.status == status
        assert reason in done.errors
