"""Test files of the public conformance suite's form: how they are read, and `ebpf vm conformance --suite`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ebpf.abi.types import MapType
from ebpf.asm import assemble
from ebpf.cli.vm import command
from ebpf.errors import AsmError, NotSupportedError
from ebpf.vm.engines import Engine, choose_engine
from ebpf.vm.maps import MapShape
from ebpf.vm.suite import parse_case, run_case, run_suite
from ebpf.vm.suiteasm import assemble_suite

FILES = Path(__file__).parent / "suite"
GOOD = "-- asm\nmov %r0, 42\nexit\n-- result\n0x2a\n"

MAPS = """-- map
# name type key value entries
table 1 4 8 10

one 2 4 4 1
-- asm
lddw %r1, map_by_fd(one)
mov %r2, %r10
add %r2, -4
stw [%r2], 0
call bpf_map_lookup_elem
exit
-- result
0x2a
"""

# The suite's language → this project's.
SAME = {
    **{f"{name} %r1, %r2": f"r1 {sign}= r2" for name, sign in {
        "add": "+", "sub": "-", "mul": "*", "div": "/", "sdiv": "s/", "or": "|", "and": "&", "lsh": "<<", "rsh": ">>",
        "mod": "%", "smod": "s%", "xor": "^", "mov": "", "arsh": "s>>"}.items()},
    **{f"{name}32 %r1, 7": f"w1 {sign}= 7" for name, sign in {
        "add": "+", "sub": "-", "mul": "*", "div": "/", "sdiv": "s/", "or": "|", "and": "&", "lsh": "<<", "rsh": ">>",
        "mod": "%", "smod": "s%", "xor": "^", "mov": "", "arsh": "s>>"}.items()},
    "neg %r1": "r1 = -r1", "neg32 %r1": "w1 = -w1", "neg64 %r1": "r1 = -r1", "mov64 %r1, -1": "r1 = -1",
    "movsx864 %r1, %r2": "r1 = (s8)r2", "movsx1664 %r1, %r2": "r1 = (s16)r2", "movsx3264 %r1, %r2": "r1 = (s32)r2",
    "movsx832 %r1, %r2": "w1 = (s8)w2", "movsx1632 %r1, %r2": "w1 = (s16)w2",
    **{f"{name}{bits} %r3": f"r3 = {ours}{bits} r3" for bits in (16, 32, 64)
       for name, ours in {"le": "le", "be": "be", "swap": "bswap", "bswap": "bswap"}.items()},
    "ldxb %r1, [%r2]": "r1 = *(u8 *)(r2 + 0)", "ldxh %r1, [%r2+4]": "r1 = *(u16 *)(r2 + 4)",
    "ldxw %r1, [%r10-4]": "r1 = *(u32 *)(r10 - 4)", "ldxdw %r1, [%r2+0x10]": "r1 = *(u64 *)(r2 + 16)",
    "ldxsb %r1, [%r2]": "r1 = *(s8 *)(r2 + 0)", "ldxsh %r1, [%r2]": "r1 = *(s16 *)(r2 + 0)",
    "ldxsw %r1, [%r2]": "r1 = *(s32 *)(r2 + 0)",
    "stb [%r1+1], 5": "*(u8 *)(r1 + 1) = 5", "sth [%r1], 5": "*(u16 *)(r1 + 0) = 5",
    "stw [%r1], 0xffffffff": "*(u32 *)(r1 + 0) = -1", "stdw [%r1], -5": "*(u64 *)(r1 + 0) = -5",
    "stxb [%r1], %r2": "*(u8 *)(r1 + 0) = r2", "stxh [%r1], %r2": "*(u16 *)(r1 + 0) = r2",
    "stxw [%r1], %r2": "*(u32 *)(r1 + 0) = r2", "stxdw [%r1-8], %r2": "*(u64 *)(r1 - 8) = r2",
    "lddw %r1, 0x123456789abcdef0": "r1 = 0x123456789abcdef0 ll", "lddw %r1, -1": "r1 = -1 ll",
    "ja +3": "goto +3", "ja32 +3": "gotol +3", "exit": "exit",
    **{f"{name} %r1, %r2, -2": f"if r1 {sign} r2 goto -2" for name, sign in {
        "jeq": "==", "jgt": ">", "jge": ">=", "jset": "&", "jne": "!=", "jsgt": "s>", "jsge": "s>=", "jlt": "<",
        "jle": "<=", "jslt": "s<", "jsle": "s<="}.items()},
    **{f"{name}32 %r1, 9, +2": f"if w1 {sign} 9 goto +2" for name, sign in {
        "jeq": "==", "jgt": ">", "jge": ">=", "jset": "&", "jne": "!=", "jsgt": "s>", "jsge": "s>=", "jlt": "<",
        "jle": "<=", "jslt": "s<", "jsle": "s<="}.items()},
    "mov %r1, 0x987654321": "r1 = -2023406815", "stw [%r1], 2147483648": "*(u32 *)(r1 + 0) = -2147483648",
    "call bpf_map_lookup_elem": "call bpf_map_lookup_elem",
    "jeq %r1, 0x80000000, +1": "if r1 == 0x80000000 goto +1",
    "call 5": "call 5", "call helper 5": "call 5", "call %r2": "callx r2", "call helper %r2": "callx r2",
    "call runtime 42": "call kfunc 42", "call local +1": "call pc+1",
    "lock add [%r1], %r2": "lock *(u64 *)(r1 + 0) += r2", "lock or32 [%r1], %r2": "lock *(u32 *)(r1 + 0) |= w2",
    "lock and [%r1-8], %r2": "lock *(u64 *)(r1 - 8) &= r2", "lock xor [%r1], %r2": "lock *(u64 *)(r1 + 0) ^= r2",
    "lock fetch add [%r1], %r2": "r2 = atomic_fetch_add((u64 *)(r1 + 0), r2)",
    "lock fetch and32 [%r1], %r2": "w2 = atomic_fetch_and((u32 *)(r1 + 0), w2)",
    "lock xchg [%r1], %r2": "r2 = xchg_64(r1 + 0, r2)", "lock xchg32 [%r1], %r2": "w2 = xchg32_32(r1 + 0, w2)",
    "lock cmpxchg [%r1], %r2": "r0 = cmpxchg_64(r1 + 0, r0, r2)",
    "lock cmpxchg32 [%r1], %r2": "w0 = cmpxchg32_32(r1 + 0, w0, w2)",
}  # fmt: skip


@pytest.mark.parametrize("text", SAME)
def test_instruction(text: str) -> None:
    expected = assemble(SAME[text]).encode()
    assert assemble_suite(text) == expected
    assert assemble_suite(text.replace("%", "") + "   # without percent signs") == expected


def test_labels() -> None:
    text = """
    mov %r0, 1
    ja32 on
    back:
    jeq %r0, 0, exit
    on:
    lddw %r1, 5
    call local back
    exit
    mov %r0, 2
    exit
    """
    ours = """
    r0 = 1; gotol on; back: if r0 == 0 goto out; on: r1 = 5 ll; call back; out: exit; r0 = 2; exit"""
    assert assemble_suite(text) == assemble(ours).encode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mov %r16, 1", "register such as %r1, found %r16"),
        ("mov %r1", "mov takes 2 operands, found 1"),
        ("frob %r1", "unknown instruction frob"),
        ("mov %r1, 0x10000000000000000", "does not fit 64 bits"),
        ("lddw %r1, map_by_fd(table)", "no map table in the file"),
        ("call bpf_frob", "no helper bpf_frob"),
        ("ldxw %r1, [%r2+40000]", "does not fit 16 bits"),
        ("ldxw %r1, %r2", "expected an address"),
        ("lddw %r1, 0x10000000000000000", "does not fit 64 bits"),
        ("mov %r1, five", "expected a number, found five"),
        ("ja nowhere", "no label nowhere"),
        ("a:\nexit\na:\nexit", "line 3: label a is defined twice"),
        ("call kernel 5", "expected helper, local, runtime, found kernel"),
        ("lock swap [%r1], %r2", "expected lock"),
        ("lock add [%r1], %r2, %r3", "expected lock"),
        ("lock fetch [%r1], %r2", "expected lock"),
        ("jeq %r1, 5", "jeq takes 3 operands, found 2"),
        ("mov %r0, 1\n\nneg", "line 3: neg takes 1 operands"),
    ],
)
def test_wrong_assembly(text: str, why: str) -> None:
    with pytest.raises(AsmError, match=why.replace("[", r"\[")):
        assemble_suite(text)


def test_sections() -> None:
    text = "# -- error\n-- c\nint x;\n--  mem\nAB cd # one\n\n 0\n-- no register offset\n"
    text += "-- asm\nexit # end\n-- result\n1\n2\n"
    case = parse_case("case", text)
    assert (case.code, case.memory, case.result, case.fails) == (assemble("exit").encode(), b"\xab\xcd\0", 2, False)
    assert parse_case("case", text.replace("\n", "\r\n")) == case


def test_raw_takes_the_place_of_assembly() -> None:
    case = parse_case("case", GOOD + "-- raw\n0x95 149\n")
    assert case.code == assemble("exit; exit").encode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("-- asm\nexit\n", "neither a result nor an error"),
        ("-- result\n1\n", "no instructions"),
        ("-- asm\nexit\n-- result\nmany\n", "expected a number of 64 bits, found 'many'"),
        ("-- raw\nxyz\n-- result\n1\n", "expected a number of 64 bits"),
        ("-- mem\nxyz\n" + GOOD, "hexadecimal"),
    ],
)
def test_files_that_are_no_tests(text: str, why: str) -> None:
    with pytest.raises(AsmError, match=why):
        parse_case("case", text)


def test_unknown_section() -> None:
    with pytest.raises(NotSupportedError, match="'-- link'"):
        parse_case("case", "-- link\nxdp\n" + GOOD)


def test_maps() -> None:
    case = parse_case("case", MAPS)
    assert case.maps == (MapShape(MapType.HASH, 4, 8, 10, name="table"), MapShape(MapType.ARRAY, 4, 4, 1, name="one"))
    assert case.code == assemble("r1 = map_fd[2] ll; r2 = r10; r2 += -4; *(u32 *)(r2 + 0) = 0; call 1; exit").encode()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        *((line, "expected a map's name") for line in ("one", "one 2 4 4", "one 2 4 four 1", "one 2 4 4 1 1")),
        *((f"one {facts}", "no map can have") for facts in ("999 4 4 1", "1 0 8 4", "12 4 4 4", "2 4 4 4294967297")),
    ],
)
def test_what_is_no_map(line: str, why: str) -> None:
    with pytest.raises(AsmError, match=why):
        parse_case("case", f"-- map\n{line}\n" + GOOD)


def test_programs_with_maps_have_the_helpers_of_linux(engine: Engine) -> None:
    ends = {"jne %r0, 0, +2\nmov %r0, 1\nexit\nmov %r0, 42\nexit": "passed", "call 5\nexit": "failed"}
    for end, state in ends.items():
        text = MAPS.replace("exit\n-- result", end + "\n-- result")
        assert run_case(parse_case("case", text), engine=engine.name).state == state


def test_own_files(engine: Engine) -> None:
    verdicts = list(run_suite(FILES, engine=engine.name))
    assert len(verdicts) >= 20
    assert [verdict for verdict in verdicts if verdict.state != "passed"] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD.replace("0x2a", "41"), "expected 0x29, r0 is 0x2a"),
        (GOOD.replace("mov %r0, 42", "ldxb %r0, [%r9]"), "insn 0"),
        (GOOD.replace("mov %r0, 42", "call 99"), "helpers are 0 to 5"),
        (GOOD.replace("-- result", "-- error"), "expected an error, r0 is 0x2a"),
    ],
)
def test_what_a_failure_says(engine: Engine, text: str, reason: str) -> None:
    verdict = run_case(parse_case("case", text), engine=engine.name)
    assert verdict.state == "failed"
    assert reason in verdict.reason


def test_endless_program_fails(engine: Engine) -> None:
    verdict = run_case(parse_case("case", GOOD.replace("mov %r0, 42", "ja -1")), engine=engine.name, budget=1000)
    assert (verdict.state, "budget" in verdict.reason) == ("failed", True)


def test_command(engine: Engine, tmp_path: Path) -> None:
    good, wrong, links = (tmp_path / f"{name}.data" for name in ("good", "wrong", "links"))
    good.write_text(GOOD)
    arguments = ["conformance", "--suite", str(tmp_path), "--engine", engine.name]
    result = CliRunner().invoke(command, arguments)
    assert (result.output, result.exit_code) == (f"1 passed, 0 failed, 0 skipped, engine {engine.name}\n", 0)
    wrong.write_text(GOOD.replace("0x2a", "0x2b"))
    links.write_text("-- link\n" + GOOD)
    result = CliRunner().invoke(command, arguments)
    *lines, summary = result.output.splitlines()
    assert lines == [
        "skipped links: section '-- link' of a test file is not supported; leave the file out",
        "failed wrong: expected 0x2b, r0 is 0x2a",
    ]
    assert (summary, result.exit_code) == (f"1 passed, 1 failed, 1 skipped, engine {engine.name}", 1)


def test_directory_without_tests(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no \*\.data files"):
        list(run_suite(tmp_path, engine=choose_engine().name))


def test_a_file_that_is_no_text_is_a_test_that_failed(tmp_path: Path) -> None:
    (tmp_path / "a.data").write_bytes(b"\xff\xfe")
    (tmp_path / "b.data").write_text(GOOD)
    states = [(verdict.name, verdict.state, verdict.reason) for verdict in run_suite(tmp_path)]
    assert states == [("a", "failed", "the file has neither a result nor an error"), ("b", "passed", "")]


def test_what_can_not_be_read_is_a_test_that_failed(tmp_path: Path) -> None:
    (tmp_path / "a.data").mkdir()
    (tmp_path / "b.data").write_text(GOOD)
    first, second = run_suite(tmp_path)
    assert (first.name, first.state, second.state) == ("a", "failed", "passed")
    assert first.reason.startswith("it can't be read: ")
