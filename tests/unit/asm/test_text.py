"""Instructions ⇄ text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpf.abi.platform import Platform
from ebpf.asm import Insn, Instructions, Reference, ReferenceKind, SourceLine, assemble, disassemble
from ebpf.asm.opcodes import CALL, EXIT, LDIMM64
from tests.unit.asm.cases import CASES, SPELLINGS
from tests.unit.asm.strategies import insns, programs


@pytest.mark.parametrize(("data", "text"), CASES, ids=[text for _, text in CASES])
def test_text_of_each_encoding(data: str, text: str) -> None:
    program = Instructions.decode(bytes.fromhex(data))
    assert len(program) == 1
    assert str(program[0]) == text
    assert str(program) == f"    {text}\n"
    assert assemble(text).encode().hex(" ") == data


@pytest.mark.parametrize(("text", "canonical"), SPELLINGS)
def test_other_spellings(text: str, canonical: str) -> None:
    assert [str(insn) for insn in assemble(text)] == [canonical]


@settings(max_examples=400)
@given(programs)
def test_assembling_the_text_gives_equal_instructions(program: Instructions) -> None:
    assert assemble(str(program)) == program


@given(programs)
def test_listings_with_slots_and_helpers_assemble_too(program: Instructions) -> None:
    assert assemble(disassemble(program, offsets=True, helpers=Platform.LINUX)) == program


# Surrogates can't stand in a file; everything else may be a symbol.
_NAMES = st.one_of(
    st.sampled_from(["r1", "w10", "exit", "pc", "kfunc", "skb", "ll", "map_lookup_elem"]),
    st.sampled_from(["1", "", "a b", 'q"', ";", "#", "//", "\\", "\n", "]", ":"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)


@given(st.lists(st.tuples(insns, _NAMES), min_size=1, max_size=12, unique_by=lambda pair: pair[1]), st.data())
def test_symbols_and_references_survive(pairs: list[tuple[Insn, str]], data: st.DataObject) -> None:
    names = [name for _, name in pairs]
    program = Instructions(insn._replace(symbol=name) for insn, name in pairs)
    program.append(Insn(CALL, reference=Reference(ReferenceKind.FUNCTION, data.draw(st.sampled_from(names)))))
    program.append(Insn(LDIMM64, 1, reference=Reference(ReferenceKind.FUNCTION_POINTER, data.draw(_NAMES_OF(names)))))
    program.append(Insn(LDIMM64, 1, 1, reference=Reference(ReferenceKind.MAP, data.draw(_NAMES))))
    offset = data.draw(st.integers(0, 0xFFFFFFFF))
    value = Reference(ReferenceKind.MAP_VALUE, data.draw(_NAMES), offset)
    program.append(Insn(LDIMM64, 1, 2, imm=offset << 32, reference=value))
    program.append(Insn(CALL, src=2, imm=-1, reference=Reference(ReferenceKind.KFUNC, data.draw(_NAMES))))
    for kind, src, place in (("KSYM", 0, 0), ("KFUNC", 0, 0), ("KCONFIG", 2, 12)):
        reference = Reference(ReferenceKind[kind], data.draw(_NAMES), place)
        program.append(Insn(LDIMM64, 1, src, reference=reference))

    again = assemble(str(program))
    assert again.encode() == program.encode()
    assert [insn.symbol for insn in again] == [insn.symbol for insn in program]
    assert [insn.reference for insn in again] == [insn.reference for insn in program]
    assert str(again) == str(program)


def _NAMES_OF(names: list[str]) -> st.SearchStrategy[str]:  # noqa: N802  # reads as the strategy beside it
    return st.sampled_from(names)


def test_labels() -> None:
    program = assemble("""
        ; count down from ten
        main:
            r1 = 10         # ten
            r0 = 0
        loop: again:
            r0 += r1; r1 -= 1
            r2 = 0x1122334455667788 ll
            if r1 != 0 goto again
            if w1 == 7 goto end
            gotol loop
        end:
            exit
    """)
    assert [insn.symbol for insn in program] == ["main", None, "loop", None, None, None, None, None, "end"]
    assert [program[5].off, program[6].off, program[7].imm] == [-5, 1, -7]
    assert str(program) == (
        "main:\n    r1 = 10\n    r0 = 0\nloop:\n    r0 += r1\n    r1 -= 1\n    r2 = 0x1122334455667788 ll\n"
        "    if r1 != 0 goto loop\n    if w1 == 7 goto end\n    gotol loop\nend:\n    exit\n"
    )
    assert assemble(str(program)) == program


def test_functions() -> None:
    program = assemble("""
        main:
            call twice
            r2 = func[callback] ll
            call bpf_loop
            exit
        twice:
            r0 += r0
            exit
        callback:
            call map_lookup_elem
            exit
        map_lookup_elem:
            exit
    """)
    assert (program[0].src, program[0].imm) == (1, 4)
    assert program[0].reference == Reference(ReferenceKind.FUNCTION, "twice")
    assert (program[1].src, program[1].imm) == (4, 5)
    assert program[1].reference == Reference(ReferenceKind.FUNCTION_POINTER, "callback")
    assert (program[2].src, program[2].imm) == (0, 181)
    # A label of the text comes before a helper of that name.
    assert (program[6].src, program[6].imm) == (1, 1)
    assert assemble(str(program)) == program
    assert assemble(str(program)).encode() == program.encode()


def test_an_edited_program_keeps_its_calls() -> None:
    program = assemble("call f\nexit\nf: exit")
    program.insert(1, Insn(0xB7))
    assert "call f" in str(program)
    assert assemble(str(program)).encode() == program.encode()


def test_maps() -> None:
    program = assemble('r1 = map[events] ll\nr2 = map[.bss][8] ll\nr3 = map["my map"] ll\nr4 = ksym[jiffies] ll')
    assert [insn.reference for insn in program] == [
        Reference(ReferenceKind.MAP, "events"),
        Reference(ReferenceKind.MAP_VALUE, ".bss", 8),
        Reference(ReferenceKind.MAP, "my map"),
        Reference(ReferenceKind.KSYM, "jiffies"),
    ]
    assert [(insn.src, insn.imm) for insn in program] == [(1, 0), (2, 8 << 32), (1, 0), (0, 0)]
    assert str(program).splitlines()[1] == "    r2 = map[.bss][8] ll"


def test_a_reference_that_the_fields_contradict_becomes_a_comment() -> None:
    reference = Reference(ReferenceKind.MAP, "events")
    program = Instructions(
        [
            Insn(LDIMM64, 1, 1, imm=7, reference=reference),
            Insn(0xB7, reference=reference),
            Insn(LDIMM64, 12, 1, reference=reference),
        ]
    )
    assert str(program).splitlines() == [
        "    r1 = map_fd[7] ll  # map events",
        "    r0 = 0  # map events",
        "    .insn 0x18, 12, 1, 0, 0  # map events",
    ]
    assert assemble(str(program)) == program


def test_helpers_of_both_platforms() -> None:
    assert assemble("call ringbuf_output")[0].imm == 130
    assert assemble("call ringbuf_output", platform=Platform.WINDOWS)[0].imm == 11
    text = disassemble([Insn(CALL, imm=11)], helpers=Platform.WINDOWS)
    assert text == "    call 11  # bpf_ringbuf_output\n"
    assert disassemble([Insn(CALL, imm=5000)], helpers=Platform.LINUX) == "    call 5000\n"


def test_listing_with_slots_and_source() -> None:
    first, second = SourceLine("a.c", 3, 1, "int x = 5;"), SourceLine("a.c", 4, 1, "\treturn x;")
    program = Instructions(
        [Insn(LDIMM64, imm=5, source=first, symbol="f"), Insn(0xB7, source=second), Insn(EXIT, source=second)]
    )
    listing = disassemble(program, offsets=True, source=True)
    assert listing == (
        "f:\n; a.c:3: int x = 5;\n     0: r0 = 0x5 ll\n; a.c:4: return x;\n     2: r0 = 0\n     3: exit\n"
    )
    assert assemble(listing) == program


def test_a_symbol_given_twice_is_a_label_once() -> None:
    program = Instructions([Insn(EXIT, symbol="f"), Insn(EXIT, symbol="f")])
    assert str(program) == "f:\n    exit\n# f:\n    exit\n"


def test_nothing() -> None:
    assert str(Instructions()) == ""
    assert assemble("") == assemble("\n # nothing\n;;\n") == []


def test_a_label_behind_the_last_instruction() -> None:
    assert assemble("goto end\nend:") == [Insn(0x05)]
