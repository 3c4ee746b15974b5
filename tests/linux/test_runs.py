"""Loading and running programs in the kernel."""

from __future__ import annotations

import os
import signal
import struct
import time

import pytest

from ebpf.abi.types import Cmd, ProgramType
from ebpf.errors import NotSupportedError, SystemCallError
from ebpf.runtime.attrs import ProgLoad
from ebpf.runtime.linux import call
from ebpf.runtime.load import load_program, log_of
from tests.linux.making import KERNEL, RETURN_ZERO, a_program, code, u64

WRITE_PACKET = """
r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)
r4 = r2
r4 += 14
if r4 > r3 goto +2
w5 = 66
*(u8 *)(r2 + 1) = r5
r0 = 2
exit
"""


def test_a_run_returns_what_the_program_left() -> None:
    with a_program(WRITE_PACKET, kind=ProgramType.XDP) as program:
        result = KERNEL.runner(program).run(bytes(20))
    assert (result.retval, result.data, result.redirect) == (2, b"\0B" + bytes(18), None)
    assert result.ctx == b""


def test_a_run_on_each_cpu() -> None:
    with a_program("call 8\nexit") as program:
        runner = KERNEL.runner(program)
        before = os.sched_getaffinity(0)
        assert [runner.run(bytes(20), cpu=cpu).retval for cpu in sorted(before)] == sorted(before)
        assert os.sched_getaffinity(0) == before
    with a_program("call 8\nexit", kind=ProgramType.RAW_TRACEPOINT) as program:
        runner = KERNEL.runner(program)
        assert [runner.run(ctx=bytes(16), cpu=cpu).retval for cpu in range(KERNEL.cpus)] == list(range(KERNEL.cpus))


def test_a_syscall_program_changes_its_context() -> None:
    text = "r2 = *(u64 *)(r1 + 0)\nr2 += 1\n*(u64 *)(r1 + 0) = r2\nr0 = 3\nexit"
    with a_program(text, kind=ProgramType.SYSCALL, flags=16) as program:
        context = u64(41)
        result = KERNEL.runner(program).run(ctx=context)
    assert (result.retval, result.ctx, context) == (3, u64(42), u64(41))


def test_a_context_comes_back() -> None:
    context = bytearray(192)
    struct.pack_into("=I", context, 8, 77)  # mark
    text = "r2 = *(u32 *)(r1 + 8)\nr2 += 1\n*(u32 *)(r1 + 8) = r2\nr0 = 0\nexit"
    with a_program(text, kind=ProgramType.SCHED_CLS) as program:
        result = KERNEL.runner(program).run(bytes(64), ctx=context)
    assert struct.unpack_from("=I", result.ctx, 8) == (78,)


def test_too_short_a_packet_is_einval() -> None:
    with a_program(kind=ProgramType.XDP) as program, pytest.raises(SystemCallError, match="EINVAL"):
        KERNEL.runner(program).run(b"short")


def test_an_engine_is_refused() -> None:
    told = r"engine 'jit' is not supported on the linux runtime; .*: take the embedded runtime"
    with a_program() as program, pytest.raises(NotSupportedError, match=told):
        KERNEL.runner(program, engine="jit")


def test_an_interrupted_run_is_made_again() -> None:
    """EINTR of a test run is never success: the handler runs and the result is still the program's."""
    fired: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: fired.append(1))
    try:
        with a_program("r0 = 7\nexit", kind=ProgramType.XDP) as program:
            runner = KERNEL.runner(program)
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            deadline = time.monotonic() + 20
            while not fired and time.monotonic() < deadline:
                assert runner.run(bytes(20), repeat=200_000).retval == 7
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert fired


def test_interrupts_and_busy_loads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from ebpf.abi.linux import EAGAIN, EINTR

    for cmd, errno, attempts in ((Cmd.PROG_LOAD, EAGAIN, 30), (Cmd.PROG_TEST_RUN, EINTR, 1000)):
        calls: list[int] = []
        monkeypatch.setattr(call, "bpf_function", lambda calls=calls: lambda *_: calls.append(1) or -1)
        monkeypatch.setattr(call, "last_errno", lambda errno=errno: errno)
        assert call._attempt(cmd, bytearray(8), 0, 8) == -errno
        assert len(calls) == attempts


def test_a_load_is_silent_until_it_is_refused() -> None:
    insns = code("r0 = r3\nexit")
    attr = ProgLoad(prog_type=ProgramType.SOCKET_FILTER, insns=insns, insn_cnt=2, license=b"GPL")
    with pytest.raises(SystemCallError, match="EACCES") as caught:
        load_program(KERNEL, attr)
    assert "R3 !read_ok" in vars(caught.value)["log"]
    good = ProgLoad(prog_type=ProgramType.SOCKET_FILTER, insns=code(RETURN_ZERO), insn_cnt=2, license=b"GPL")
    KERNEL.own(load_program(KERNEL, good)).close()
    assert (good.log_buf, log_of(good)) == (None, "")


def test_a_log_that_was_asked_for_comes_on_success() -> None:
    attr = ProgLoad(prog_type=ProgramType.SOCKET_FILTER, insns=code(RETURN_ZERO), insn_cnt=2, license=b"GPL")
    KERNEL.own(load_program(KERNEL, attr, log_level=2)).close()
    assert "0: (b7) r0 = 0" in log_of(attr)


def test_a_log_grows_until_it_fits() -> None:
    text = "r0 = 0\n" * 4000 + "r0 = r3\nexit"
    insns = code(text)
    attr = ProgLoad(prog_type=ProgramType.SOCKET_FILTER, insns=insns, insn_cnt=len(insns) // 8, license=b"GPL")
    with pytest.raises(SystemCallError, match="EACCES") as caught:
        load_program(KERNEL, attr)
    log = vars(caught.value)["log"]
    assert len(log) > 70_000
    assert log.startswith("0: ") or "func#0" in log
    assert "R3 !read_ok" in log
