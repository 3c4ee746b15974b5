"""What an address space tells the native code that runs in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ebpf.vm.memory import Region
    from ebpf.vm.values import Places


class Mirror(Protocol):
    """A table of the same regions for native code, told of every change while its engine runs."""

    def enter(self, number: int, region: Region, next_number: int) -> None:
        """Enter a region, or replace what was said about it; the next number is at least `next_number`."""

    def leave(self, number: int) -> None: ...
    def grow(self, places: int, regions: Mapping[int, Region]) -> None: ...
    def point(self, context: int, packet: int) -> None:
        """Take note of the numbers of the regions that are context and packet; 0: there is none."""

    def reach(self, places: Places) -> None:
        """Take note of the maps whose values the run can reach."""

    def take_back(self, places: Places) -> None:
        """Free and discard what native code has taken, and the run does not know of yet."""
