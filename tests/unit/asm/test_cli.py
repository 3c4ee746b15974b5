"""`ebpf asm` and `ebpf disasm`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ebpf.asm import Instructions, assemble
from ebpf.cli.asm import asm_command, disasm_command
from ebpf.errors import AsmError

TEXT = "main:\n  r1 = 0x1122334455667788 ll\n  if r1 == 0 goto out\n  call bpf_ktime_get_ns\nout: exit\n"
HEX = (
    "18 01 00 00 88 77 66 55 00 00 00 00 44 33 22 11\n"
    "15 01 01 00 00 00 00 00\n85 00 00 00 05 00 00 00\n95 00 00 00 00 00 00 00\n"
)
OBJECT = Path(__file__).parents[2] / "objects" / "isa.o"


def test_text_to_hex_and_back() -> None:
    result = CliRunner().invoke(asm_command, [], input=TEXT)
    assert (result.exit_code, result.output) == (0, HEX)
    result = CliRunner().invoke(disasm_command, ["-"], input=result.output)
    assert result.output == (
        "     0: r1 = 0x1122334455667788 ll\n     2: if r1 == 0 goto +1\n"
        "     3: call 5  # bpf_ktime_get_ns\n     4: exit\n"
    )
    assert CliRunner().invoke(asm_command, [], input=result.output).output == HEX


def test_files(tmp_path: Path) -> None:
    source, binary = tmp_path / "a.s", tmp_path / "a.bin"
    source.write_text(TEXT)
    assert CliRunner().invoke(asm_command, [str(source), "-o", str(binary), "--byte-order", "big"]).exit_code == 0
    assert Instructions.decode(binary.read_bytes(), "big") == assemble(TEXT)
    result = CliRunner().invoke(disasm_command, [str(binary), "--byte-order", "big", "--no-offsets"])
    assert assemble(result.output) == assemble(TEXT)
    assert CliRunner().invoke(asm_command, [str(source), "-o", str(binary), "--format", "hex"]).exit_code == 0
    assert binary.read_text() == HEX
    assert isinstance(CliRunner().invoke(asm_command, [str(tmp_path / "missing.s")]).exception, FileNotFoundError)


def test_raw_bytes_on_standard_output() -> None:
    result = CliRunner().invoke(asm_command, ["--format", "raw"], input="exit")
    assert result.stdout_bytes == bytes.fromhex("9500000000000000")
    assert CliRunner().invoke(disasm_command, [], input=result.stdout_bytes).output == "     0: exit\n"


def test_json() -> None:
    result = CliRunner().invoke(asm_command, ["--json"], input="main: r1 = map[m] ll\nexit")
    document = json.loads(result.output)
    assert document["slots"] == 3
    assert document["bytecode"] == "18110000000000000000000000000000" + "9500000000000000"
    assert document["insns"][0] == {
        "slot": 0, "text": "r1 = map[m] ll", "opcode": 24, "dst": 1, "src": 1, "off": 0, "imm": 0,
        "symbol": "main", "reference": {"kind": "map", "name": "m", "offset": 0}, "source": None,
    }  # fmt: skip
    assert json.loads(CliRunner().invoke(disasm_command, ["--json"], input=HEX).output)["insns"][2]["text"] == "call 5"


def test_json_has_no_other_form() -> None:
    assert CliRunner().invoke(asm_command, ["--json", "--format", "raw"], input="exit").exit_code == 2


def test_windows_helpers() -> None:
    result = CliRunner().invoke(asm_command, ["--platform", "windows"], input="call bpf_ringbuf_output")
    assert result.output == "85 00 00 00 0b 00 00 00\n"
    result = CliRunner().invoke(disasm_command, ["--platform", "windows"], input=result.output)
    assert result.output == "     0: call 11  # bpf_ringbuf_output\n"


@pytest.mark.parametrize(
    ("command", "text", "message"),
    [
        (asm_command, b"exit\nnop", "line 2, column 1: expected an instruction, found nop"),
        (asm_command, b"\xff", "UTF-8, found byte 0xff"),
        (disasm_command, b"950", "pairs of hexadecimal digits"),
        (disasm_command, b"9500", "8 bytes each, found 2"),
    ],
)
def test_errors(command: object, text: bytes, message: str) -> None:
    result = CliRunner().invoke(command, [], input=text)  # type: ignore[arg-type]  # the decorator hides the type
    assert isinstance(result.exception, AsmError)
    assert message in str(result.exception)


def test_object_file() -> None:
    result = CliRunner().invoke(disasm_command, [str(OBJECT), "--program", "jumps"])
    assert result.exception is None
    assert result.output.startswith("# program jumps\n")
    assert "if r3 s> -7 goto -2" in result.output
    document = json.loads(CliRunner().invoke(disasm_command, [str(OBJECT), "--json"]).output)
    assert sorted(document["programs"]) == ["arithmetic", "atomics", "jumps", "memory"]
    result = CliRunner().invoke(disasm_command, [str(OBJECT), "--program", "jump"])
    assert "has no program jump; it has" in str(result.exception)
    assert CliRunner().invoke(disasm_command, ["--program", "x"], input=HEX).exit_code == 2
