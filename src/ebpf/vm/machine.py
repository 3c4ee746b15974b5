"""One run of a program: what engines and helper bodies share, and what it may not leave behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ebpf.errors import ProgramFault
from ebpf.vm.fault import Fault
from ebpf.vm.memory import AddressSpace

if TYPE_CHECKING:
    from ebpf.vm.kernel import Kernel
    from ebpf.vm.program import Program

DEFAULT_BUDGET = 1 << 26
"""Instructions that a run may execute unless the kernel says otherwise."""


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


def checked(run: Run, execute: Callable[[], int]) -> int:
    """Return what `execute` does, and see to it that no lock and no ring record is left behind, whatever happens.

    Raises:
        ProgramFault: as the engine does; with kind "leak" when the program ends with a lock held or a record reserved.
    """
    try:
        result = execute()
    finally:
        try:
            locks, records = _take_back(run)
        except BaseException:  # Ctrl-C in the middle of it
            _take_back(run)
            raise
    if locks or records:
        what = "a spin lock held" if locks else f"{records} ring buffer record(s) neither submitted nor discarded"
        raise ProgramFault(f"{run.program.name or 'program'}: exits with {what}", kind="leak")
    return result


def _take_back(run: Run) -> tuple[int, int]:
    if run.memory.mirror is not None:  # an interrupt came before the engine had caught up with native code
        run.memory.mirror.take_back(run.memory.native)
    if not (run.locks or run.reservations or run.unclaimed):
        return 0, 0
    from ebpf.vm.helpers.lock import release_all
    from ebpf.vm.helpers.ring import discard_all

    return release_all(run), discard_all(run)
