"""Interleaved measurement: one sample of each engine a round, and medians of many rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.errors import Missing
from benchmarks.subject import Outcome, Subject

Start = Callable[[], Subject]
"""Makes a program ready to run. Raises Missing."""

SAMPLE_NS = 22e6
"""How long one sample takes, at least about: long against the clock and a switch of threads."""
_MOST = 1 << 31


@dataclass(frozen=True, slots=True)
class Effort:
    """How much time a measurement may take."""

    rounds: int
    sample_ns: float = SAMPLE_NS


THOROUGH = Effort(11)
QUICK = Effort(3, SAMPLE_NS / 4)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one engine did with one program: ns per run of each round, or why there is no such number.

    `wrong` says how its outcome differs from that of the first engine.
    """

    samples: tuple[float, ...] = ()
    missing: str = ""
    wrong: str = ""

    @property
    def ns(self) -> float | None:
        """The median."""
        return statistics.median(self.samples) if self.samples else None

    def over(self, other: Cell) -> float | None:
        """Return the median of the ratios of each round; None where one of both has no right result.

        What slows a machine down for a while slows down both of a round, and is not in their ratio.
        """
        if not self.samples or not other.samples or self.wrong or other.wrong:
            return None
        ratio = statistics.median(mine / its for mine, its in zip(self.samples, other.samples, strict=True))
        return ratio if ratio > 0 else None  # not above 0: a slope that the neighbours have turned around

    def data(self) -> dict[str, object]:
        """Return it for JSON."""
        return {"ns": self.ns, "samples": self.samples, "missing": self.missing, "wrong": self.wrong}


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
        cells[name] = Cell(tuple(values), wrong=wrong.get(name, ""))
    return cells


def sample(subjects: Mapping[str, Subject], effort: Effort) -> dict[str, list[float]]:
    """Return ns per run of each round, the subjects taking turns."""
    for subject in subjects.values():
        subject.warm()
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
            opened.callback(subject.close)
            subject.outcome()  # some engines refuse a program only when they run it
        except Missing as missing:
            cells[name] = Cell(missing=str(missing))
            continue
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
    """Return how many runs a sample has to have."""
    repeat = 1
    while repeat < _MOST:
        elapsed = min(subject.sample(repeat), subject.sample(repeat)) * repeat
        if elapsed >= sample_ns / 4:
            return max(1, int(repeat * sample_ns / elapsed))
        repeat *= 4
    return repeat
