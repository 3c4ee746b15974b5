"""Test runs on a chosen CPU."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ebpf.abi.linux import EINVAL
from ebpf.abi.types import Cmd, ProgramType
from ebpf.errors import SystemCallError
from ebpf.runtime.errors import system_call_error
from ebpf.runtime.facts import RunResult
from ebpf.runtime.runs import BpfRunner

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SHORTEST = 14
"""ETH_HLEN: the kernel runs over no fewer bytes, and answers what it answers to all that is wrong, EINVAL."""


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
            return self._run(data, ctx, repeat, cpu, flags)
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {cpu})
        try:
            return self._run(data, ctx, repeat, None, flags)
        finally:
            os.sched_setaffinity(0, allowed)

    def _run(self, data: Buffer, ctx: Buffer | None, repeat: int, cpu: int | None, flags: int) -> RunResult:
        try:
            return super().run(data, ctx=ctx, repeat=repeat, cpu=cpu, flags=flags)
        except SystemCallError as error:
            size = memoryview(data).nbytes
            if error.errno == EINVAL and self._form.data and size < _SHORTEST:
                reason = f"a packet has at least {_SHORTEST} bytes, got {size}"
                raise system_call_error(Cmd.PROG_TEST_RUN, EINVAL, message=reason) from None
            raise
