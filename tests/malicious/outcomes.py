"""What came of each program on an engine: run in a child process, in a further one after each that died."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.malicious.groups import CASES
from tests.stage.run import Outcome

SECONDS = 600
"""What the whole corpus may take on a busy machine, 30 of them on an idle one; more means that a program hangs."""
_ROOT = Path(__file__).parents[2]


class DiedError(Exception):
    """The process that ran a program did not exit with status 0."""


@cache
def outcomes(engine: str) -> dict[str, list[Outcome] | DiedError]:
    """Run all programs; return what came of each: by itself, and in a lane if it can be run there."""
    found: dict[str, list[Outcome] | DiedError] = {}
    while len(found) < len(CASES):
        lines, reason = _run(engine, len(found))
        found |= {name: _read(text) for name, text in zip(lines[::2], lines[1::2], strict=False)}
        if len(found) < len(CASES):
            # It was at the first program that it did not report; the others get a process of their own.
            culprit = str(CASES[len(found)])
            found[culprit] = DiedError(f"{culprit}: {reason or 'the process ended before its end'}")
        elif reason:
            found[str(CASES[-1])] = DiedError(f"at the end: {reason}")
    return found


def _read(text: str) -> list[Outcome]:
    return [Outcome(**members) for members in json.loads(text)]


def _run(engine: str, first: int) -> tuple[list[str], str]:
    """Return the lines that the child printed whole, and how it died ("" if it did not)."""
    command = [sys.executable, "-m", "tests.malicious.child", engine, str(first)]
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        return _whole(error.stdout), f"hangs: {SECONDS} s were not enough"
    reason = f"exit status {done.returncode}\n{done.stderr[-2000:]}" if done.returncode else ""
    return _whole(done.stdout), reason


def _whole(output: str | bytes | None) -> list[str]:
    # What a child printed before its time was over comes as bytes, whatever was asked for.
    text = output.decode() if isinstance(output, bytes) else output or ""
    return text.splitlines()
