"""Synthetic programs have the length asked for, are the same each time, and end with the same result everywhere."""

from __future__ import annotations

import pytest

from benchmarks.packets import frame
from benchmarks.synthetic import SHAPES, Shape, spec_of, synthetic


@pytest.mark.parametrize("shape", SHAPES)
def test_length_and_repeatability(shape: Shape) -> None:
    for length in (50, 1000):
        insns = synthetic(length, shape)

        assert len(insns) == length
        assert insns.encode() == synthetic(length, shape).encode()
    assert synthetic(100, "straight") != synthetic(100, "branchy")


@pytest.mark.parametrize("shape", SHAPES)
def test_engines_agree(shape: Shape) -> None:
    results = set()
    for engine in ("reference", "auto"):
        with spec_of(synthetic(1000, shape)).load(runtime="embedded", engine=engine) as collection:
            result = collection.programs["program"].run(frame())
            results.add((result.retval, result.data))

    assert len(results) == 1
    assert results.pop()[1] != frame()  # it has stored something


def test_too_short() -> None:
    with pytest.raises(ValueError, match="at least 35 instructions, not 10"):
        synthetic(10, "straight")
