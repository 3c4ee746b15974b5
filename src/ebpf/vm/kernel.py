"""The seam between programs and the kernel around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ebpf.vm.maps import Map
    from ebpf.vm.program import Program


class Kernel(Protocol):
    """What a run asks of the kernel it runs in. Helper bodies use nothing else."""

    closed: bool
    """True once the kernel has ended: runs stop with a fault within 100 ms."""

    @property
    def waits(self) -> bool:
        """Whether runs that begin on this thread ask `on_full` of a ring that is full; others lose the record."""

    def ktime_ns(self) -> int:
        """Monotonic nanoseconds (the embedded `clock` option)."""

    def boot_ns(self) -> int: ...
    def tai_ns(self) -> int: ...
    def random_u32(self) -> int:
        """Next pseudo-random number (deterministic with the embedded `seed` option)."""

    def pid_tgid(self) -> int: ...
    def uid_gid(self) -> int: ...
    def comm(self) -> bytes:
        """Name of the current task, at most 15 bytes."""

    def trace(self, text: str) -> None:
        """Keep one line of trace_printk."""

    def program_of(self, prog_array: Map, index: int) -> Program | None:
        """The program in a slot of a program array, for tail calls."""
