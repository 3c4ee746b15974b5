"""The table of engines: what stands in the columns of the comparison, in this order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from benchmarks.loaded import from_image, in_kernel, on_engine
from benchmarks.measure import Start
from benchmarks.native import NativeSubject
from benchmarks.peers import CRANELIFT, RBPF, UBPF, Peer, PeerSubject
from benchmarks.programs import Benchmark
from benchmarks.subject import Subject
from benchmarks.toolchain import compile_native


@dataclass(frozen=True, slots=True)
class Engine:
    """A column. `start` makes a program ready to run, or raises Missing."""

    name: str
    what: str
    start: Callable[[Benchmark], Subject]


def _native(benchmark: Benchmark, *flags: str) -> Subject:
    return NativeSubject(compile_native(*flags), benchmark)


def _peer(benchmark: Benchmark, *, peer: Peer, engine: str) -> Subject:
    return PeerSubject(peer, engine, benchmark.user(), benchmark.packet())


NATIVE = Engine("native", "clang -O2, a shared library: the limit", _native)
NATIVE_FREE = Engine(
    "free",
    "clang -O3 -march=native, which may use vectors and unroll loops, as a JIT may",
    lambda benchmark: _native(benchmark, "-O3", "-march=native", "-DFREE"),
)
NATIVE_DESCRIPTOR = Engine(
    "descriptor", "clang -O2, map sizes and tables in memory", lambda benchmark: _native(benchmark, "-DDESCRIPTOR")
)
KERNEL = Engine("kernel", "the Linux kernel's JIT (BPF_PROG_TEST_RUN)", in_kernel)
UNCHECKED = Engine("jit unchecked", "ours: JIT with trusted=True", partial(on_engine, engine="jit", trusted=True))
JIT = Engine("jit", "ours: JIT, every access checked", partial(on_engine, engine="jit"))
IMAGE = Engine(
    "image", "ours: native image, compiled ahead of time for any processor, every access checked", from_image
)
INTERPRETER = Engine("interpreter", "ours: every access checked", partial(on_engine, engine="interpreter"))
REFERENCE = Engine("reference", "ours: pure Python, the definition", partial(on_engine, engine="reference"))
UBPF_JIT = Engine("uBPF jit", "unchecked", partial(_peer, peer=UBPF, engine="jit"))
UBPF_INTERPRETER = Engine("uBPF interp", "every access checked", partial(_peer, peer=UBPF, engine="interpreter"))
RBPF_JIT = Engine("rbpf jit", "unchecked", partial(_peer, peer=RBPF, engine="jit"))
RBPF_INTERPRETER = Engine("rbpf interp", "every access checked", partial(_peer, peer=RBPF, engine="interpreter"))
RBPF_CRANELIFT = Engine(
    "cranelift", "rbpf's compiler: every access checked", partial(_peer, peer=CRANELIFT, engine="cranelift")
)

OURS = (UNCHECKED, JIT, INTERPRETER, REFERENCE)
"""Those of `engine=`."""
PEERS = (UBPF_JIT, UBPF_INTERPRETER, RBPF_JIT, RBPF_CRANELIFT, RBPF_INTERPRETER)
ENGINES = (NATIVE, NATIVE_FREE, KERNEL, UNCHECKED, JIT, IMAGE, INTERPRETER, REFERENCE, *PEERS)


def starts(benchmark: Benchmark, engines: Iterable[Engine]) -> dict[str, Start]:
    """Return what `measure` takes: by name, how each engine gets ready for the program."""
    return {engine.name: partial(engine.start, benchmark) for engine in engines}
