"""The seam between engines, helper bodies and the kernel around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ebpf.vm.maps import Map
    from ebpf.vm.memory import AddressSpace
    from ebpf.vm.program import Program


class Kernel(Protocol):
    """What a run asks of the kernel it runs in. Helper bodies use nothing else."""

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


class Run:
    """One run of one program on one virtual CPU: what engines and helper bodies share. Never shared by threads.

    `context` belongs to the program type (packet state, result of redirect). `call` runs a function of the
    program (a callback) and returns its r0: the engine sets it for the duration of the run.
    """

    __slots__ = ("budget", "call", "context", "cpu", "kernel", "locks", "memory", "program", "reservations", "tail_calls")

    kernel: Kernel
    memory: AddressSpace
    program: Program
    cpu: int
