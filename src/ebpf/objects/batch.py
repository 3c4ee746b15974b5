"""Many ring records in one block of memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Batch(Sequence[memoryview]):
    """Records as bytes: record i is `lengths[i]` bytes of `data` from `offsets[i]` on.

    A copy, detached from the ring: it stays valid, and threads may share it. Indexing gives read-only memoryviews.
    """

    offsets: array[int]
    lengths: array[int]
    data: bytes

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, index: int) -> memoryview: ...
    @overload
    def __getitem__(self, index: slice) -> Batch: ...
    def __getitem__(self, index: int | slice) -> memoryview | Batch:
        if isinstance(index, slice):
            return Batch(self.offsets[index], self.lengths[index], self.data)
        start = self.offsets[index]
        return memoryview(self.data)[start : start + self.lengths[index]]

    def __repr__(self) -> str:
        return f"<Batch of {len(self)} records, {sum(self.lengths)} bytes>"

    def __iter__(self) -> Iterator[memoryview]:
        view = memoryview(self.data)
        for start, length in zip(self.offsets, self.lengths, strict=True):
            yield view[start : start + length]


def join(records: Sequence[bytes]) -> Batch:
    """Put records that were taken one by one into one Batch."""
    offsets, lengths, end = array("Q"), array("Q"), 0
    for record in records:
        offsets.append(end)
        lengths.append(len(record))
        end += len(record)
    return Batch(offsets, lengths, b"".join(records))
