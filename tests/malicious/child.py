"""Runs the programs on one engine in this process, one after the other.

    python -m tests.malicious.child ENGINE [FIRST [GROUP]]

Prints the name of each before it runs and what came of it afterwards, so that the parent knows which one was at work
when this process ended otherwise than with status 0. Two outcomes each: of the program by itself, and of two runs in a
lane, where it can be run so. FIRST is the number of the first one, GROUP the only group.
"""

from __future__ import annotations

import faulthandler
import json
import sys
from dataclasses import asdict, replace

from tests.malicious.bare import play_bare
from tests.malicious.case import Case
from tests.malicious.groups import CASES, GROUPS
from tests.stage.run import Outcome, play


def play_case(case: Case, engine: str) -> list[Outcome]:
    """Run one program."""
    if case.bare:
        return [play_bare(case, engine)]
    script = case.script()
    outcomes = [play(script, engine)]
    if case.repeatable and outcomes[0].loaded:
        outcomes.append(play(replace(script, repeat=2, lane=True), engine))
    return outcomes


def main() -> None:
    """Run, and print."""
    engine, *rest = sys.argv[1:]
    first, group = int(rest[0]) if rest else 0, rest[1] if len(rest) > 1 else None
    for case in (CASES if group is None else GROUPS[group])[first:]:
        sys.stdout.write(f"{case}\n")
        sys.stdout.flush()
        sys.stdout.write(json.dumps([asdict(outcome) for outcome in play_case(case, engine)]) + "\n")


if __name__ == "__main__":
    faulthandler.enable()
    main()
