"""Attach points beside LINK_CREATE."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.abi.types import Cmd, LinkType, MapType, ProgramType
from ebpf.errors import ClosedError, NotSupportedError, SystemCallError
from ebpf.runtime import PacketsHook, RunResult, Runtime, SocketFilterHook, TracepointHook
from ebpf.runtime.attrs import LinkCreate
from ebpf.runtime.info import link_info
from tests.linux.making import KERNEL, RETURN_ZERO, a_map, a_program, mounted, u32

COUNT = """
r6 = 0
*(u32 *)(r10 - 4) = r6
r2 = r10
r2 += -4
r1 = 0 ll
call 1
if r0 == 0 goto +2
r1 = 1
lock *(u64 *)(r0 + 0) += r1
r0 = 0
exit
"""


def test_a_tracepoint_runs_the_program(tmp_path: Path) -> None:
    with (
        mounted("tracefs", tmp_path / "tracefs"),
        a_map(MapType.ARRAY) as map_,
        a_program(COUNT, kind=ProgramType.TRACEPOINT, maps=(map_,)) as program,
    ):
        link = KERNEL.attach(program, TracepointHook("syscalls", "sys_enter_getpgid", cookie=5))
        os.getpgid(0)
        assert link_info(KERNEL, link).type is LinkType.PERF_EVENT
        assert link_info(KERNEL, link).details["tp_name"] == "sys_enter_getpgid"
        link.close()
        count = KERNEL.map_io(map_).lookup(u32(0))
        assert struct.unpack("=Q", count)[0] >= 1
        os.getpgid(0)
        assert KERNEL.map_io(map_).lookup(u32(0)) == count
        with pytest.raises(SystemCallError, match="there is no tracepoint syscalls:sys_enter_nothing"):
            KERNEL.attach(program, TracepointHook("syscalls", "sys_enter_nothing"))


def test_a_tracepoint_by_ioctl_where_links_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ebpf.abi.linux import EINVAL
    from ebpf.runtime.errors import system_call_error

    real = type(KERNEL).bpf

    def refuse(self: Runtime, cmd: Cmd, attr: object) -> int:
        if isinstance(attr, LinkCreate):
            raise system_call_error(cmd, EINVAL)
        return real(self, cmd, attr)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(type(KERNEL), "bpf", refuse)
    with mounted("tracefs", tmp_path / "tracefs"), a_program(kind=ProgramType.TRACEPOINT) as program:
        before = len(os.listdir("/proc/self/fd"))
        KERNEL.attach(program, TracepointHook("syscalls", "sys_enter_getpgid")).close()
        with pytest.raises(NotSupportedError, match=r"needs Linux 5\.15"):
            KERNEL.attach(program, TracepointHook("syscalls", "sys_enter_getpgid", cookie=1))
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_socket_filter_drops_until_it_is_closed() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right, a_program(RETURN_ZERO) as program:
        right.settimeout(5)
        handle = KERNEL.attach(program, SocketFilterHook(right.fileno()))
        left.send(b"dropped")
        handle.close()
        left.send(b"kept")
        assert right.recv(16) == b"kept"


def test_a_closed_program_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    with a_program(RETURN_ZERO, kind=ProgramType.TRACEPOINT) as program:
        pass
    with mounted("tracefs", tmp_path / "tracefs"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for hook in (TracepointHook("syscalls", "sys_enter_getpgid"), SocketFilterHook(sock.fileno())):
            before = os.listdir("/proc/self/fd")
            with pytest.raises(ClosedError):
                KERNEL.attach(program, hook)
            assert os.listdir("/proc/self/fd") == before


def test_packets_go_through_test_runs() -> None:
    results: list[tuple[bytes, object]] = []
    ended = threading.Event()
    failures: list[BaseException | None] = []

    def done(failure: BaseException | None) -> None:
        failures.append(failure)
        ended.set()

    packets = [bytes([i]) * 20 for i in range(5)]
    with a_program("r0 = 2\nexit", kind=ProgramType.XDP) as program:
        handle = KERNEL.attach(program, PacketsHook(packets, lambda data, run: results.append((data, run)), done))
        assert ended.wait(10)
        handle.close()
    assert failures == [None]
    assert [data for data, _ in results] == packets
    assert all(isinstance(run, RunResult) and run.retval == 2 for _, run in results)


def test_packets_stop_when_closed() -> None:
    ended = threading.Event()
    failures: list[BaseException | None] = []

    def forever() -> Iterator[bytes]:
        while True:
            yield bytes(20)

    def done(failure: BaseException | None) -> None:
        failures.append(failure)
        ended.set()

    with a_program("r0 = 2\nexit", kind=ProgramType.XDP) as program:
        handle = KERNEL.attach(program, PacketsHook(forever(), None, done))
        handle.close()
    assert ended.wait(10)
    assert failures == [None]
