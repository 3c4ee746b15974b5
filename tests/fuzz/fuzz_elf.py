"""Damage objects and read them: only ObjectFileError may come out, within a second and within bounds of memory.

    python tests/fuzz/fuzz_elf.py [COUNT] [SEED]

Prints the slowest and the most memory-hungry input. Keeps an input that fails as `fuzz-elf-failure.o` in the working
directory, and exits 1.
"""

from __future__ import annotations

import random
import sys
import time
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from ebpf.elf import describe, read_bytes
from ebpf.errors import ObjectFileError
from tests.fuzz.mutations import load_seeds, mutate

SECONDS = 1.0
FREE_BYTES, BYTES_PER_BYTE = 32 << 20, 20
MEASURE_EVERY = 50


def main() -> int:
    """Run; return 1 for a failure."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns())
    seeds = load_seeds()
    refused, slowest, hungriest = 0, 0.0, 0
    for number in range(count):
        data = mutate(rng.choice(seeds), rng)
        measured = number % MEASURE_EVERY == 0
        refused_one, seconds, peak = attempt(data, measure=measured)
        refused += refused_one
        slowest, hungriest = max(slowest, seconds), max(hungriest, peak - BYTES_PER_BYTE * len(data))
        if seconds > SECONDS or peak > FREE_BYTES + BYTES_PER_BYTE * len(data):
            return fail(data, number, f"took {seconds:.2f} s and {peak} bytes")
        if number % 10_000 == 9_999:
            say(f"{number + 1} inputs, {refused} refused, slowest {slowest * 1000:.0f} ms")
    say(f"{count} inputs, {refused} refused with ObjectFileError, {count - refused} read")
    say(f"slowest {slowest * 1000:.1f} ms; memory beyond {BYTES_PER_BYTE} × the size at most {max(hungriest, 0)} bytes")
    return 0


def attempt(data: bytes, *, measure: bool) -> tuple[bool, float, int]:
    """Read and describe one input; return whether it was refused, the seconds and the peak of memory (if measured)."""
    if measure:
        tracemalloc.start()
    start = time.process_time()
    refused = False
    try:
        describe(read_bytes(data))
    except ObjectFileError:
        refused = True
    except BaseException as error:
        fail(data, -1, f"{type(error).__name__}: {error}")
        raise
    seconds = time.process_time() - start
    peak = 0
    if measure:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        seconds = 0.0  # tracing multiplies the time
    return refused, seconds, peak


def fail(data: bytes, number: int, reason: str) -> int:
    """Keep the input and say why it failed."""
    Path("fuzz-elf-failure.o").write_bytes(data)
    say(f"input {number} {reason}; kept as fuzz-elf-failure.o")
    return 1


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
