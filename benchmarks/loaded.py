"""Programs loaded through the library: on our engines, and in the Linux kernel."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

from benchmarks.errors import Missing
from benchmarks.programs import Benchmark, fill
from benchmarks.subject import Outcome
from ebpf import Collection, CollectionSpec, Program
from ebpf.errors import NotSupportedError, SystemCallError
from ebpf.objects.native import make_native

_JIT_SWITCH = Path("/proc/sys/net/core/bpf_jit_enable")

SETTLE_S = 10
"""How long the JIT may take for its best code, which it compiles on a thread of its own."""


class LoadedSubject:
    """A program of a live collection, which this owns, and its packets; satisfies Subject."""

    def __init__(self, collection: Collection, program: Program, *packets: bytes) -> None:
        self._collection = collection
        self.program = program
        self.packets = packets

    def outcome(self) -> Outcome:
        """Run once over each packet."""
        results = [self.program.run(packet) for packet in self.packets]
        return Outcome(tuple(result.retval for result in results), b"".join(result.data for result in results))

    def warm(self) -> None:
        """Run a few times, and wait until the JIT has compiled its best code."""
        for packet in self.packets:
            self.program.run(packet, repeat=100)
        if self.program.engine == "jit":
            settle()

    def sample(self, repeat: int) -> float:
        """Return the mean over the packets."""
        return fmean(self._sample(packet, repeat) for packet in self.packets)

    def _sample(self, packet: bytes, repeat: int) -> float:
        """Take the slope between two numbers of runs, so that what a call costs once is in neither."""
        return slope(lambda runs: self.program.run(packet, repeat=runs), repeat)

    def close(self) -> None:
        """Unload program and maps."""
        self._collection.close()


class KernelSubject(LoadedSubject):
    """The same in the Linux kernel, which takes the time itself, in whole ns per run."""

    def _sample(self, packet: bytes, repeat: int) -> float:
        """Not by our clock: the test run's dispatcher takes milliseconds to install (kernel/bpf/dispatcher.c)."""
        return float(self.program.run(packet, repeat=repeat).duration_ns)


def on_engine(benchmark: Benchmark, *, engine: str, trusted: bool = False) -> LoadedSubject:
    """Load a program for one of our engines. Raises Missing where the engine is not there."""
    collection = load(CollectionSpec.from_file(benchmark.xdp()), engine=engine, trusted=trusted)
    return LoadedSubject(collection, fill(collection), benchmark.packet())


def from_image(benchmark: Benchmark) -> LoadedSubject:
    """Compile a program ahead of time, and load the image. Raises Missing where there is no compiler."""
    try:
        image = make_native(benchmark.xdp().read_bytes(), name=benchmark.name)
    except NotSupportedError as error:
        raise Missing(str(error)) from None
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"{benchmark.name}.native"
        path.write_bytes(image.pack())
        collection = Collection.load_native(path, allow_unsigned=True)
    return LoadedSubject(collection, fill(collection), benchmark.packet())


def in_kernel(benchmark: Benchmark) -> LoadedSubject:
    """Load a program into the Linux kernel. Raises Missing where it may not be, or would not be compiled."""
    collection = load_kernel(CollectionSpec.from_file(benchmark.xdp()))
    return KernelSubject(collection, fill(collection), benchmark.packet())


def load(spec: CollectionSpec, *, engine: str, trusted: bool = False) -> Collection:
    """Load into the embedded kernel. Raises Missing where the engine is not there."""
    try:
        collection = spec.load(runtime="embedded", engine=engine, trusted=trusted)
    except NotSupportedError as error:
        raise Missing(str(error)) from None
    for program in collection.programs.values():
        if engine not in ("auto", program.engine):
            collection.close()
            raise Missing(f"asked for {engine}, got {program.engine}: {program.engine_reason}")
    return collection


def load_kernel(spec: CollectionSpec) -> Collection:
    """Load into the Linux kernel. Raises Missing."""
    if not _JIT_SWITCH.exists() or _JIT_SWITCH.read_text().strip() == "0":
        raise Missing("the kernel does not compile programs (net.core.bpf_jit_enable)")
    try:
        return spec.load(runtime="linux")
    except (NotSupportedError, SystemCallError) as error:
        raise Missing(str(error)) from None


def settle() -> None:
    """Wait until no other thread of this process works."""
    end = time.monotonic() + SETTLE_S
    idle = 0
    while idle < 3 and time.monotonic() < end:
        before = _of_others()
        time.sleep(0.05)
        idle = idle + 1 if _of_others() - before < 1_000_000 else 0


def _of_others() -> int:
    return time.process_time_ns() - time.thread_time_ns()


def slope(run: Callable[[int], object], repeat: int) -> float:
    """Return ns per run between `repeat` runs and a tenth as many; fewer than ten take long enough by themselves."""
    few = repeat // 10
    if not few:
        return _elapsed(run, repeat) / repeat
    return (_elapsed(run, repeat) - _elapsed(run, few)) / (repeat - few)


def _elapsed(run: Callable[[int], object], repeat: int) -> int:
    """Return the time of this thread, so that neither other processes nor a thread that compiles count."""
    start = time.thread_time_ns()
    run(repeat)
    return time.thread_time_ns() - start
