"""What the assembler says about wrong text: where, what was expected, what was found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.asm import assemble
from ebpf.errors import AsmError
from tests.unit.asm.cases import CASES, SPELLINGS

ERRORS = [
    ("r1 = ", 1, 5, "expected a value, found the end of the line"),
    ("r11 = 5", 1, 1, "expected a register r0 to r10 or a register w0 to w10, found r11"),
    ("r1 = r11", 1, 6, "expected a register r0 to r10, found r11"),
    ("r1 = w2", 1, 6, "expected a register r0 to r10, found w2"),
    ("w1 += r2", 1, 7, "expected a register w0 to w10, found r2"),
    ("r1 += ", 1, 6, "expected a register r0 to r10 or a number, found the end of the line"),
    ("exit\nr1 ? 5", 2, 4, "no token begins with '?'"),
    ("r1 5", 1, 4, "expected '=' or an assignment operator such as '+=', found 5"),
    ("r1 = 5 6", 1, 8, "expected the end of the instruction, found 6"),
    ("r1 = -r2", 1, 7, "expected r1 again, found r2"),
    ("r1 = be16 r2", 1, 11, "expected r1 again, found r2"),
    ("r1 = be24 r1", 1, 6, "expected a value, found be24"),
    ("w1 = be16 w1", 1, 6, "expected a value, found be16"),
    ("r1 = 2147483648", 1, 6, "expected a number from -2147483648 to 2147483647, found 2147483648"),
    ("r1 = 0x100000000", 1, 6, "expected a number from -2147483648 to 2147483647, found 4294967296"),
    ("r1 = 0x10000000000000000 ll", 1, 6, "found 18446744073709551616"),
    ("w1 = 5 ll", 1, 8, "a 64-bit immediate needs a 64-bit register"),
    ("r1 = 5x", 1, 6, "5x is not a number"),
    ("r1 = *(u128 *)(r2 + 0)", 1, 8, "expected 'u8' or 'u16' or 'u32' or 'u64'"),
    ("w1 = *(u64 *)(r2 + 0)", 1, 8, "expected 'u8' or 'u16' or 'u32', found u64"),
    ("r1 = *(u8 *)(r2 + 32768)", 1, 17, "expected a number from -32768 to 32767, found 32768"),
    ("r1 = *(u8 *)(w2 + 0)", 1, 14, "expected a register r0 to r10, found w2"),
    ("r1 = *(u8 *)(r2 + 0", 1, 20, "expected ')', found the end of the line"),
    ("r1 = *(u8 *)skb[0]", 1, 13, "a legacy packet load puts a u8, u16 or u32 into r0"),
    ("*(u64 *)(r1 + 0) = w2", 1, 20, "expected a register r0 to r10, found w2"),
    ("*(u64 *)(r1 + 0) += r2", 1, 18, "expected '=', found +="),
    ("lock *(u16 *)(r1 + 0) += r2", 1, 8, "expected 'u32' or 'u64', found u16"),
    ("lock *(u64 *)(r1 + 0) -= r2", 1, 23, "expected '+=' or '|=' or '&=' or '^=', found -="),
    ("r2 = atomic_fetch_add((u64 *)(r1 + 0), r3)", 1, 40, "expected r2 again, found r3"),
    ("r1 = cmpxchg_64(r1 + 0, r0, r2)", 1, 1, "a compare and exchange returns the old value in r0"),
    ("w0 = cmpxchg_64(r1 + 0, w0, w2)", 1, 1, "an atomic operation on a u64 needs 64-bit registers"),
    ("if r1 = 5 goto +1", 1, 7, "expected '==' or '!='"),
    ("if r1 == w2 goto +1", 1, 10, "expected a register r0 to r10, found w2"),
    ("if r1 == 5 got +1", 1, 12, "expected 'goto', found got"),
    ("goto 5", 1, 6, "expected +N, -N or a label, found 5"),
    ("goto +40000", 1, 6, "expected a number from -32768 to 32767, found 40000"),
    ("goto away", 1, 6, "no label away"),
    ("here: goto hare", 1, 12, "no label hare; did you mean here?"),
    ("a: a: exit", 1, 4, "label a is defined twice"),
    ("call bpf_map_lookup_elm", 1, 6, "neither a label nor a helper of Linux; did you mean bpf_map_lookup_elem?"),
    ('call "map_lookup_elem"', 1, 6, "neither a label nor a helper"),
    ("call", 1, 5, "expected a helper's name or number, a label, pc+N, or kfunc, found the end of the line"),
    ("r1 = events ll", 1, 6, "expected a value, found events"),
    (
        "r1 = mop[events] ll",
        1,
        6,
        "expected one of map, kconfig, ksym, kfunc, map_fd, map_idx, btf_id, func, found mop",
    ),
    ("r1 = map[events]", 1, 17, "expected 'll', found the end of the line"),
    ("r1 = func[nowhere] ll", 1, 11, "no label nowhere"),
    ("nop", 1, 1, "expected an instruction, found nop"),
    ("exit; the end", 1, 7, "expected an instruction (a comment behind an instruction begins with # or //), found the"),
    (".insn 256, 0, 0, 0, 0", 1, 7, "expected a number from 0 to 255, found 256"),
    (".insn 1, 2", 1, 11, "expected ',', found the end of the line"),
    ('"\\q": exit', 1, 1, "expected a string as in JSON"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), ERRORS, ids=[text for text, *_ in ERRORS])
def test_error(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(AsmError) as caught:
        assemble(text)
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).startswith(f"line {line}, column {column}: ")


def test_a_label_too_far_for_a_jump() -> None:
    far = "\n".join(["r0 = 0"] * 40_000)
    with pytest.raises(AsmError, match="label end is 40000 slots away, a jump reaches 32767: use gotol"):
        assemble(f"goto end\n{far}\nend: exit")
    assert assemble(f"gotol end\n{far}\nend: exit")[0].imm == 40_000


_PIECES = sorted(
    {piece for _, text in CASES + SPELLINGS for piece in text.replace("(", " ( ").replace("[", " [ ").split()}
)


@given(st.lists(st.sampled_from([*_PIECES, "\n", ";", ":", '"', "\u00e9", "\x00"]), max_size=12).map(" ".join))
def test_only_asm_errors(text: str) -> None:
    try:
        program = assemble(text)
    except AsmError as error:
        place = (error.line, error.column)
        program = None
    if program is None:
        assert None not in place
    else:
        assert assemble(str(program)) == program
