"""What a run may not leave behind: spin locks and reserved records."""

from __future__ import annotations

from collections.abc import Callable

from ebpf.errors import ProgramFault
from ebpf.vm.machine import Run


def checked(run: Run, execute: Callable[[], int]) -> int:
    """Return what `execute` does, and see to it that no lock and no ring record is left behind, whatever happens.

    Raises:
        ProgramFault: as the engine does; with kind "leak" when the program ends with a lock held or a record reserved.
    """
    try:
        result = execute()
    finally:
        locks, records = _take_back(run)
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
