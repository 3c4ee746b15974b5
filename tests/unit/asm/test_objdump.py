"""Our disassembler says what llvm-objdump says about the checked-in objects."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ebpf.abi.platform import Platform
from ebpf.asm import Insn, Instructions, assemble, disassemble
from ebpf.asm.instructions import ByteOrder
from ebpf.asm.opcodes import BPF_ALU, BPF_ALU64, BPF_END, BPF_MEMSX, CALLX, GOTOL, MAY_GOTO
from ebpf.spec import CollectionSpec

OBJECTS = sorted((Path(__file__).parents[2] / "objects").glob("*.o"))
_LINE = re.compile(r"\s*[0-9]+:\s((?:[0-9a-f]{2} )+[0-9a-f]{2})\s+(\S.*)")
_LABEL = re.compile(r" <\S+>$")
_NUMBER = re.compile(r"(?<![\w.])0x[0-9a-f]+|(?<![\w.])[0-9]+")


def _objdump() -> tuple[str, int]:
    for version in range(25, 13, -1):
        if path := shutil.which(f"llvm-objdump-{version}"):
            return path, version
    pytest.skip("llvm-objdump-14 or newer is not installed")


def _listing(tool: str, path: Path) -> list[tuple[bytes, str]]:
    command = [tool, "-d", "--mattr=+alu32", str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [(bytes.fromhex(match[1]), match[2]) for match in map(_LINE.match, output.splitlines()) if match]


def _is_version_4(insn: Insn) -> bool:
    kind = insn.opcode & 7
    arithmetic = kind in (BPF_ALU, BPF_ALU64) and (insn.off != 0 or insn.opcode == BPF_ALU64 | BPF_END)
    return arithmetic or insn.opcode in (GOTOL, MAY_GOTO, CALLX) or (kind == 1 and insn.opcode & 0xE0 == BPF_MEMSX)


def _normal(text: str) -> str:
    """Bring the two spellings together: numbers as 64-bit unsigned, no labels, no width where memory tells it."""
    text = _LABEL.sub("", text).replace("call pc", "call ")
    text = re.sub(r"^w(\d+) = \*\(", r"r\1 = *(", text)
    text = re.sub(r"^(\*\(u\d+ \*\)\(.*\) = )w", r"\1r", text)
    text = re.sub(r"call \+", "call ", text)
    text = _NUMBER.sub(lambda match: str(int(match[0], 0)), text)
    if text.endswith(" ll"):
        text = re.sub(r"-?\d+ ll", lambda match: f"{int(match[0][:-3]) % (1 << 64)} ll", text)
    return text


def test_there_are_objects_of_both_byte_orders() -> None:
    assert {"isa.o", "isa-eb.o"} <= {path.name for path in OBJECTS}


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_same_text_as_llvm(path: Path) -> None:
    tool, version = _objdump()
    order: ByteOrder = "big" if path.read_bytes()[5] == 2 else "little"
    compared = 0
    for data, theirs in _listing(tool, path):
        (insn,) = Instructions.decode(data, order)
        # LLVM 14 shows version 4 of the instruction set as if it were version 3, and does not know all of that.
        if version < 19 and (_is_version_4(insn) or theirs == "<unknown>"):
            continue
        assert _normal(str(insn)) == _normal(theirs), data.hex(" ")
        # Their spelling is input as well, the labels in angle brackets and the unmarked local calls apart.
        if "call" not in theirs:
            assert assemble(_LABEL.sub("", theirs)).encode(order) == data
        compared += 1
    assert compared > 0


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_programs_of_objects_survive_as_text(path: Path) -> None:
    spec = CollectionSpec.from_file(path)
    assert spec.programs
    for program in spec.programs.values():
        insns = program.insns
        again = assemble(disassemble(insns, offsets=True, source=True, helpers=Platform.LINUX))
        assert again == assemble(str(insns)) == insns
        assert again.encode(spec.byte_order) == insns.encode(spec.byte_order)
        assert [insn.reference for insn in again] == [insn.reference for insn in insns]
