"""Tables as text and as Markdown, and the arithmetic of ratios."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Table:
    """Rows of text under headers; the first column is what a row is about, the others are numbers."""

    title: str
    headers: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return it for a terminal: columns aligned, numbers to the right."""
        widths = [max(map(len, column)) for column in zip(self.headers, *self.rows, strict=True)]
        lines = [self.title, "", _aligned(self.headers, widths), "  ".join("-" * width for width in widths)]
        lines += [_aligned(row, widths) for row in self.rows]
        return "\n".join(lines + [f"  {note}" for note in self.notes]) + "\n"

    def markdown(self) -> str:
        """Return it as a section of a document."""
        rule = "|".join(("---", *("--:" for _ in self.headers[1:])))
        lines = [f"### {self.title}", "", _piped(self.headers), f"|{rule}|", *map(_piped, self.rows)]
        if self.notes:
            lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines) + "\n"


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    first, *others = row
    cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
    return "  ".join(cells).rstrip()


def _piped(row: tuple[str, ...]) -> str:
    return f"| {' | '.join(row)} |"


def geomean(values: Iterable[float]) -> float:
    """Return the geometric mean. Raises ValueError for none, and for a value that is not above 0."""
    logarithms = [math.log(value) for value in values]
    if not logarithms:
        raise ValueError("the mean of no values")
    return math.exp(math.fsum(logarithms) / len(logarithms))


def number(value: float | None, unit: str = "") -> str:
    """Return three digits that mean something, all of those before the point, with commas; "-" for None."""
    if value is None:
        return "-"
    digits = 2 if not value else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}{unit}"
