"""Program array, the targets of tail calls (kernel/bpf/arraymap.c, `BPF_MAP_TYPE_PROG_ARRAY`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.vm.maps.base import MapShape
from ebpf.vm.maps.slots import SlotArrayMap

if TYPE_CHECKING:
    from ebpf.abi.types import ProgramType
    from ebpf.vm.program import Program


class ProgramArrayMap(SlotArrayMap):
    """Slots of programs of one type: that of the first program that uses the array or goes into it."""

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self.owner: ProgramType | None = None

    def program(self, index: int) -> Program | None:
        """Return the program in a slot, or None. What a slot holds is the kernel's object around it."""
        held = self.held(index)
        found: Program | None = None if held is None else held.program
        return found

    def accepts(self, type_: ProgramType) -> bool:
        """Whether programs of this type may use the array or go into it; the first one decides."""
        with self.lock:
            if self.owner is None:
                self.owner = type_
            return self.owner == type_
