"""The 13 programs: what each one exercises, the packet that it runs over, its bytecode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.packets import frame, twin
from benchmarks.toolchain import compile_bpf
from ebpf import Collection, CollectionSpec, Program

ENTRY = "program"
"""What every source calls its program."""
MAP = "cells"
ELEMENTS = 1024
LOOKUPS = 256
"""Look-ups of a run of maparr or maphash."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A source of programs/. `exercises` says what it measures."""

    name: str
    exercises: str
    packet: Callable[[], bytes] = frame

    def xdp(self) -> Path:
        """Return the object for kernels. Raises Missing where the compiler is."""
        return compile_bpf(f"{self.name}.c", "XDP")

    def user(self) -> bytes:
        """Return bytecode without relocations, for engines that know no kernel's context. Raises Missing."""
        spec = CollectionSpec.from_file(compile_bpf(f"{self.name}.c", "USER"))
        return spec.programs[ENTRY].insns.encode("little")


BENCHMARKS = (
    Benchmark("empty", "entering and leaving"),
    Benchmark("pktparse", "a protocol parser: branches, bounds"),
    Benchmark("csum", "16-bit loads over a moving pointer"),
    Benchmark("fnv1a", "a chain of multiplications"),
    Benchmark("crc32", "32-bit shifts in a nested loop"),
    Benchmark("prime", "64-bit remainders"),
    Benchmark("log2", "dependent arithmetic without branches"),
    Benchmark("memstr", "the stack through an index", twin),
    Benchmark("matmul", "loads and stores by computed address"),
    Benchmark("calls", "subprograms, three deep"),
    Benchmark("swtch", "a switch of 13 ways"),
    Benchmark("maparr", "array map look-ups"),
    Benchmark("maphash", "hash map look-ups"),
)
G8 = ("pktparse", "csum", "fnv1a", "prime", "log2", "memstr", "matmul", "swtch")
"""The rows of the geometric mean. Left out: empty, which is the loop around it; the maps, which have figures of their
own; crc32 and calls, where the barrier that holds native code back is not in the bytecode."""


def fill(collection: Collection) -> Program:
    """Put all keys into the map, if there is one, and return the program."""
    if MAP in collection.maps:
        cells = collection.maps[MAP]
        for key in range(ELEMENTS):
            cells[key] = 0  # type: ignore[index]
    return collection.programs[ENTRY]
