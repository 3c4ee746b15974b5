"""Cold start: from a bare `import ebpf` to the first result, each time in a process of its own."""

from __future__ import annotations

import statistics
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import Missing
from benchmarks.measure import Effort
from benchmarks.process import Facts, child
from benchmarks.real import DEMO
from benchmarks.section import Figure, Section
from benchmarks.synthetic import synthetic
from benchmarks.table import Table, number
from ebpf.errors import NotSupportedError
from ebpf.objects.native import make_native

LENGTH = 300
_STARTS = 3
"""Processes a round: one of them alone says little."""


@dataclass(frozen=True, slots=True)
class Start:
    """A way to start. `warm`: a process before it has filled the cache of compiled code. `bar_ms` None: no bar."""

    name: str
    kind: str
    engine: str
    warm: bool = False
    bar_ms: float | None = None


STARTS = (
    Start(f"interpreter, {LENGTH} instructions", "insns", "interpreter", bar_ms=20),
    Start(f"interpreter, {LENGTH} instructions and a map", "map", "interpreter"),
    Start("interpreter, firewall.o", "object", "interpreter"),
    Start("native image, firewall.o", "image", "native"),
    Start(f"jit, {LENGTH} instructions, warm cache", "insns", "jit", warm=True, bar_ms=80),
    Start(f"jit, {LENGTH} instructions, no cache", "insns", "jit"),
    Start(f"reference, {LENGTH} instructions", "insns", "reference"),
)


def run(effort: Effort) -> Section:
    """Start each of them several times, in turns."""
    section = Section("start")
    found: dict[str, list[Facts]] = {start.name: [] for start in STARTS}
    missing: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as directory:
        paths = {"insns": Path(directory) / "insns", "object": DEMO / "firewall.o"}
        paths["map"] = paths["insns"]
        paths["insns"].write_bytes(synthetic(LENGTH, "branchy").encode("little"))
        paths["image"] = Path(directory) / "firewall.native"
        try:
            paths["image"].write_bytes(make_native(paths["object"].read_bytes()).pack())
        except NotSupportedError as error:
            missing["native image, firewall.o"] = str(error)
        for start in STARTS:
            with suppress(Missing):
                _start(start, paths[start.kind], Path(directory))  # Python compiles modules now, and not later
        for _ in range(effort.rounds * _STARTS):
            for start in (one for one in STARTS if one.name not in missing):
                try:
                    found[start.name].append(_start(start, paths[start.kind], Path(directory)))
                except Missing as error:
                    missing[start.name] = str(error)
    section.tables = [_table(found, missing)]
    section.figures = [_figure(start, found[start.name], missing) for start in STARTS if start.bar_ms is not None]
    section.data = {name: [facts._asdict() for facts in each] for name, each in found.items()}
    for engine in ("interpreter", "native"):
        if any(facts.llvmlite for start in STARTS if start.engine == engine for facts in found[start.name]):
            section.wrong.append(f"the {engine} engine imports llvmlite")
    return section


def _start(start: Start, path: Path, directory: Path) -> Facts:
    if start.warm:
        cache = directory / "cache"
        if not cache.exists():
            child(start.kind, path, start.engine, cache=cache)
        return child(start.kind, path, start.engine, cache=cache)
    with tempfile.TemporaryDirectory(dir=directory) as empty:
        return child(start.kind, path, start.engine, cache=Path(empty))


def _least(found: list[Facts]) -> float | None:
    """Return what a start takes that nothing else on the machine disturbs: what disturbs it only adds."""
    return min((facts.elapsed_ms for facts in found), default=None)


def _table(found: dict[str, list[Facts]], missing: dict[str, str]) -> Table:
    table = Table(
        "Cold start: ms from a bare import to the first result", ("start", "least", "median", "CPU time", "llvmlite")
    )
    for name, each in found.items():
        if each:
            imported = "imported" if any(facts.llvmlite for facts in each) else "no"
            median = number(statistics.median(facts.elapsed_ms for facts in each))
            cpu = number(statistics.median(facts.cpu_ms for facts in each))
            table.rows.append((name, number(_least(each)), median, cpu, imported))
    table.notes = [f"{name}: not available: {why}" for name, why in missing.items()]
    return table


def _figure(start: Start, found: list[Facts], missing: dict[str, str]) -> Figure:
    assert start.bar_ms is not None
    return Figure(f"start: {start.name}", start.bar_ms, " ms", _least(found), missing=missing.get(start.name, ""))
