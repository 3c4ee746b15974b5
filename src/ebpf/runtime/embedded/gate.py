"""What native code looks at before it begins a run without asking (struct gate in support/python.c)."""

from __future__ import annotations

from array import array

from ebpf.vm.native import GATE_WORDS

_OWNED, _STATISTICS, _CLOSED, _CLAIMED = range(GATE_WORDS)


class Gate:
    """Four numbers at an address that stays; a run may begin while all are 0. Threads may share it, under the GIL."""

    def __init__(self) -> None:
        self._words = array("Q", bytes(8 * GATE_WORDS))
        self.address = self._words.buffer_info()[0]

    @property
    def owned(self) -> int:
        """How many virtual CPUs have an owner."""
        return self._words[_OWNED]

    @owned.setter
    def owned(self, count: int) -> None:
        self._words[_OWNED] = count

    @property
    def statistics(self) -> int:
        """How many ask that run times are counted."""
        return self._words[_STATISTICS]

    @statistics.setter
    def statistics(self, count: int) -> None:
        self._words[_STATISTICS] = count

    @property
    def closed(self) -> bool:
        """Whether the kernel was closed."""
        return bool(self._words[_CLOSED])

    @closed.setter
    def closed(self, closed: bool) -> None:
        self._words[_CLOSED] = closed

    @property
    def claimed(self) -> bool:
        """Whether CPU 0 belongs to a run that began in native code and has no owner in Python yet."""
        return bool(self._words[_CLAIMED])

    @claimed.setter
    def claimed(self, claimed: bool) -> None:
        self._words[_CLAIMED] = claimed
