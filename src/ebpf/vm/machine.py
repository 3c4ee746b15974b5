"""One run of a program: what engines and helper bodies share, limits and faults, and what it may not leave behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ebpf.errors import ProgramFault
from ebpf.vm.epochs import Epoch
from ebpf.vm.fault import Fault
from ebpf.vm.memory import AddressSpace
from ebpf.vm.values import places_of

if TYPE_CHECKING:
    from ebpf.vm.kernel import Kernel
    from ebpf.vm.program import Program

DEFAULT_BUDGET = 1 << 26
"""Instructions that a run may execute unless the kernel says otherwise."""
STACK_SIZE = 512
MAX_FRAMES = 8
MAX_TAIL_CALLS = 33
MAX_LOOPS = 8 << 20
"""How often may_goto stays in its loop (BPF_MAX_LOOPS)."""

HelperCall: TypeAlias = "Callable[[Run, int, tuple[int, int, int, int, int]], int]"


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


class Execution:
    """One run in an engine. `start` is the context that the program was given in r1."""

    __slots__ = ("epoch", "helper", "memory", "run", "start")

    def __init__(self, run: Run, helper: HelperCall | None) -> None:
        self.epoch = Epoch()
        self.run = run
        self.helper = helper or call_kernel_helper
        self.memory = run.memory
        self.memory.reach(places_of(run.program))
        self.start = 0

    @property
    def foreign(self) -> bool:
        """Whether the helpers are not the kernel's."""
        return self.helper is not call_kernel_helper

    def map_address(self, index: int) -> int:
        """Return the address that stands for a map of the program."""
        map_ = self.run.program.maps[index]
        return self.memory.object(map_, f"map {map_.name}")

    def map_value_address(self, index: int) -> int:
        """Return the address of the only element of an array map."""
        map_ = self.run.program.maps[index]
        view = map_.lookup(bytes(map_.key_size), self.run.cpu)
        if view is None:
            raise Fault("memory", f"map {map_.name} has no first element")
        return self.memory.value(view, map_)

    def function(self, slot: int) -> int:
        """Return the slot of a function that may be called back."""
        if slot not in self.run.program.callbacks:
            raise Fault("call", f"{slot:#x} is not a function of the program", address=slot)
        return slot

    def tail_target(self, context: int, prog_array: int, index: int) -> Program | None:
        """Return the program that a tail call switches to, and count the call; None to go on after it."""
        run = self.run
        if context != self.start:
            raise Fault("helper", "tail_call: the first argument is not the context", address=context)
        if run.locks:
            raise Fault("helper", "tail_call was called while a spin lock is held")
        if run.tail_calls >= MAX_TAIL_CALLS:
            return None
        target = run.kernel.program_of(self.memory.object_at(prog_array), index)
        if target is not None:
            run.tail_calls += 1
            self.memory.reach(places_of(target))
        return target

    def check_open(self) -> None:
        """Raise Fault when the kernel has been closed. Engines ask every few milliseconds, and before callbacks."""
        _check_open(self.run)

    def report(self, fault: Fault, slot: int) -> ProgramFault:
        """Say where and among which regions a fault happened."""
        program = self.run.program
        source = program.source(slot)
        place = f"{program.name or 'program'}: insn {slot}" + (f" ({source})" if source else "")
        return ProgramFault(
            f"{place}: {fault.message}",
            kind=fault.kind,
            insn=slot,
            source=source,
            address=fault.address,
            regions=tuple(self.memory.describe()),
        )


def _check_open(run: Run) -> None:
    kernel: Kernel | None = run.kernel  # bare instructions have none
    if kernel is not None and kernel.closed:
        raise Fault("closed", "the kernel was closed while the program ran")


def check_open_between_runs(program: Program, kernel: Kernel | None) -> None:
    """Raise ProgramFault when the kernel has been closed, before one more of many runs."""
    if kernel is None or not kernel.closed:  # bare instructions have none
        return
    execution = Execution(Run(program, kernel), None)
    try:
        execution.check_open()
    except Fault as fault:
        raise execution.report(fault, 0) from None


def call_kernel_helper(run: Run, number: int, args: tuple[int, int, int, int, int]) -> int:
    """Call a helper of the kernel's, whose modules are imported by the first call: most runs need none in Python.

    It takes microseconds, of which there are too many between two looks that engines count in instructions.
    """
    from ebpf.vm.helpers.dispatch import call_helper

    _check_open(run)
    return call_helper(run, number, args)


def out_of_budget() -> Fault:
    """Return the fault of a run that has executed all the instructions it may."""
    return Fault("budget", "the instruction budget of the run is used up; raise it or bound the loop")


def too_many_frames() -> Fault:
    """Return the fault of a call that is nested too deep."""
    return Fault("stack", f"more than {MAX_FRAMES} frames")


def python_stack_is_full() -> Fault:
    """Return the fault of a run that has no room left on the Python stack."""
    return Fault("stack", "the Python stack is too deep for one more frame; run from a shallower caller")
