"""Arithmetic, byte swaps and sign extension: cases by hand, and all operations against another way to compute them."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.vm.conformance import run_instructions
from tests.isa import arithmetic
from tests.isa.case import Case

pytestmark = pytest.mark.usefixtures("engine")

WORDS = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 1, 2, 31, 32, 63, 64, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]),
)


@pytest.mark.parametrize("case", arithmetic.CASES, ids=str)
def test_case(case: Case) -> None:
    assert run_instructions(case.code, case.memory) == case.expected


def as_signed(value: int, bits: int) -> int:
    return int.from_bytes((value % 2**bits).to_bytes(bits // 8, "big"), "big", signed=True)


def compute(name: str, a: int, b: int) -> int:
    """Compute as a mathematician would: on numbers, with one reduction at the end."""
    bits = int(name[-2:])
    a, b = a % 2**bits, b % 2**bits
    signed_a, signed_b = as_signed(a, bits), as_signed(b, bits)
    result = {
        "add": lambda: a + b,
        "sub": lambda: a - b,
        "mul": lambda: signed_a * signed_b,
        "div": lambda: math.floor(Fraction(a, b)) if b else 0,
        "mod": lambda: a - b * math.floor(Fraction(a, b)) if b else a,
        "sdiv": lambda: math.trunc(Fraction(signed_a, signed_b)) if b else 0,
        "smod": lambda: signed_a - signed_b * math.trunc(Fraction(signed_a, signed_b)) if b else a,
        "or": lambda: a + b - (a & b),
        "and": lambda: (a + b - (a ^ b)) // 2,
        "xor": lambda: (a | b) - (a & b),
        "lsh": lambda: a * 2 ** (b % bits),
        "rsh": lambda: math.floor(Fraction(a, 2 ** (b % bits))),
        "arsh": lambda: math.floor(Fraction(signed_a, 2 ** (b % bits))),
        "mov": lambda: b,
    }[name[:-2]]()
    return result % 2**bits


@pytest.mark.parametrize("name", [f"{op}{width}" for op in arithmetic.OPCODES for width in (32, 64)])
@given(a=WORDS, b=WORDS)
def test_operation(name: str, a: int, b: int) -> None:
    case = arithmetic.case(name, a, b, compute(name, a, b), source=True)
    assert run_instructions(case.code, case.memory) == case.expected
    # As an immediate the low half of b is sign-extended.
    extended = as_signed(b, 32) % 2**64
    case = arithmetic.case(name, a, extended, compute(name, a, extended), source=False)
    assert run_instructions(case.code, case.memory) == case.expected
