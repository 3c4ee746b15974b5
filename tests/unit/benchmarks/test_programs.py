"""The 13 programs of the benchmark have the same outcome on native code and on our engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from benchmarks import toolchain
from benchmarks.engines import INTERPRETER, NATIVE, NATIVE_DESCRIPTOR, REFERENCE, Engine
from benchmarks.errors import Missing
from benchmarks.measure import outcome
from benchmarks.packets import frame
from benchmarks.programs import BENCHMARKS, Benchmark
from benchmarks.subject import Outcome

ENGINES = (NATIVE_DESCRIPTOR, INTERPRETER, REFERENCE)


@pytest.fixture(scope="module", autouse=True)
def _built_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compile into a directory of the test's own."""
    try:
        toolchain.compiler()
    except Missing as missing:
        pytest.skip(str(missing))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toolchain, "BUILD", tmp_path_factory.mktemp("build"))
        yield


def outcome_on(engine: Engine, benchmark: Benchmark) -> Outcome:
    try:
        subject = engine.start(benchmark)
    except Missing as missing:
        pytest.skip(str(missing))
    with closing(subject):
        return outcome(subject)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_every_engine_agrees_with_native_code(benchmark: Benchmark, engine: Engine) -> None:
    assert outcome_on(engine, benchmark) == outcome_on(NATIVE, benchmark)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("empty", 2),
        ("memstr", 256),  # the packet's halves are equal: it reads both to the end
        ("prime", sum(all(n % d for d in range(2, 32)) for n in range(1002, 1002 + 64))),
    ],
)
def test_results_that_can_be_known(name: str, expected: int) -> None:
    benchmark = next(one for one in BENCHMARKS if one.name == name)

    assert outcome_on(NATIVE, benchmark).retvals == (expected,)


def test_matmul_changes_the_packet_and_the_parser_accepts_it() -> None:
    by_name = {one.name: one for one in BENCHMARKS}

    assert outcome_on(NATIVE, by_name["matmul"]).packets != frame()
    (parsed,) = outcome_on(NATIVE, by_name["pktparse"]).retvals
    assert parsed & 15 == 9  # PARSED of pktparse.c


def test_bytecode_for_peers_has_no_relocations_left() -> None:
    for benchmark in BENCHMARKS:
        bytecode = benchmark.user()

        assert len(bytecode) % 8 == 0
        assert bytes.fromhex("85100000ffffffff") not in bytecode  # a call that was not resolved
