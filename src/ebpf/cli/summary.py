"""What a run left behind: verdict counts, global variables and maps, as tables or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ebpf.cli.contents import first, listable_maps, rows
from ebpf.cli.output import console, heading, table
from ebpf.cli.values import brief, members, plain

if TYPE_CHECKING:
    from ebpf.objects import Collection

SHOWN = 20
"""Rows of a map that a table shows; JSON has them all."""

Verdicts = Mapping[str, Counter[str]]


def summarise(collection: Collection, verdicts: Verdicts, *, lost: int) -> dict[str, Any]:
    """Build the JSON form."""
    return {
        "runtime": collection.runtime.name,
        "reason": collection.runtime.reason,
        "verdicts": {program: dict(counts) for program, counts in verdicts.items()},
        "variables": {name: plain(variable.value) for name, variable in collection.variables.items()},
        "maps": {
            name: [{"key": plain(key), "value": plain(value)} for key, value in rows(map_)]
            for name, map_ in listable_maps(collection)
        },
        "lost_events": lost,
    }


def print_summary(collection: Collection, verdicts: Verdicts, *, lost: int) -> None:
    """Print the tables; nothing for what is empty."""
    for program, counts in verdicts.items():
        print_verdicts(f"\nverdicts of {program}", counts)
    changing = [variable for variable in collection.variables.values() if not variable.read_only]
    if changing:
        table("\nvariables", ("name", "value"), [(variable.name, brief(variable.value)) for variable in changing])
    for name, map_ in listable_maps(collection):
        print_map(name, map_)
    if lost:
        console(stderr=True).print(f"{lost} events were lost: the ring was full", style="yellow")


def print_verdicts(title: str, counts: Counter[str]) -> None:
    """Print how often a program gave each verdict, the most frequent ones."""
    shown = [(name, number, f"{number / counts.total():.1%}") for name, number in counts.most_common(SHOWN)]
    table(title, ("verdict", "packets", "share"), shown)
    if len(counts) > SHOWN:
        console().print(f"… and {len(counts) - SHOWN} more; `--json` prints all")


def print_map(name: str, map_: Any, *, limit: int | None = SHOWN) -> None:
    """Print one map's elements, at most `limit` (None: all)."""
    found, more = first(rows(map_), map_.max_entries if limit is None else limit)
    if not found:
        heading(f"\nmap {name} ({map_.type.label}) is empty")
        return
    table(f"\nmap {name} ({map_.type.label})", *_columns(found))
    if more:
        console().print(f"… and more; `--json` prints all of {name}")


def _columns(pairs: Sequence[tuple[Any, Any]]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Give each member of struct keys and values a column, where they fit beside each other."""
    sides = [_spread(side, title) for side, title in zip(zip(*pairs, strict=True), ("key", "value"), strict=True)]
    names = [name for columns, _ in sides for name in columns]
    spread = [[*key, *value] for key, value in zip(*(cells for _, cells in sides), strict=True)]
    widths = [max(map(len, column)) for column in zip(names, *spread, strict=True)]
    if sum(widths) + 2 * len(widths) <= console().width:
        return names, spread
    return ("key", "value"), [(brief(key), brief(value)) for key, value in pairs]


def _spread(values: Sequence[Any], title: str) -> tuple[list[str], list[list[str]]]:
    shown = [members(value) for value in values]
    if shown[0] is None or any(one is None or list(one) != list(shown[0]) for one in shown):
        return [title], [[brief(value)] for value in values]
    return list(shown[0]), [list(one.values()) for one in shown if one is not None]
