"""`ebpf inspect`: the document and the tables."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ebpf.asm import Instructions
from ebpf.cli.inspect import command
from ebpf.elf import describe, read_file

OBJECTS = Path(__file__).parents[2] / "objects"
MAP_KEYS = ["type", "key_size", "value_size", "max_entries", "flags", "map_extra", "pinning", "tags", "inner",
            "contents_sha256", "key", "value"]  # fmt: skip
PROGRAM_KEYS = ["type", "attach_type", "section", "attach_to", "flags", "license", "autoload", "insns", "bytecode",
                "references"]  # fmt: skip


def inspect(name, *options):
    result = CliRunner().invoke(command, [str(OBJECTS / name), *options], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def document(name):
    return json.loads(inspect(name, "--json"))


@pytest.mark.parametrize("path", sorted(OBJECTS.glob("*.o")), ids=lambda path: path.name)
def test_every_object_has_a_document_of_one_shape(path):
    found = document(path.name)

    assert list(found) == ["byte_order", "maps", "programs", "variables", "btf"]
    assert found == json.loads(json.dumps(describe(read_file(path))))
    for spec in found["maps"].values():
        assert list(spec) == MAP_KEYS
    for program in found["programs"].values():
        assert list(program) == PROGRAM_KEYS
        insns = Instructions.decode(bytes.fromhex(program["bytecode"]), found["byte_order"])
        assert len(insns) == program["insns"]
        for reference in program["references"]:
            assert list(reference) == ["insn", "offset", "kind", "name", "value_offset"]
            assert insns.raw_offset(reference["insn"]) * 8 == reference["offset"]
            if reference["kind"] == "map_value":
                assert insns[reference["insn"]].imm == reference["value_offset"] << 32
            if reference["kind"] == "map":
                assert (insns[reference["insn"]].src, insns[reference["insn"]].imm) == (1, 0)
    for variable in found["variables"].values():
        assert list(variable) == ["section", "offset", "size", "type", "value"]
        assert len(variable["value"]) == 2 * variable["size"]
    assert found["btf"]["types"] == sum(found["btf"]["kinds"].values())


def test_maps_of_the_document():
    maps = document("maps.o")["maps"]

    assert maps["typed"] == {
        "type": "Hash", "key_size": 8, "value_size": 8, "max_entries": 1024, "flags": 1, "map_extra": 0,
        "pinning": "by_name", "tags": ["first tag", "second tag"], "inner": None, "contents_sha256": None,
        "key": "struct pair", "value": "__u64",
    }  # fmt: skip
    assert maps["outer"]["inner"]["type"] == "Array"
    assert (maps["outer"]["type"], maps["outer"]["contents_sha256"]) == ("ArrayOfMaps", None)
    assert maps["sized"]["type"] == "LRUHash"


def test_data_of_the_document():
    found = document("calls.o")

    zeros = found["maps"][".bss"]
    assert zeros["contents_sha256"] == hashlib.sha256(bytes(zeros["value_size"])).hexdigest()
    assert (zeros["key"], zeros["value"]) == (None, None)
    assert found["variables"]["table"]["value"] == "01000000020000000300000004000000"
    assert found["variables"]["table"]["type"] == "int[4]"
    assert found["variables"]["limit"]["section"] == ".rodata"


def test_programs_of_the_document():
    programs = document("calls.o")["programs"]

    first = programs["first"]
    assert (first["type"], first["attach_type"], first["section"], first["license"]) == ("XDP", "XDP", "xdp", "GPL")
    assert {"function", "function_pointer", "map_value"} == {reference["kind"] for reference in first["references"]}
    assert programs["alone"]["attach_type"] == "TCXIngress"
    legacy = document("legacy.o")["programs"]
    assert (legacy["third"]["type"], legacy["third"]["autoload"]) == ("Unspecified", False)
    assert (legacy["second"]["attach_type"], legacy["second"]["attach_to"]) == ("None", "do_exit")


def test_externs_of_the_document():
    references = document("externs.o")["programs"]["on_switch"]["references"]

    assert {reference["kind"] for reference in references} == {"kconfig", "kfunc", "ksym", "core"}
    assert {reference["name"] for reference in references if reference["kind"] == "core"} == {"task_struct"}


def test_types_of_the_document():
    kinds = document("maps.o")["btf"]["kinds"]

    assert kinds["DeclTag"] == 2
    assert {"Struct", "Pointer", "FuncProto", "Datasec", "Var"} <= kinds.keys()


@pytest.mark.parametrize("path", sorted(OBJECTS.glob("*.o")), ids=lambda path: path.name)
def test_tables_name_everything(path):
    output = inspect(path.name)

    spec = read_file(path)
    for name in [*spec.programs, *spec.maps, *spec.variables]:
        assert name in output
    assert spec.byte_order in output


def test_an_empty_object_still_says_something(tmp_path):
    from tests.unit.elf.writer import ObjectWriter

    path = tmp_path / "empty.o"
    path.write_bytes(ObjectWriter().build())
    output = CliRunner().invoke(command, [str(path)], catch_exceptions=False).output

    assert "little" in output
    assert "Programs" not in output
