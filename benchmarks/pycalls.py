"""What Python pays for a call of a program, over the program itself: run(), function() and run_many()."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from contextlib import closing

from benchmarks.engines import OURS
from benchmarks.errors import Missing
from benchmarks.loaded import LoadedSubject
from benchmarks.measure import Effort, calibrate
from benchmarks.programs import BENCHMARKS
from benchmarks.section import Figure, Section
from benchmarks.table import Table, number

PROGRAMS = ("empty", "pktparse")
MANY = 256
"""Packets of a call of run_many."""
BAR_NS = 60
"""Of function(), over the program itself (issue of the engines, item 5)."""


def run(effort: Effort) -> Section:
    """Measure each way to call a program, on each of our engines."""
    section = Section("calls")
    table = Table(
        "A call from Python: ns over the program itself", ("engine, program", "run()", "function()", "run_many()")
    )
    for engine in OURS:
        for benchmark in BENCHMARKS:
            if benchmark.name not in PROGRAMS:
                continue
            label = f"{engine.name}, {benchmark.name}"
            try:
                subject = engine.start(benchmark)
            except Missing as missing:
                section.data[label] = {"missing": str(missing)}
                continue
            assert isinstance(subject, LoadedSubject)
            with closing(subject):
                costs = _costs(subject, effort)
            section.data[label] = costs
            table.rows.append((label, *(number(costs[way]) for way in ("run", "function", "run_many"))))
    table.notes = [f"run_many(): per packet of a list of {MANY}", *_missing(section)]
    section.tables = [table]
    section.figures = [_figure(section, engine.name) for engine in OURS[:2]]
    return section


def _missing(section: Section) -> list[str]:
    return [f"{label}: not available: {data['missing']}" for label, data in section.data.items() if "missing" in data]


def _figure(section: Section, engine: str) -> Figure:
    data = section.data[f"{engine}, {PROGRAMS[0]}"]
    label = f"function() over the program itself, {engine}"
    return Figure(label, BAR_NS, " ns", data.get("function"), missing=data.get("missing", ""))


def _costs(subject: LoadedSubject, effort: Effort) -> dict[str, float]:
    """Return ns per call or packet, less what the program itself takes; medians of interleaved rounds."""
    program, packet = subject.program, bytearray(subject.packets[0])
    function, packets = program.function(), [bytes(packet)] * MANY
    ways: dict[str, Callable[[], object]] = {
        "run": lambda: program.run(packet),
        "function": lambda: function(packet),
        "run_many": lambda: program.run_many(packets),
    }
    subject.warm()
    repeat = calibrate(subject, effort.sample_ns)
    counts = {name: _calls_of(way, effort.sample_ns) for name, way in ways.items()}
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(effort.rounds):
        alone = subject.sample(repeat)
        rounds["run"].append(_per_call(lambda: program.run(packet), counts["run"]) - alone)
        rounds["function"].append(_per_function(function, packet, counts["function"]) - alone)
        rounds["run_many"].append(_per_call(ways["run_many"], counts["run_many"]) / MANY - alone)
    return {name: statistics.median(values) for name, values in rounds.items()}


def _calls_of(way: Callable[[], object], sample_ns: float) -> int:
    way()
    start = time.thread_time_ns()
    way()
    return max(2, min(1_000_000, int(sample_ns / (time.thread_time_ns() - start + 1))))


def _per_call(way: Callable[[], object], calls: int) -> float:
    start = time.thread_time_ns()
    for _ in itertools.repeat(None, calls):
        way()
    return (time.thread_time_ns() - start) / calls


def _per_function(function: Callable[[bytearray], int], packet: bytearray, calls: int) -> float:
    """Return ns per call, without the loop around it and without a call in between."""
    start = time.thread_time_ns()
    for _ in itertools.repeat(None, calls):
        function(packet)
    end = time.thread_time_ns()
    for _ in itertools.repeat(None, calls):
        pass
    return (2 * end - start - time.thread_time_ns()) / calls
