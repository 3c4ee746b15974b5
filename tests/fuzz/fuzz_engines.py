"""Run random programs on every engine, and in the kernel where it takes them: all have to come to the same end.

    python -m tests.fuzz.fuzz_engines [COUNT] [FIRST SEED]

The programs run in a child process; when it dies, its seed is told and the next child goes on behind it. A program that
comes to different ends is made as small as it goes before it is shown. Exits with 1 if there was any.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path

import ebpf.runtime
from ebpf.asm import Instructions, disassemble
from ebpf.errors import NotSupportedError
from ebpf.vm.engines import choose_engine
from tests.conftest import ENGINES
from tests.privilege import missing_bpf_privilege
from tests.stage.run import FULL, Outcome, comparable, play, play_in
from tests.valid.draft import Draft, Plan, random_plan
from tests.valid.program import script_of

ROOT = Path(__file__).parents[2]
REPORT_EVERY = 500
_CHILD = "FUZZ_ENGINES_CHILD"
"""Environment variable that makes a process the child."""
_SEED = "begins with seed "


def main() -> int:
    """Run; return 1 for a failure."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 1_000_000_000
    if os.environ.get(_CHILD):
        return work(first, count)
    say(f"seeds {first} to {first + count - 1}, engines {', '.join(engines())}, kernel: {kernel_is()}")
    at, failed = first, False
    while at < first + count:
        seed, status = in_a_child(at, first + count - at)
        failed |= status != 0
        if status in (0, 1):
            break
        say(f"seed {seed}: the process died with status {status}")
        at = seed + 1
    return int(failed)


def in_a_child(first: int, count: int) -> tuple[int, int]:
    """Do the work in a child process; return the last seed that it began with, and its exit status."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.fuzz_engines", str(count), str(first)]
    seed = first
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {_CHILD: "1"}, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith(_SEED):
                seed = int(line.removeprefix(_SEED))
            else:
                say(line.rstrip("\n"))
    return seed, child.returncode


def engines() -> list[str]:
    """Return the engines that run here, the definition first."""
    found = []
    for name in ENGINES:
        try:
            found.append(choose_engine(name).name)
        except NotSupportedError as error:
            say(f"left out: {error}")
    return [*found, FULL] if "jit" in found else found


def kernel_is() -> str:
    """Say whether the kernel takes part."""
    return missing_bpf_privilege() or "compared, too"


def work(first: int, count: int) -> int:
    """Compare; show each difference, made small."""
    names, with_kernel = engines(), missing_bpf_privilege() is None
    if with_kernel:
        os.sched_setaffinity(0, {0})  # per-CPU values are compared
    ends: Counter[str] = Counter()
    failed = 0
    for number, seed in enumerate(range(first, first + count), 1):
        say(f"{_SEED}{seed}")
        plan = random_plan(seed)
        reason = difference(plan, names, ends, with_kernel=with_kernel)
        if reason is not None:
            failed += 1
            show(
                seed, smaller(plan, lambda one: difference(one, names, Counter(), with_kernel=with_kernel) is not None)
            )
        if number % REPORT_EVERY == 0 or number == count:
            say(f"{number} programs, {failed} failed: {', '.join(f'{n} {end}' for end, n in ends.most_common())}")
    return 1 if failed else 0


def difference(plan: Plan, names: list[str], ends: Counter[str], *, with_kernel: bool) -> str | None:
    """Say in what the ends of a program differ; None if they are the same."""
    script = script_of(plan, cpus=ebpf.runtime.linux().cpus if with_kernel else 1)
    expected = play(script, names[0])
    ends[expected.fault or "returned"] += 1
    if expected.refused:
        return f"refused with errno {expected.refused}"
    for name in names[1:]:
        found = _differing(comparable(play(script, name), name), comparable(expected, name))
        if found:
            return f"{name} instead of {names[0]}: {found}"
    lane = replace(script, repeat=2, lane=True)
    twice = play(lane, names[0])
    for name in names[1:]:
        found = _differing(comparable(play(lane, name), name), comparable(twice, name))
        if found:
            return f"{name} instead of {names[0]}, in a lane: {found}"
    if with_kernel and not expected.fault:
        theirs = play_in(ebpf.runtime.linux(), script)
        ends["accepted by the kernel"] += not theirs.refused
        assert expected.r0 is not None
        # The kernel gives 32 bits of r0, and no context.
        ours = replace(expected, r0=expected.r0 & 0xFFFFFFFF, context="")
        found = [] if theirs.refused else _differing(theirs, ours)
        if found:
            return f"the kernel instead of {names[0]}: {found}"
    return None


def _differing(found: Outcome, expected: Outcome) -> list[str]:
    """Say what differs, in the parts where it does."""
    parts = [(field.name, getattr(found, field.name), getattr(expected, field.name)) for field in fields(Outcome)]
    parts += [(f"map {name}", rows, expected.maps.get(name)) for name, rows in found.maps.items()]
    return [f"{name} {a} instead of {b}" for name, a, b in parts if a != b and name != "maps"]


def smaller(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """Leave out whatever is not needed to make it fail."""
    while True:
        for candidate in _candidates(plan):
            if fails(candidate):
                plan = candidate
                break
        else:
            return plan


def _candidates(plan: Plan) -> Iterator[Plan]:
    for name in ("target", "main"):
        for rest in _without_parts(getattr(plan, name)):
            yield replace(plan, **{name: rest})
    for name in ("functions", "callbacks"):
        bodies = getattr(plan, name)
        for at, body in enumerate(bodies):
            for rest in _without_parts(body):
                yield replace(plan, **{name: (*bodies[:at], rest, *bodies[at + 1 :])})


def _without_parts(drafts: tuple[Draft, ...]) -> Iterator[tuple[Draft, ...]]:
    size = len(drafts)
    while size:
        for at in range(0, len(drafts), size):
            yield drafts[:at] + drafts[at + size :]
        size //= 2


def show(seed: int, plan: Plan) -> None:
    """Print a program that fails, and how."""
    script = script_of(plan)
    say(f"seed {seed}, as small as it goes:")
    for field in fields(plan):
        say(f"  {field.name}: {getattr(plan, field.name)!r}")
    say(disassemble(Instructions.decode(script.code)))
    if plan.target:
        say(f"target of tail calls:\n{disassemble(Instructions.decode(script.slots[0]))}")
    say(str(difference(plan, engines(), Counter(), with_kernel=missing_bpf_privilege() is None)))


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
