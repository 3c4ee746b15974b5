"""Whether `auto` holds a caller back for a compile: how long its first runs take, beside the interpreter's."""

from __future__ import annotations

import statistics
import time

from benchmarks.errors import Missing
from benchmarks.loaded import load
from benchmarks.measure import Effort
from benchmarks.packets import frame
from benchmarks.section import Section
from benchmarks.synthetic import SHAPES, Shape, spec_of, synthetic
from benchmarks.table import Table, number

LENGTH = 10_000
RUNS = 300
"""Runs that are looked at: enough for `auto` to ask for a compile after the first few."""
ENGINES = ("interpreter", "auto", "jit")


def run(effort: Effort) -> Section:
    """Load anew each time: a program is compiled once."""
    section = Section("wait")
    table = Table(
        f"Does a caller wait for a compile? ms of its thread, {LENGTH:,} instructions",
        ("engine, shape", "load, first result", f"longest of {RUNS} runs after it"),
    )
    for shape in SHAPES:
        for engine in ENGINES:
            label = f"{engine}, {shape}"
            try:
                found = [_first_runs(engine, shape) for _ in range(-(-effort.rounds // 4))]
            except Missing as missing:
                table.notes.append(f"{label}: not available: {missing}")
                continue
            first, longest = (statistics.median(values) for values in zip(*found, strict=True))
            section.data[label] = {"first_ms": first, "longest_ms": longest}
            table.rows.append((label, number(first), number(longest)))
    section.tables = [table]
    return section


def _first_runs(engine: str, shape: Shape) -> tuple[float, float]:
    """Return ms until the first result, and of the longest run after it."""
    spec, packet = spec_of(synthetic(LENGTH, shape)), frame()
    start = time.thread_time_ns()
    with load(spec, engine=engine) as collection:
        (program,) = collection.programs.values()
        program.run(packet)
        first = time.thread_time_ns() - start
        longest = 0
        for _ in range(RUNS):
            before = time.thread_time_ns()
            program.run(packet)
            longest = max(longest, time.thread_time_ns() - before)
    return first / 1e6, longest / 1e6
