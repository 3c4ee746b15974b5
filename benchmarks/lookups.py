"""What a map look-up costs from within a program, against the same benchmark in C."""

from __future__ import annotations

from benchmarks.engines import (
    INTERPRETER,
    JIT,
    KERNEL,
    NATIVE,
    NATIVE_DESCRIPTOR,
    PEERS,
    UNCHECKED,
    Engine,
    starts,
)
from benchmarks.measure import Cell, Effort, measure
from benchmarks.programs import BENCHMARKS, LOOKUPS
from benchmarks.section import Figure, Section
from benchmarks.speed import Grid, missing_notes, ratio, wrong_notes
from benchmarks.table import Table, number

KINDS = {"maparr": "array", "maphash": "hash"}
BARS = {"maparr": 1.0, "maphash": 1.1}
ENGINES = (NATIVE, NATIVE_DESCRIPTOR, KERNEL, UNCHECKED, JIT, INTERPRETER, *PEERS)


def run(effort: Effort) -> Section:
    """Measure the two programs of maps."""
    grid = {one.name: measure(starts(one, ENGINES), effort) for one in BENCHMARKS if one.name in KINDS}
    section = Section("maps", wrong=wrong_notes(grid, (NATIVE_DESCRIPTOR, KERNEL, UNCHECKED, JIT, INTERPRETER)))
    section.tables = [_table(grid)]
    section.figures = [_figure(grid, name, base) for name in KINDS for base in (NATIVE_DESCRIPTOR, NATIVE)]
    section.data = {name: {engine: cell.data() for engine, cell in row.items()} for name, row in grid.items()}
    return section


def _table(grid: Grid) -> Table:
    headers = ("engine", *(f"{kind}: {what}" for kind in KINDS.values() for what in ("ns", "/ C", "/ C, constant")))
    table = Table(f"A map look-up, with its loop: 1/{LOOKUPS} of a run", headers)
    for engine in ENGINES:
        if all(grid[name][engine.name].ns for name in KINDS):
            table.rows.append((engine.name, *(cell for name in KINDS for cell in _cells(grid, name, engine))))
    table.notes = [
        "C: sizes and tables of the map in memory, as those of a map made at run time are (the column descriptor)",
        "C, constant: known to the compiler (the column native): the strictest limit",
        *missing_notes(grid, ENGINES),
    ]
    return table


def _cells(grid: Grid, name: str, engine: Engine) -> tuple[str, ...]:
    cell: Cell = grid[name][engine.name]
    if cell.wrong or cell.ns is None:
        return "WRONG", "-", "-"
    bases = (number(ratio(grid, [name], engine, base)) for base in (NATIVE_DESCRIPTOR, NATIVE))
    return number(cell.ns / LOOKUPS), *bases


def _figure(grid: Grid, name: str, base: Engine) -> Figure:
    against = "constants" if base is NATIVE else "a descriptor"
    label = f"{KINDS[name]} look-up, jit, against C with {against}"
    missing = grid[name][JIT.name].missing or grid[name][base.name].missing
    return Figure(label, BARS[name], "×", ratio(grid, [name], JIT, base), missing=missing)
