"""What is measured: one program on one engine, with its packet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from zlib import crc32


@dataclass(frozen=True, slots=True)
class Outcome:
    """What runs returned and the packets that they left behind: equal on all engines, or one of them is wrong."""

    retvals: tuple[int, ...]
    packets: bytes

    def __str__(self) -> str:
        return f"r0 {', '.join(map(str, self.retvals))}, CRC of the packet {crc32(self.packets):08x}"


class Subject(Protocol):
    """A program ready to run. One thread at a time."""

    def outcome(self) -> Outcome:
        """Return the outcome of one run over each packet."""

    def warm(self) -> None:
        """Bring the program to the state that it stays in."""

    def sample(self, repeat: int) -> float:
        """Return ns per run, measured over `repeat` runs in a loop of native code where the engine has one."""

    def close(self) -> None:
        """Let go of the program."""
