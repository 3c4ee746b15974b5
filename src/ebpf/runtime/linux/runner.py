"""Test runs on a chosen CPU."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ebpf.abi.types import ProgramType
from ebpf.runtime.facts import RunResult
from ebpf.runtime.runs import BpfRunner

if TYPE_CHECKING:
    from typing_extensions import Buffer


class LinuxRunner(BpfRunner):
    """Runs one program through PROG_TEST_RUN. Threads may share it."""

    def run(
        self,
        data: Buffer = b"",
        *,
        ctx: Buffer | None = None,
        repeat: int = 1,
        cpu: int | None = None,
        flags: int = 0,
    ) -> RunResult:
        """Run the program; see BpfRunner.run. On `cpu` it runs by moving this thread there for the call.

        The kernel itself offers that for raw tracepoints only, and there without moving.
        """
        if cpu is None or self._program.type is ProgramType.RAW_TRACEPOINT or sys.platform != "linux":
            return super().run(data, ctx=ctx, repeat=repeat, cpu=cpu, flags=flags)
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {cpu})
        try:
            return super().run(data, ctx=ctx, repeat=repeat, flags=flags)
        finally:
            os.sched_setaffinity(0, allowed)
