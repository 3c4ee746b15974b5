"""The seam between engines, helper bodies and the kernel around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ebpf.vm.fault import Fault
from ebpf.vm.memory import AddressSpace

if TYPE_CHECKING:
    from ebpf.vm.maps import Map
    from ebpf.vm.program import Program

DEFAULT_BUDGET = 1 << 26
"""Instructions that a run may execute unless the kernel says otherwise."""


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


class Run:
    """One run of one program on one virtual CPU: what engines and helper bodies share. Never shared by threads.

    - `program` is the one that runs now (a tail call changes it), `memory` its address space.
    - `context` belongs to the program type (packet state, result of redirect); the engine never looks at it.
    - `call(slot, args)` runs a function of the program (a callback) with up to five arguments and returns its r0;
      the engine sets it for the duration of the run. `slot` is what a function pointer holds.
    - `budget` is how many instructions the run may execute, callbacks and programs of tail calls included.
    - `tail_calls` counts them (limit 33), `locks` are the spin locks held, by address, and `reservations` the ring
      buffer records reserved and not yet submitted, by address; helper bodies keep both. `unclaimed` are records
      that have no address yet: an interrupt may come before they have.
    """

    __slots__ = (
        "budget",
        "call",
        "context",
        "cpu",
        "kernel",
        "locks",
        "memory",
        "program",
        "reservations",
        "tail_calls",
        "unclaimed",
    )

    def __init__(
        self,
        program: Program,
        kernel: Kernel,
        *,
        cpu: int = 0,
        budget: int = DEFAULT_BUDGET,
        context: Any = None,
        memory: AddressSpace | None = None,
    ) -> None:
        self.program = program
        self.kernel = kernel
        self.cpu = cpu
        self.context = context
        self.memory = AddressSpace() if memory is None else memory
        self.budget = budget
        self.tail_calls = 0
        self.locks: dict[int, Any] = {}
        self.reservations: dict[int, Any] = {}
        self.unclaimed: list[Any] = []
        self.call: Callable[[int, Sequence[int]], int] = _not_running


def _not_running(slot: int, args: Sequence[int]) -> int:
    raise Fault("call", f"function at slot {slot} was called with {len(args)} arguments while no engine runs")
