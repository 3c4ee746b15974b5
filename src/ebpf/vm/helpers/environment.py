"""Helpers on time, randomness, processor and task (kernel/bpf/helpers.c): all ask the kernel around the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpf.abi.helpers import Helper
from ebpf.vm.machine import Run

TICK_NS = 4_000_000
"""One jiffy, with 250 of them per second."""


def _ktime(run: Run) -> int:
    return run.kernel.ktime_ns()


def _boot(run: Run) -> int:
    return run.kernel.boot_ns()


def _tai(run: Run) -> int:
    return run.kernel.tai_ns()


def _coarse(run: Run) -> int:
    now = run.kernel.ktime_ns()
    return now - now % TICK_NS


def _jiffies(run: Run) -> int:
    return run.kernel.ktime_ns() // TICK_NS


def _random(run: Run) -> int:
    return run.kernel.random_u32()


def _processor(run: Run) -> int:
    return run.cpu


def _numa_node(run: Run) -> int:
    return 0


def _pid_tgid(run: Run) -> int:
    return run.kernel.pid_tgid()


def _uid_gid(run: Run) -> int:
    return run.kernel.uid_gid()


def _comm(run: Run, buffer: memoryview, size: int) -> int:
    buffer[:] = run.kernel.comm()[: size - 1].ljust(size, b"\0")
    return 0


BODIES: dict[Helper, Callable[..., Any]] = {
    Helper.KTIME_GET_NS: _ktime,
    Helper.KTIME_GET_BOOT_NS: _boot,
    Helper.KTIME_GET_TAI_NS: _tai,
    Helper.KTIME_GET_COARSE_NS: _coarse,
    Helper.JIFFIES64: _jiffies,
    Helper.GET_PRANDOM_U32: _random,
    Helper.GET_SMP_PROCESSOR_ID: _processor,
    Helper.GET_NUMA_NODE_ID: _numa_node,
    Helper.GET_CURRENT_PID_TGID: _pid_tgid,
    Helper.GET_CURRENT_UID_GID: _uid_gid,
    Helper.GET_CURRENT_COMM: _comm,
}
