"""Many packets in one buffer, and what came of running a program over them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import accumulate

from ebpf.plain import NamedTuple


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


def packet_note(index: int) -> str:
    """Return what is noted on the error of one of many packets."""
    return f"packet {index} of the batch"
