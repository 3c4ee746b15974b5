"""PROG_TEST_RUN: a run whose buffers are the caller's (net/bpf/test_run.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.linux import EFAULT, ENOSPC
from ebpf.abi.types import ProgramType
from ebpf.runtime.embedded.buffers import given, put, take
from ebpf.runtime.embedded.runs import run_program
from ebpf.vm.fault import Rejected
from ebpf.vm.testrun import TestRequest, TestRun

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.runtime.attrs import ProgTestRun
    from ebpf.runtime.embedded.objects import ProgramObject
    from ebpf.runtime.embedded.state import State

_CONTEXT_IN_PLACE = ProgramType.SYSCALL
"""The type whose context is given back in the buffer that it came in."""
_NO_OUTPUT = frozenset({ProgramType.RAW_TRACEPOINT, ProgramType.SYSCALL})


def answer(state: State, attr: ProgTestRun) -> int:
    """PROG_TEST_RUN. A buffer that is too small is filled, and the answer is ENOSPC with everything else set."""
    program = state.handles.program(attr.prog_fd)
    request = TestRequest(
        data=take(attr.data_in, attr.data_size_in, "data_in"),
        ctx=take(attr.ctx_in, attr.ctx_size_in, "ctx_in") if given(attr.ctx_in) else None,
        repeat=attr.repeat,
        flags=attr.flags,
        cpu=attr.cpu,
        batch_size=attr.batch_size,
        wants_data=given(attr.data_out) or attr.data_size_out > 0,
        wants_ctx=given(attr.ctx_out) or attr.ctx_size_out > 0,
        wants_duration=attr.duration > 0,
    )
    result = run_program(state, program, request)
    attr.retval = result.retval
    if program.program.type in _NO_OUTPUT:
        _give_back(attr, program, result)
        return 0
    attr.duration = result.duration_ns
    full = _fill(attr.data_out, result.data, attr.data_size_out, "data_out")
    attr.data_size_out = len(result.data)
    if given(attr.ctx_out) and result.ctx:
        full = _fill(attr.ctx_out, result.ctx, attr.ctx_size_out, "ctx_out") or full
        attr.ctx_size_out = len(result.ctx)
    if full:
        raise Rejected(ENOSPC, "data_out or ctx_out is too small; the sizes that are needed are filled in")
    return 0


def _give_back(attr: ProgTestRun, program: ProgramObject, result: TestRun) -> None:
    if program.program.type is not _CONTEXT_IN_PLACE or not result.ctx:
        return
    if memoryview(attr.ctx_in or b"").readonly:
        raise Rejected(EFAULT, "ctx_in is written to: expected a bytearray")
    put(attr.ctx_in, result.ctx, "ctx_in")


def _fill(buffer: Buffer | None, data: bytes, room: int, what: str) -> bool:
    """Copy as much as the caller has room for (0: all of it); return whether it did not fit."""
    part = data[:room] if room else data
    if given(buffer):
        put(buffer, part, what)
    return len(part) < len(data)
