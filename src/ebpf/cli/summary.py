"""What a run left behind: verdict counts, global variables and maps, as tables or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ebpf.cli.contents import first, listable_maps, rows
from ebpf.cli.output import console, table
from ebpf.cli.values import brief, plain

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
        total = sum(counts.values())
        table(
            f"\nverdicts of {program}",
            ("verdict", "packets", "share"),
            [(name, number, f"{number / total:.1%}") for name, number in counts.most_common()],
        )
    changing = [variable for variable in collection.variables.values() if not variable.read_only]
    if changing:
        table("\nvariables", ("name", "value"), [(variable.name, brief(variable.value)) for variable in changing])
    for name, map_ in listable_maps(collection):
        print_map(name, map_)
    if lost:
        console(stderr=True).print(f"{lost} events were lost: the ring was full", style="yellow")


def print_map(name: str, map_: Any, *, limit: int | None = SHOWN) -> None:
    """Print one map's elements, at most `limit` (None: all)."""
    found, more = first(rows(map_), map_.max_entries if limit is None else limit)
    if not found:
        console().print(f"\nmap {name} is empty", markup=False)
        return
    table(f"\nmap {name} ({map_.type.label})", ("key", "value"), [(brief(key), brief(value)) for key, value in found])
    if more:
        console().print(f"… and more; `--json` prints all of {name}", markup=False)
