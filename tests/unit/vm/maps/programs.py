"""Programs on maps in native storage, without a runtime around them."""

from __future__ import annotations

from typing import cast

from ebpf.abi.types import ProgramType
from ebpf.asm.instructions import Instructions
from ebpf.vm.engines import choose_engine
from ebpf.vm.kernel import Kernel
from ebpf.vm.machine import Run
from ebpf.vm.maps import Map
from ebpf.vm.program import LoadRequest, Program, load_program
from tests.unit.vm.bench import StillKernel


def key(number: int) -> bytes:
    return number.to_bytes(4, "little")


def load(text: str, *maps: Map) -> Program:
    """Load assembly that names maps `map_fd[1]` and up."""
    request = LoadRequest(
        type=ProgramType.SYSCALL,
        insns=Instructions.from_asm(text).encode(),
        license="GPL",
        map_by_fd=dict(enumerate(maps, 1)).get,
    )
    return load_program(request, lambda line: None)


def run(program: Program, engine: str, *, cpu: int = 0, budget: int = 1 << 24) -> int:
    return choose_engine(engine).execute(Run(program, cast("Kernel", StillKernel()), cpu=cpu, budget=budget), 0)
