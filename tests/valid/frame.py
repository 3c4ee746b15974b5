"""What a phrase may count on, whatever came before it.

r0 to r5 and r8 are numbers. r6 is the context in the main program, the 32 bytes of its caller's stack elsewhere. r7 is
the packet, of which CHECKED bytes are there (not in callbacks). r9 is the value of the map `out`. The upper part of the
stack holds numbers. Addresses never become numbers, so that results do not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ebpf.abi.types import MapType, ProgramType
from ebpf.vm.maps import MapShape
from tests.stage.stage import Store
from tests.valid.code import load, put, store_constant

NUMBERS = (0, 1, 2, 3, 4, 5, 8)
"""Registers that hold numbers."""
CONTEXT, PACKET, VALUE = 6, 7, 9
CHECKED = 32
SHARED = 32
"""Bytes of its stack that a function lets another one see."""
VALUE_SIZE = 128

_KEYS = tuple((key.to_bytes(4, "little"), bytes([key] * 16)) for key in (1, 2))
STORES = (
    Store(MapShape(MapType.ARRAY, 4, VALUE_SIZE, 1, name="out")),
    Store(MapShape(MapType.ARRAY, 4, 16, 4, name="array")),
    Store(MapShape(MapType.HASH, 4, 16, 4, name="hash"), _KEYS),
    Store(MapShape(MapType.PERCPU_ARRAY, 4, 16, 2, name="percpu")),
    Store(MapShape(MapType.PERCPU_HASH, 4, 16, 4, name="pchash")),
    Store(MapShape(MapType.QUEUE, 0, 16, 3, name="queue"), ((b"", bytes(range(16))),)),
    Store(MapShape(MapType.STACK, 0, 16, 3, name="stack")),
    Store(MapShape(MapType.RINGBUF, 0, 0, 4096, name="ring")),
    Store(MapShape(MapType.PROG_ARRAY, 4, 4, 4, name="progs")),
    Store(MapShape(MapType.ARRAY_OF_MAPS, 4, 4, 2, name="outer"), inner="array"),
)
OUT, ARRAY, HASH, PERCPU, PER_CPU_HASH, QUEUE, STACK, RING, PROGS, OUTER = range(10)


@dataclass(frozen=True)
class Frame:
    """Where a phrase stands: in which function, and how its stack is laid out (offsets from r10).

    `numbers` bytes at the top hold numbers, then come 32 bytes of scratch, the context's place and a loop's counter.
    `depth` is how many functions may still be called below this one.
    """

    type: ProgramType
    numbers: int
    depth: int
    main: bool = False
    callback: bool = False

    @property
    def scratch(self) -> int:
        return -self.numbers - 32

    @property
    def context(self) -> int:
        return self.scratch - 8

    @property
    def counter(self) -> int:
        return self.scratch - 16

    @property
    def spill(self) -> int:
        return self.scratch - 24

    def refill(self, *registers: int) -> bytes:
        """Make numbers of registers that a call has left without any."""
        return b"".join(load(8, register, 10, -8 - 8 * (register % 4)) for register in registers)

    def fill(self, seed: int) -> bytes:
        """Put numbers into the upper part of the stack."""
        places = range(-self.numbers, 0, 8)
        return b"".join(store_constant(8, 10, at, (seed * 40503 ^ at * 2654435761) & 0x7FFFFFFF) for at in places)

    def clear(self) -> bytes:
        """Give the scratch and the counter a value."""
        places = (*range(self.scratch, -self.numbers, 8), self.counter)
        return b"".join(store_constant(8, 10, at, 0) for at in places)


def after_call(frame: Frame, *, result: bool = True) -> bytes:
    """Make numbers of what a helper leaves: r0 is one unless the helper returns nothing."""
    return (b"" if result else put(0, 11)) + frame.refill(1, 2, 3, 4, 5)
