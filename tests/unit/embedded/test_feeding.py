"""Packets that a source feeds run on the engine that their program was loaded for."""

from __future__ import annotations

import pytest

from ebpf.abi.types import ProgramType
from ebpf.asm import Instructions
from ebpf.link.packets import packets
from ebpf.runtime.embedded.runs import EmbeddedRunner
from ebpf.spec import CollectionSpec, ProgramSpec
from ebpf.vm.engines import Engine
from tests.unit.embedded_programs import kernel

SPEC = CollectionSpec(
    programs={"pass": ProgramSpec("pass", ProgramType.XDP, Instructions.from_asm("r0 = 2\nexit"), license="GPL")}
)


def test_one_runner_runs_them_all(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make = EmbeddedRunner.__init__

    def counted(self: EmbeddedRunner, *arguments: object, **options: object) -> None:
        make(self, *arguments, **options)  # type: ignore[arg-type]  # what the kernel gives
        made.append(self.engine)

    monkeypatch.setattr(EmbeddedRunner, "__init__", counted)
    with kernel() as runtime, SPEC.load(runtime=runtime, engine=engine.name) as collection:
        program = collection.programs["pass"]
        with packets(program, [bytes(64)] * 3) as source:
            source.wait(20)
        assert source.processed == 3
        assert program.run(bytes(64)).retval == 2
    assert made == [engine.name]
