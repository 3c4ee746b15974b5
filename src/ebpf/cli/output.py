"""How commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text


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
    plain = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not plain.is_terminal:
        plain.width = 200
    return plain


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a title; cells are shown as they are, markup in them has no meaning."""
    grid = Table(show_edge=False, pad_edge=False, box=None)
    for column in columns:
        grid.add_column(column, overflow="fold", header_style="dim")
    for row in rows:
        grid.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    output = console()
    if title is not None:
        output.print(Text(title, style="bold"))
    output.print(grid)
