"""How commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_NUMBER = re.compile(r"-?[\d.]+%?")
_UNLIMITED = 1 << 20
"""Columns of a pipe or a file: nothing is folded there."""


def echo_json(value: Any) -> None:
    """Print one JSON document; bytes become hex, enumerations their names."""
    click.echo(json.dumps(value, indent=2, default=jsonable))


def jsonable(value: Any) -> Any:
    """Turn what JSON does not know (bytes, records) into what it does."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    slots = getattr(value, "__dataclass_fields__", None)
    if slots is not None:
        return {name: getattr(value, name) for name in slots}
    return str(value)


def console(*, stderr: bool = False) -> Console:
    """Return a console that fits the output: colours on a terminal, plain text in a pipe, never wrapped there."""
    plain = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not plain.is_terminal:
        plain.width = _UNLIMITED
    return plain


def heading(title: str) -> None:
    """Print a title."""
    console().print(Text(title, style="bold"))


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a title; cells are shown as they are, columns of numbers at the right."""
    cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    grid = Table(show_edge=False, pad_edge=False, box=None)
    for position, column in enumerate(columns):
        numeric = bool(cells) and all(_NUMBER.fullmatch(row[position]) for row in cells)
        justify = "right" if numeric else "left"
        grid.add_column(Text(column), overflow="fold", header_style="dim", justify=justify)  # type: ignore[arg-type]  # a literal
    for row in cells:
        grid.add_row(*map(Text, row))
    if title is not None:
        heading(title)
    _print(grid)


def facts(values: Mapping[str, object]) -> None:
    """Print names and values below each other."""
    grid = Table(show_edge=False, pad_edge=False, box=None, show_header=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in values.items():
        grid.add_row(name, Text("-" if value is None or value == "" else str(value)))
    _print(grid)


def _print(grid: Table) -> None:
    """Print without the blanks that fill the last column: pipes and copied text are cleaner."""
    output = console()
    with output.capture() as capture:
        output.print(grid)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())
