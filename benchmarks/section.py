"""What a part of the benchmark gives back: tables, figures with their bars, and the numbers for a program to read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.table import Table, number


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that has a bar. `value` None: it could not be measured, `missing` says why."""

    name: str
    bar: float
    unit: str
    value: float | None = None
    at_least: bool = False
    missing: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def row(self) -> tuple[str, str, str, str]:
        """Return the row of the table of figures."""
        bar = f"{'≥' if self.at_least else '≤'} {number(self.bar, self.unit)}"
        if self.value is None:
            return self.name, bar, "-", f"not available: {self.missing.partition(';')[0]}"
        return self.name, bar, number(self.value, self.unit), "met" if self.met else "missed"


@dataclass(slots=True)
class Section:
    """One part. `wrong` names every outcome that was not right: the command then fails. `picture` is a plot as SVG."""

    name: str
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    picture: str = ""


def figures_table(figures: list[Figure]) -> Table:
    """Return the table of all figures."""
    return Table("Figures to reach", ("figure", "bar", "measured", ""), [figure.row() for figure in figures])
