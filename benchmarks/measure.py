"""Interleaved measurement: one sample of each engine a round, and of many rounds the median."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.errors import Missing
from benchmarks.subject import Outcome, Subject

Start = Callable[[], Subject]
"""Makes a program ready to run. Raises Missing."""

SAMPLE_NS = 25e6
"""How long one sample takes, at least about: long against the clock and a switch of threads."""
_MOST = 1 << 31


@dataclass(frozen=True, slots=True)
class Effort:
    """How much time a measurement may take."""

    rounds: int
    sample_ns: float = SAMPLE_NS


THOROUGH = Effort(7)
QUICK = Effort(3, SAMPLE_NS / 4)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one engine did with one program: `ns` per run, or why there is no such number.

    `spread` is the distance of the quartiles of the samples over their median. `wrong` says how its outcome differs
    from that of the first engine.
    """

    ns: float | None = None
    spread: float = 0.0
    missing: str = ""
    wrong: str = ""


def measure(starts: Mapping[str, Start], effort: Effort) -> dict[str, Cell]:
    """Measure a program on each engine, by name; the first that is there is right by definition."""
    cells: dict[str, Cell] = {}
    with ExitStack() as opened:
        subjects = _start(starts, cells, opened)
        wrong = _differences(subjects)
        samples = sample(subjects, effort)
        # What only goes wrong after many runs goes wrong, too.
        wrong = _differences(subjects) | wrong
    for name, values in samples.items():
        cells[name] = Cell(statistics.median(values), spread(values), wrong=wrong.get(name, ""))
    return cells


def sample(subjects: Mapping[str, Subject], effort: Effort) -> dict[str, list[float]]:
    """Return ns per run of each round, the subjects taking turns."""
    repeats = {name: calibrate(subject, effort.sample_ns) for name, subject in subjects.items()}
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(effort.rounds):
        for name, subject in subjects.items():
            samples[name].append(subject.sample(repeats[name]))
    return samples


def _start(starts: Mapping[str, Start], cells: dict[str, Cell], opened: ExitStack) -> dict[str, Subject]:
    subjects = {}
    for name, start in starts.items():
        try:
            subject = start()
        except Missing as missing:
            cells[name] = Cell(missing=str(missing))
            continue
        opened.callback(subject.close)
        subjects[name] = subject
    return subjects


def outcome(subject: Subject) -> Outcome:
    """Return the outcome of the second run: the first one may find other values in a map than all later ones."""
    subject.outcome()
    return subject.outcome()


def _differences(subjects: Mapping[str, Subject]) -> dict[str, str]:
    """Return how outcomes differ from the first one, by name; nothing for those that don't."""
    outcomes = {name: outcome(subject) for name, subject in subjects.items()}
    right = next(iter(outcomes.values()), None)
    return {name: f"{found}; expected {right}" for name, found in outcomes.items() if found != right}


def calibrate(subject: Subject, sample_ns: float) -> int:
    """Return how many runs a sample has to have; the program is warm after that."""
    repeat = 1
    while repeat < _MOST:
        elapsed = subject.sample(repeat) * repeat
        if elapsed >= sample_ns / 4:
            return max(1, int(repeat * sample_ns / elapsed))
        repeat *= 4
    return repeat


def spread(values: list[float]) -> float:
    """Return the distance of the quartiles over the median; 0 for fewer than two values."""
    middle = statistics.median(values)
    if len(values) < 2 or middle <= 0:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle
