"""What is measured: one program on one engine, with its packet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run returned and the packet that it left behind: equal on all engines, or one of them is wrong."""

    retval: int
    packet: bytes

    def __str__(self) -> str:
        return f"{self.retval} and a packet with digest {hash(self.packet) & 0xFFFFFFFF:08x}"


class Subject(Protocol):
    """A program ready to run. One thread at a time."""

    def outcome(self) -> Outcome:
        """Return the outcome of one run."""

    def sample(self, repeat: int) -> float:
        """Return ns per run, measured over `repeat` runs in a loop of native code where the engine has one."""

    def close(self) -> None:
        """Let go of the program."""
