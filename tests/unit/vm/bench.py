"""Runs a few lines of assembly in the vm, without a runtime around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ebpf.abi.types import ProgramType
from ebpf.asm import Insn, assemble
from ebpf.vm.engines import choose_engine
from ebpf.vm.maps import Map
from ebpf.vm.program import LoadRequest, Program, load_program
from ebpf.vm.testrun import TestRequest, TestRun, test_run


class StillKernel:
    """A kernel where time stands still. `lines` is what was traced, `programs` are the slots of program arrays."""

    closed = False

    def __init__(self) -> None:
        self.lines: list[str] = []

    def ktime_ns(self) -> int:
        return 1_000_000_007

    def boot_ns(self) -> int:
        return 2_000_000_000

    def tai_ns(self) -> int:
        return 3_000_000_000

    def random_u32(self) -> int:
        return 4

    def pid_tgid(self) -> int:
        return 7 << 32 | 8

    def uid_gid(self) -> int:
        return 9 << 32 | 10

    def comm(self) -> bytes:
        return b"a-long-name-123"

    def trace(self, text: str) -> None:
        self.lines.append(text)

    def program_of(self, prog_array: Map, index: int) -> Program | None:
        return None


@dataclass
class Bench:
    """A kernel and the maps that programs name with `map[name]`."""

    maps: Mapping[str, Map]
    kernel: StillKernel

    def load(self, text: str, type_: ProgramType = ProgramType.RAW_TRACEPOINT) -> Program:
        """Load assembly text."""
        names = list(self.maps)

        def resolve(insn: Insn) -> Insn:
            assert insn.reference is not None
            return insn._replace(imm=insn.imm & ~0xFFFFFFFF | names.index(insn.reference.name))

        request = LoadRequest(
            type=type_,
            insns=assemble(text).encode(resolve=resolve),
            license="GPL",
            map_by_fd=lambda fd: self.maps[names[fd]],
        )
        log: list[str] = []
        return load_program(request, log.append)

    def run(
        self,
        text: str,
        type_: ProgramType = ProgramType.RAW_TRACEPOINT,
        *,
        data: bytes = b"",
        ctx: bytes | None = None,
        on_cpu: int = 0,
    ) -> TestRun:
        """Load and run; `data` only for programs with a packet."""
        request = TestRequest(data=data, ctx=ctx)
        return test_run(
            self.load(text, type_), self.kernel, request, on_cpu=on_cpu, cpus=4, budget=1 << 20, engine=choose_engine()
        )


def bench(**maps: Map) -> Bench:
    """Return a bench with these maps."""
    return Bench(maps, StillKernel())
