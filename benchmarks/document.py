"""Puts the tables of a run into docs/benchmarks.md, between the marks, and its plot beside it."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.errors import Missing
from benchmarks.section import Section, figures_table
from benchmarks.toolchain import compiler

BEGIN = "<!-- Written by `python -m benchmarks --docs`: do not edit between the marks. -->"
END = "<!-- end -->"


def rewrite(path: Path, sections: Iterable[Section]) -> None:
    """Replace what is between the marks. Raises ValueError where they are not there, once each and in order."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the marks {BEGIN!r} and {END!r}")
    path.write_text(f"{before}{BEGIN}\n\n{_tables(list(sections))}\n{END}{after}", encoding="utf-8")


def machine() -> str:
    """Return one line about where and when the run was."""
    try:
        clang = compiler()
    except Missing as missing:
        clang = str(missing)
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return f"{when}; {_processor()}; {system}; Python {platform.python_version()}; {clang}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _tables(sections: list[Section]) -> str:
    figures = [figure for section in sections for figure in section.figures]
    tables = [figures_table(figures)] if figures else []
    tables += [table for section in sections for table in section.tables]
    return f"{machine()}\n\n" + "\n".join(table.markdown() for table in tables)
