"""What came of each program of a group on an engine: run in a child process, in a further one after each that died."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.malicious.groups import GROUPS
from tests.stage.run import Outcome

SECONDS = 60
"""What a whole group may take; more means that one of its programs hangs."""
_ROOT = Path(__file__).parents[2]


class DiedError(Exception):
    """The process that ran a program did not exit with status 0."""


@cache
def outcomes(engine: str, group: str) -> dict[str, Outcome | DiedError]:
    """Run all programs of a group; return what came of each by name."""
    found: dict[str, Outcome | DiedError] = {}
    cases = GROUPS[group]
    while len(found) < len(cases):
        first = len(found)
        lines, reason = _run(engine, group, first)
        found |= {name: Outcome(**json.loads(text)) for name, text in zip(lines[::2], lines[1::2], strict=False)}
        if len(found) < len(cases):
            # It was at the first program that it did not report; the others get a process of their own.
            culprit = cases[len(found)].name
            found[culprit] = DiedError(f"{culprit}: {reason or 'the process ended before its end'}")
        elif reason:
            found[cases[-1].name] = DiedError(f"at the end of {group}: {reason}")
    return found


def _run(engine: str, group: str, first: int) -> tuple[list[str], str]:
    """Return the lines that the child printed whole, and how it died ("" if it did not)."""
    command = [sys.executable, "-m", "tests.malicious.child", engine, group, str(first)]
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        return _whole(error.stdout), f"hangs: {group} took more than {SECONDS} s"
    reason = f"exit status {done.returncode}\n{done.stderr[-2000:]}" if done.returncode else ""
    return _whole(done.stdout), reason


def _whole(output: str | bytes | None) -> list[str]:
    # What a child printed before its time was over comes as bytes, whatever was asked for.
    text = output.decode() if isinstance(output, bytes) else output or ""
    return text.splitlines()
