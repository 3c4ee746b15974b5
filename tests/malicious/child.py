"""Runs the programs of one group on one engine in this process, one after the other.

    python -m tests.malicious.child ENGINE GROUP [FIRST]

Prints the name of each before it runs and what came of it afterwards, so that the parent knows which one was at work
when this process ended otherwise than with status 0.
"""

from __future__ import annotations

import faulthandler
import json
import sys
from dataclasses import asdict

from tests.malicious.bare import play_bare
from tests.malicious.case import Case
from tests.malicious.groups import GROUPS
from tests.stage.run import Outcome, play


def play_case(case: Case, engine: str) -> Outcome:
    """Run one program."""
    return play_bare(case, engine) if case.bare else play(case.script(), engine)


def main() -> None:
    """Run from number FIRST on."""
    engine, group, *rest = sys.argv[1:]
    for case in GROUPS[group][int(rest[0]) if rest else 0 :]:
        sys.stdout.write(f"{case.name}\n")
        sys.stdout.flush()
        sys.stdout.write(json.dumps(asdict(play_case(case, engine))) + "\n")


if __name__ == "__main__":
    faulthandler.enable()
    main()
