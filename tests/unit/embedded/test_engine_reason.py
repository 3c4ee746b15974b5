"""What a program says about the engine that runs it, once compiling it has failed."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

import ebpf
from ebpf.codegen.compiler import CompileError
from ebpf.vm.engines import VARIABLE, Engine
from ebpf.vm.jit import tiers


def test_the_reason_says_what_is_missing(jit: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise CompileError("llvmlite can't be loaded")

    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(tiers, "cached_code", refuse)
    instructions = ebpf.Instructions.from_asm("r0 = 2\nexit")
    spec = ebpf.CollectionSpec(programs={"p": ebpf.ProgramSpec("p", ebpf.ProgramType.XDP, instructions)})
    with closing(ebpf.runtime.embedded()) as kernel, spec.load(runtime=kernel) as loaded:
        program, end = loaded.programs["p"], time.monotonic() + 60
        assert (program.engine, program.engine_reason[:11]) == ("interpreter", "the fastest")
        while program.engine_reason.startswith("the fastest") and time.monotonic() < end:
            program.run(bytes(64), repeat=1000)
        assert program.engine_reason == "compiling failed: llvmlite can't be loaded"
        assert program.engine == "interpreter"
