"""The limit: the same sources, compiled by clang to a shared library."""

from __future__ import annotations

import ctypes
from pathlib import Path

from benchmarks.programs import Benchmark
from benchmarks.subject import Outcome


class _Context(ctypes.Structure):
    """`struct context` of programs/program.h."""

    _fields_ = (("data", ctypes.c_void_p), ("end", ctypes.c_void_p))


class NativeSubject:
    """A native program over a packet of its own; satisfies Subject."""

    def __init__(self, library: Path, benchmark: Benchmark) -> None:
        self._library = ctypes.CDLL(str(library))
        self._loop = self._library.bench_loop
        self._loop.restype = ctypes.c_uint64
        self._program = ctypes.cast(getattr(self._library, f"native_{benchmark.name}"), ctypes.c_void_p)
        packet = benchmark.packet()
        self._packet = ctypes.create_string_buffer(packet, len(packet))
        start = ctypes.addressof(self._packet)
        self._context = _Context(start, start + len(packet))

    def outcome(self) -> Outcome:
        """Run once."""
        return Outcome((self._run(1)[0],), self._packet.raw)

    def warm(self) -> None:
        """Nothing: it is compiled."""

    def sample(self, repeat: int) -> float:
        """Run in loop.c, which takes the time itself."""
        return self._run(repeat)[1] / repeat

    def close(self) -> None:
        """Nothing: the library stays mapped."""

    def _run(self, repeat: int) -> tuple[int, int]:
        elapsed = ctypes.c_uint64()
        context = ctypes.byref(self._context)
        result = self._loop(self._program, context, ctypes.c_uint64(repeat), ctypes.byref(elapsed))
        return result, elapsed.value
