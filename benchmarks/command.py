"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import coldstart, lookups, memory, pycalls, real, speed
from benchmarks.measure import QUICK, THOROUGH, Effort
from benchmarks.section import Section, figures_table

SECTIONS: dict[str, Callable[[Effort], Section]] = {
    "speed": speed.run,
    "real": real.run,
    "start": coldstart.run,
    "memory": memory.run,
    "maps": lookups.run,
    "calls": pycalls.run,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write what was asked for; return the exit status."""
    options = _parse(arguments)
    effort = QUICK if options.quick else THOROUGH
    sections = []
    for name in options.only or SECTIONS:
        section = SECTIONS[name](effort)
        sections.append(section)
        for table in section.tables:
            print(table.text(), flush=True)
    figures = [figure for section in sections for figure in section.figures]
    print(figures_table(figures).text())
    if options.json:
        options.json.write_text(json.dumps({section.name: section.data for section in sections}, indent=1) + "\n")
    wrong = [note for section in sections for note in section.wrong]
    for note in wrong:
        print(f"WRONG: {note}")
    return 1 if wrong else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the engines, all in one run.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples")
    parser.add_argument("--only", action="append", choices=tuple(SECTIONS), help="this section; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there")
    return parser.parse_args(arguments)
