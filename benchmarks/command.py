"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import coldstart, compiling, document, lookups, memory, pycalls, real, speed, waiting
from benchmarks.measure import QUICK, THOROUGH, Effort
from benchmarks.section import Section, figures_table

SECTIONS: dict[str, Callable[[Effort], Section]] = {
    "speed": speed.run,
    "real": real.run,
    "compile": compiling.run,
    "wait": waiting.run,
    "start": coldstart.run,
    "memory": memory.run,
    "maps": lookups.run,
    "calls": pycalls.run,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write what was asked for; return the exit status."""
    options = _parse(arguments)
    os.environ["EBPF_CACHE"] = "off"  # what is compiled here is compiled, not found from an earlier run
    print(f"{document.machine()}\n", flush=True)
    sections = [_measure(name, QUICK if options.quick else THOROUGH) for name in options.only or SECTIONS]
    figures = [figure for section in sections for figure in section.figures]
    if figures:
        print(figures_table(figures).text())
    _write(options, sections)
    wrong = [note for section in sections for note in section.wrong]
    for note in wrong:
        print(f"WRONG: {note}")
    return 1 if wrong else 0


def _measure(name: str, effort: Effort) -> Section:
    section = SECTIONS[name](effort)
    for table in section.tables:
        print(table.text(), flush=True)
    return section


def _write(options: argparse.Namespace, sections: list[Section]) -> None:
    if options.json:
        data = {"machine": document.machine()} | {section.name: section.data for section in sections}
        options.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    if options.docs:
        document.rewrite(options.docs, sections)
    if options.plot:
        for section in sections:
            if section.picture:
                options.plot.write_text(section.picture, encoding="utf-8")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the engines, all in one run.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples")
    parser.add_argument("--only", action="append", choices=tuple(SECTIONS), help="this section; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the speeds there, as SVG")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the tables between the marks of this document")
    options = parser.parse_args(arguments)
    if options.docs and options.only:
        parser.error("--docs takes the tables of all sections, without --only")
    return options
