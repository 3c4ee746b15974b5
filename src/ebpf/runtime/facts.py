"""The descriptions that pass through the waist: what runs, what it runs over, and what came of it.

They are immutable, so that threads may share them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from ebpf.plain import NamedTuple

if TYPE_CHECKING:
    from ebpf.abi.types import AttachType, MapType, ProgramType
    from ebpf.runtime.handle import Handle


class Limits(NamedTuple):
    """What an embedded kernel gives out before it answers with ENOMEM, EMFILE, E2BIG or a budget fault."""

    memory: int = 1 << 30
    handles: int = 1 << 16
    insns: int = 1_000_000
    budget: int = 1 << 26


class MapFacts(NamedTuple):
    """What a map is, as far as input and output need it. Sizes in bytes; `handle` stays its owner's."""

    handle: Handle
    type: MapType
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0


class ProgramFacts(NamedTuple):
    """What a program is, as far as running and attaching need it."""

    handle: Handle
    type: ProgramType
    name: str
    attach_type: AttachType | None = None


class Redirect(NamedTuple):
    """Where a program sent its packet.

    `helper` is the helper's name, `target` an ifindex or the map's id, `key` the map key.
    """

    helper: str
    target: int
    key: int | None
    flags: int


class RunResult(NamedTuple):
    """Outcome of one run. `retval` is unsigned 32 bits, `duration_ns` the mean of the repeats.

    `data` and `ctx` are what the program left behind; `redirect` is None where the runtime can't see it (linux).
    """

    retval: int
    data: bytes
    ctx: bytes
    duration_ns: int
    redirect: Redirect | None = None


class JoinedPackets:
    """Packets in one buffer: number i is `lengths[i]` bytes of `data` from `offsets[i]` on. Both arrays are of u64.

    Without offsets each packet begins where the one before it ends, the first at 0. Not to be changed.
    """

    __slots__ = ("_offsets", "data", "lengths")

    def __init__(self, data: memoryview, lengths: array[int], offsets: array[int] | None = None) -> None:
        self.data = data
        self.lengths = lengths
        self._offsets = offsets

    @property
    def adjacent(self) -> bool:
        """Whether it is known that packets follow each other without gaps."""
        return self._offsets is None

    @property
    def offsets(self) -> array[int]:
        """Where the packets begin."""
        if self._offsets is None:
            return array("Q", accumulate(self.lengths, initial=0))[:-1]
        return self._offsets

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[memoryview]:
        for offset, length in zip(self.offsets, self.lengths, strict=True):
            yield self.data[offset : offset + length]


class ManyRuns(NamedTuple):
    """Outcome of one run for each of many packets: return values (32 bits, unsigned) and what is left of each."""

    retvals: array[int]
    packets: JoinedPackets
