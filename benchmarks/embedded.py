"""Our engines: programs loaded into an embedded kernel of their own."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.errors import Missing
from benchmarks.programs import Benchmark, fill
from benchmarks.subject import Outcome
from ebpf import Collection, CollectionSpec, Program, embedded
from ebpf.errors import NotSupportedError


class LoadedSubject:
    """A program of a live collection, which this owns; satisfies Subject."""

    def __init__(self, collection: Collection, program: Program, packet: bytes) -> None:
        self._collection = collection
        self.program = program
        self.packet = packet

    def outcome(self) -> Outcome:
        """Run once."""
        result = self.program.run(self.packet)
        return Outcome(result.retval, result.data)

    def sample(self, repeat: int) -> float:
        """Take the slope between two numbers of runs: what a call costs once is in neither."""
        return slope(lambda runs: self.program.run(self.packet, repeat=runs), repeat)

    def close(self) -> None:
        """Unload program and maps."""
        self._collection.close()


class EmbeddedSubject(LoadedSubject):
    """The same, in an embedded kernel that nobody else uses."""

    def __init__(self, benchmark: Benchmark, *, engine: str, trusted: bool = False) -> None:
        """Load it. Raises Missing where the engine is not there."""
        spec = CollectionSpec.from_file(benchmark.xdp())
        self._kernel = embedded()
        collection = load(spec, self._kernel, engine=engine, trusted=trusted)
        super().__init__(collection, fill(collection), benchmark.packet())

    def close(self) -> None:
        """Close the kernel, too."""
        super().close()
        self._kernel.close()
