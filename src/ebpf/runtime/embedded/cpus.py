"""Virtual CPUs: a run owns one from entry to exit, so that per-CPU values need no atomics."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ebpf.abi.linux.errno import ENXIO
from ebpf.vm.fault import Rejected


class Cpus:
    """The CPUs of one kernel. Threads may share it."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.Condition(threading.Lock())
        self._owners: list[int | None] = [None] * count
        self._active: list[list[object]] = [[] for _ in range(count)]

    @contextmanager
    def enter(self, program: object, *, cpu: int | None = None) -> Iterator[int | None]:
        """Own a CPU (the one asked for, or any) while the block runs; waits until it is free.

        A thread that owns one already runs on it, nested. Gives None when `program` itself is what runs there
        already: such a run is skipped, as in the kernel. Raises Rejected (ENXIO) for a CPU that does not exist.
        """
        if cpu is not None and cpu >= self.count:
            raise Rejected(ENXIO, f"there is no CPU {cpu}, only {self.count}")
        mine = self._owned()
        if mine is None:
            mine = self._acquire(cpu)
            try:
                with self._running(mine, program):
                    yield mine
            finally:
                self._release(mine)
        elif program in self._active[mine]:
            yield None
        else:
            with self._running(mine, program):
                yield mine

    @contextmanager
    def _running(self, cpu: int, program: object) -> Iterator[None]:
        self._active[cpu].append(program)
        try:
            yield
        finally:
            self._active[cpu].pop()

    def _owned(self) -> int | None:
        me = threading.get_ident()
        return next((i for i, owner in enumerate(self._owners) if owner == me), None)

    def _acquire(self, wanted: int | None) -> int:
        with self._free:
            while True:
                for cpu in range(self.count) if wanted is None else (wanted,):
                    if self._owners[cpu] is None:
                        self._owners[cpu] = threading.get_ident()
                        return cpu
                self._free.wait()

    def _release(self, cpu: int) -> None:
        with self._free:
            self._owners[cpu] = None
            self._free.notify_all()
