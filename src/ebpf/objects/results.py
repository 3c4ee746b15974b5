"""What comes of running a program: counts, and the outcome of many runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from array import array

    from ebpf.objects.batch import Batch


@dataclass(frozen=True, slots=True)
class ProgramStats:
    """How often and how long a program ran; the kernel counts while statistics are enabled (Linux 5.1).

    `run_time_ns` is the sum over `run_count` runs, `recursion_misses` counts runs that were skipped (Linux 5.12).
    Immutable, so that threads may share it.
    """

    run_count: int
    run_time_ns: int
    recursion_misses: int


@dataclass(frozen=True, slots=True, repr=False)
class RunManyResult:
    """Outcome of many runs: `retvals` and `lengths` by packet, `data` the packets that the program left behind.

    A copy, detached from the program: threads may share it.
    """

    retvals: array[int]
    lengths: array[int]
    data: Batch

    def __repr__(self) -> str:
        return f"<RunManyResult of {len(self.retvals)} packets, {sum(self.lengths)} bytes>"
