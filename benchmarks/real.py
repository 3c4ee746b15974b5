"""How fast real programs run, against the kernel: the demonstration's over its capture, and one of the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.engines import INTERPRETER, JIT, KERNEL, OURS, REFERENCE, UNCHECKED
from benchmarks.loaded import KernelSubject, LoadedSubject, load, load_kernel
from benchmarks.measure import Cell, Effort, Start, measure
from benchmarks.packets import frame
from benchmarks.section import Section
from benchmarks.speed import Grid, missing_notes, wrong_notes
from benchmarks.table import Table, number
from benchmarks.toolchain import HERE
from ebpf import Collection, CollectionSpec
from ebpf.link.pcap import CaptureReader

DEMO = HERE.parent / "src" / "ebpf" / "cli" / "data"
OBJECTS = HERE.parent / "tests" / "objects"
MOST_PACKETS = 16
"""Packets of a capture that are run over."""
_COLUMNS = (KERNEL, *OURS)


def _capture() -> tuple[bytes, ...]:
    reader = CaptureReader(DEMO / "talk.pcap")
    try:
        packets = [packet.data for packet in reader]
    finally:
        reader.close()
    return tuple(packets[:: max(1, len(packets) // MOST_PACKETS)][:MOST_PACKETS])


def _drop_http(collection: Collection) -> None:
    rule = {"protocol": 6, "unused": 0, "port": 80}
    collection.maps["rules"][rule] = {"action": 1, "dscp": 0, "hits": 0}  # type: ignore[index]  # a HashMap


def _nothing(collection: Collection) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Real:
    """A program of an object file. `prepare` fills its maps."""

    name: str
    path: Path
    program: str
    exercises: str
    packets: Callable[[], tuple[bytes, ...]] = lambda: (frame(),)
    prepare: Callable[[Collection], None] = _nothing

    def spec(self) -> CollectionSpec:
        """Read the object, and leave of its programs this one."""
        spec = CollectionSpec.from_file(self.path)
        spec.programs = {self.program: spec.programs[self.program]}
        return spec

    def on_engine(self, *, engine: str, trusted: bool = False) -> LoadedSubject:
        """Load for one of our engines. Raises Missing."""
        return self._ready(LoadedSubject, load(self.spec(), engine=engine, trusted=trusted))

    def in_kernel(self) -> LoadedSubject:
        """Load into the Linux kernel. Raises Missing."""
        return self._ready(KernelSubject, load_kernel(self.spec()))

    def _ready(self, kind: type[LoadedSubject], collection: Collection) -> LoadedSubject:
        self.prepare(collection)
        return kind(collection, collection.programs[self.program], *self.packets())


REAL = (
    Real("firewall", DEMO / "firewall.o", "firewall", "parser, hash, LRU, full ring buffer", _capture, _drop_http),
    Real("passing.o", OBJECTS / "passing.o", "pass_around", "tc: context fields, helpers, callbacks"),
)


def run(effort: Effort) -> Section:
    """Measure every program."""
    grid = {one.name: measure(_starts(one), effort) for one in REAL}
    section = Section("real", wrong=wrong_notes(grid, _COLUMNS))
    section.tables = [_table(grid)]
    section.data = {name: {engine: cell.data() for engine, cell in row.items()} for name, row in grid.items()}
    return section


def _starts(one: Real) -> dict[str, Start]:
    return {
        KERNEL.name: one.in_kernel,
        UNCHECKED.name: partial(one.on_engine, engine="jit", trusted=True),
        JIT.name: partial(one.on_engine, engine="jit"),
        INTERPRETER.name: partial(one.on_engine, engine="interpreter"),
        REFERENCE.name: partial(one.on_engine, engine="reference"),
    }


def _table(grid: Grid) -> Table:
    shown = [engine for engine in _COLUMNS if any(row[engine.name].ns for row in grid.values())]
    table = Table("Real programs: ns per run (times the kernel's JIT)", ("program", *(one.name for one in shown)))
    for one in REAL:
        row = grid[one.name]
        table.rows.append((one.name, *(_cell(row[engine.name], row[KERNEL.name]) for engine in shown)))
    table.notes = [f"{one.name}: {one.exercises}, {len(one.packets())} packets" for one in REAL]
    table.notes += missing_notes(grid, _COLUMNS)
    return table


def _cell(cell: Cell, kernel: Cell) -> str:
    if cell.wrong:
        return "WRONG"
    over = cell.over(kernel)
    return number(cell.ns) if over is None else f"{number(cell.ns)} ({number(over)})"
