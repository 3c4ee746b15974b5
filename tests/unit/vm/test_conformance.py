"""`ebpf vm conformance`: the public plugin protocol."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from ebpf.cli.vm import command
from ebpf.codegen.compiler import available
from ebpf.errors import AsmError, NotSupportedError, ProgramFault
from ebpf.vm.conformance import parse_hex, run_instructions
from ebpf.vm.engines import choose_engine
from tests.isa.case import EXIT, slot

pytestmark = pytest.mark.usefixtures("engine")

ANSWER = "b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00"


def invoke(*arguments: str, program: str = "") -> str:
    result = CliRunner().invoke(command, ["conformance", *arguments], input=program)
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.mark.parametrize(
    "program",
    [
        ANSWER,
        ANSWER.replace(" ", ""),
        ANSWER + "\n",
        "  " + ANSWER.replace("95", "\n95"),
        "b7000000 2a000000\t95" + "0" * 14,
    ],
)
def test_program_on_standard_input(program: str) -> None:
    assert invoke(program=program) == "2a\n"


def test_r0_is_hexadecimal_without_prefix() -> None:
    code = slot(0xB7, imm=-1) + EXIT
    assert invoke(program=code.hex(" ")) == "f" * 16 + "\n"
    assert invoke(program=(slot(0xB7) + EXIT).hex()) == "0\n"


@pytest.mark.parametrize("memory", ["aa bb 01", "aabb01", "AABB01"])
def test_memory_is_r1_and_its_length_r2(memory: str) -> None:
    load = slot(0x69, 0, 1) + EXIT
    assert invoke(memory, program=load.hex()) == "bbaa\n"
    assert invoke(memory, program=(slot(0xBF, 0, 2) + EXIT).hex()) == "3\n"


@pytest.mark.parametrize("memory", [(), ("",)])
def test_without_memory_both_are_zero(memory: tuple[str, ...]) -> None:
    code = slot(0xBF, 0, 1) + slot(0x4F, 0, 2) + EXIT
    assert invoke(*memory, program=code.hex()) == "0\n"


def test_options_of_other_plugins() -> None:
    assert invoke("--program", ANSWER) == "2a\n"
    assert invoke("00", "--interpret", program=ANSWER) == "2a\n"
    for name in ("auto", "reference", choose_engine().name):
        assert invoke("--engine", name, program=ANSWER) == "2a\n"


def test_compiled_execution_is_never_replaced() -> None:
    if available() is None:
        assert invoke("--jit", program=ANSWER) == "2a\n"
    else:
        with pytest.raises(NotSupportedError, match="engine 'jit'"):
            invoke("--jit", program=ANSWER)


def test_bytearray_is_the_memory_itself() -> None:
    memory = bytearray(8)
    run_instructions(slot(0x7A, 1, 0, 0, 5) + EXIT, memory)
    assert memory == b"\5" + bytes(7)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (b"", "one or more instructions"),
        (EXIT + b"\0", "one or more instructions"),
        (slot(0xFF) + EXIT, "unknown opcode ff"),
        (slot(0xB7, 11) + EXIT, "R11 is invalid"),
        (slot(0xB7, 10) + EXIT, "frame pointer is read only"),
        (slot(0xB7), "jump out of range from insn 0 to 1"),
        (slot(0x18) + slot(0), "jump out of range from insn 0 to 2"),
        (slot(0x05, off=1) + EXIT, "jump out of range from insn 0 to 2"),
        (slot(0x18) + EXIT, "invalid bpf_ld_imm64 insn"),
        (slot(0x18, 0, 1) + slot(0) + EXIT, "needs maps or packets"),
        (slot(0x20) + EXIT, "needs maps or packets"),
        (slot(0x85, imm=6) + EXIT, "helpers are 0 to 5"),
        (slot(0x85, 0, 2) + EXIT, "helpers are 0 to 5"),
        (slot(0x8D, 0, 0, 0, 10) + EXIT, "BPF_CALL uses reserved fields"),
    ],
)
def test_invalid_programs(code: bytes, why: str) -> None:
    with pytest.raises(AsmError, match=why):
        run_instructions(code)


@pytest.mark.parametrize(
    "code",
    [
        slot(0x79, 0, 1) + EXIT,
        slot(0xB7, 1, imm=6) + slot(0x8D, 1) + EXIT,
        slot(0x05, off=-1),
        slot(0xBF, 0, 0, 1, 1) + EXIT,
        slot(0xB7, 1, imm=1) + slot(0x85, imm=4) + EXIT,
    ],
    ids=["null", "callx-unknown", "endless", "cast-to-arena", "helper-with-null"],
)
def test_faults(code: bytes) -> None:
    with pytest.raises(ProgramFault, match="insn"):
        run_instructions(code, budget=1000)


@pytest.mark.parametrize("text", ["xy", "b7 0", "b70", "0x12 0x34 zz", "b7 00 000"])
def test_hexadecimal(text: str) -> None:
    if text == "b7 0":
        assert parse_hex(text) == b"\xb7\x00"
        return
    with pytest.raises(AsmError, match="hexadecimal"):
        parse_hex(text)


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("imm", [-1, 64, 100, -(1 << 31)])
def test_shift_counts_are_masked(bits: int, imm: int) -> None:
    code = slot(0xB7, imm=1) + slot(0x67 if bits == 64 else 0x64, imm=imm) + EXIT
    assert run_instructions(code) == 1 << (imm & (bits - 1))


def test_memory_may_be_written_but_not_left() -> None:
    code = slot(0x7A, 1, 0, 8, 1) + EXIT
    assert run_instructions(code, bytes(16)) == 0
    with pytest.raises(ProgramFault, match="memory has offsets"):
        run_instructions(code, bytes(15))
