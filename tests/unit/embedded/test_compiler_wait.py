"""The kernel is closed while a run waits for the compiler: it does not begin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ebpf.codegen.compiler import Tier
from ebpf.codegen.flat import FlatCode
from ebpf.errors import ProgramFault
from ebpf.objects.packets import gather
from ebpf.runtime.base import Runner
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.vm.engines import VARIABLE
from ebpf.vm.jit import tiers
from ebpf.vm.jit.compiled import cached_code
from ebpf.vm.program import Program
from tests.unit.embedded.test_lanes import tail_caller
from tests.unit.embedded_programs import kernel, load

pytestmark = pytest.mark.usefixtures("jit")

PACKET = bytes(64)
WAYS: dict[str, Callable[[Runner], object]] = {
    "run": lambda runner: runner.run(PACKET),
    "repeat": lambda runner: runner.run(PACKET, repeat=3),
    "run_many": lambda runner: runner.run_many(gather([PACKET] * 3)),
}


def close_while_compiling(which: int, runtime: EmbeddedRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Close the kernel while program number `which` is compiled, from 1 on."""
    compiled: list[Program] = []

    def compile_slowly(program: Program, *, tier: Tier, trusted: bool) -> FlatCode:
        compiled.append(program)
        if len(compiled) == which:
            runtime.close()
        return cached_code(program, tier=tier, trusted=trusted)

    monkeypatch.setattr(tiers, "cached_code", compile_slowly)


@pytest.mark.parametrize("way", WAYS)
def test_the_first_run(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with kernel() as runtime:
        facts = load(runtime, "r0 = 3\nexit")
        close_while_compiling(1, runtime, monkeypatch)
        with pytest.raises(ProgramFault) as caught:
            WAYS[way](runtime.runner(facts, engine="jit"))
        assert caught.value.kind == "closed"
        facts.handle.close()


def test_the_program_that_a_tail_call_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "jit")
    with tail_caller() as (runtime, runner, _):
        close_while_compiling(2, runtime, monkeypatch)
        with pytest.raises(ProgramFault) as caught:
            runner.run(PACKET)
        assert caught.value.kind == "closed"
