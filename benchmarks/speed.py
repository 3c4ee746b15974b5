"""How fast the 13 programs run: ns per run, and ratios of geometric means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchmarks.engines import (
    ENGINES,
    IMAGE,
    INTERPRETER,
    JIT,
    KERNEL,
    NATIVE,
    NATIVE_FREE,
    OURS,
    RBPF_INTERPRETER,
    RBPF_JIT,
    REFERENCE,
    UBPF_INTERPRETER,
    UBPF_JIT,
    UNCHECKED,
    Engine,
    starts,
)
from benchmarks.measure import Cell, Effort, measure
from benchmarks.plot import Series, plot
from benchmarks.programs import BENCHMARKS, G8
from benchmarks.section import Figure, Section
from benchmarks.table import Table, geomean, number

Grid = Mapping[str, Mapping[str, Cell]]
"""Program → engine → cell."""
PROVEN = 1.15
"""Times native: what a checked row has at most where the lowering pass proves its accesses."""


def run(effort: Effort) -> Section:
    """Measure every program on every engine."""
    grid = {benchmark.name: measure(starts(benchmark, ENGINES), effort) for benchmark in BENCHMARKS}
    return summarise(grid)


def summarise(grid: Grid) -> Section:
    """Make tables and figures of the measurements."""
    section = Section("speed")
    shown = [engine for engine in ENGINES if any(engine.name in row and row[engine.name].ns for row in grid.values())]
    section.tables = [_times(grid, shown), _ratios(grid, shown), _means(grid, shown)]
    section.tables[0].notes = [f"{engine.name}: {engine.what}" for engine in shown] + missing_notes(grid, ENGINES)
    section.tables[0].notes += [f"WRONG: {note}" for note in wrong_notes(grid, ENGINES)]
    section.figures = _figures(grid)
    section.data = {name: {engine: cell.data() for engine, cell in row.items()} for name, row in grid.items()}
    section.wrong = wrong_notes(grid, (NATIVE_FREE, KERNEL, IMAGE, *OURS))
    section.picture = _picture(grid, shown)
    return section


def missing_notes(grid: Grid, engines: Iterable[Engine]) -> list[str]:
    """Say once per engine and reason why it, or single rows of it, are not there."""
    notes: dict[str, list[str]] = {}
    for name, row in grid.items():
        for engine in engines:
            if engine.name in row and row[engine.name].missing:
                notes.setdefault(f"{engine.name}: not available: {row[engine.name].missing}", []).append(name)
    return [note if len(names) == len(grid) else f"{note} ({', '.join(names)})" for note, names in notes.items()]


def wrong_notes(grid: Grid, engines: Iterable[Engine]) -> list[str]:
    """List every wrong outcome of these engines."""
    names = [engine.name for engine in engines]
    return [
        f"{name} on {one}: {row[one].wrong}"
        for name, row in grid.items()
        for one in names
        if one in row and row[one].wrong
    ]


def _times(grid: Grid, shown: list[Engine]) -> Table:
    rows = [(name, *(_cell(row.get(engine.name)) for engine in shown)) for name, row in grid.items()]
    return Table("ns per run", ("program", *(engine.name for engine in shown)), rows)


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    return "WRONG" if cell.wrong else number(cell.ns)


def _ratios(grid: Grid, shown: list[Engine]) -> Table:
    rows = []
    for name in grid:
        ratios = (ratio(grid, [name], engine, NATIVE) for engine in shown)
        rows.append((name, *map(number, ratios)))
    for label, names in (("geomean G8", G8), (f"geomean of all {len(grid)}", tuple(grid))):
        means = (ratio(grid, names, engine, NATIVE) for engine in shown)
        rows.append((label, *map(number, means)))
    notes = [f"G8: {', '.join(G8)}"]
    return Table("Times native (lower is better)", ("program", *(engine.name for engine in shown)), rows, notes)


def _means(grid: Grid, shown: list[Engine]) -> Table:
    others = (NATIVE, NATIVE_FREE, UBPF_JIT, UBPF_INTERPRETER, RBPF_JIT, RBPF_INTERPRETER)
    bases = [engine for engine in others if engine in shown]
    rows = [(one.name, *(number(ratio(grid, G8, one, base)) for base in bases)) for one in shown]
    return Table("Geomean of G8, time over that of …", ("engine", *(f"/ {base.name}" for base in bases)), rows)


def _picture(grid: Grid, shown: list[Engine]) -> str:
    """Draw all engines but the slowest, beside which nothing else could be told apart, and the bases themselves."""
    drawn = [engine for engine in shown if engine not in (NATIVE, NATIVE_FREE, REFERENCE)]
    groups = {name: (name,) for name in grid} | {"geomean G8": G8}
    series = [
        Series(engine.name, [ratio(grid, names, engine, NATIVE) for names in groups.values()]) for engine in drawn
    ]
    return plot("Time of a run over that of native code (clang -O2), logarithmic", tuple(groups), series)


def ratio(grid: Grid, names: Iterable[str], engine: Engine, base: Engine) -> float | None:
    """Return the geometric mean of the ratios of programs; None where a row of either is missing or wrong."""
    ratios = []
    for name in names:
        mine, other = (grid.get(name, {}).get(one.name, Cell()) for one in (engine, base))
        one = mine.over(other)
        if one is None:
            return None
        ratios.append(one)
    return geomean(ratios)


def _why(grid: Grid, *engines: Engine) -> str:
    """Return why a ratio of these engines can't be given."""
    cells = (row[engine.name] for engine in engines for row in grid.values() if engine.name in row)
    return next((cell.missing or "a result is wrong" for cell in cells if cell.missing or cell.wrong), "")


def _figures(grid: Grid) -> list[Figure]:
    def times(name: str, engine: Engine, base: Engine, bar: float, *, faster: bool = False) -> Figure:
        value = ratio(grid, G8, base, engine) if faster else ratio(grid, G8, engine, base)
        return Figure(name, bar, "×", value, at_least=faster, missing=_why(grid, engine, base))

    proven = [name for name in grid if (ratio(grid, [name], JIT, NATIVE) or PROVEN + 1) <= PROVEN]
    rows = f" (rows ≤ {PROVEN}×: {', '.join(proven)})" if proven else ""
    return [
        times("jit, unchecked, against native", UNCHECKED, NATIVE, 1.05),
        times(f"jit, checked, against native{rows}", JIT, NATIVE, 1.3),
        times("interpreter against native", INTERPRETER, NATIVE, 20),
        times("interpreter faster than uBPF's", INTERPRETER, UBPF_INTERPRETER, 3.5, faster=True),
    ]
