"""`ebpf vm`: work with the user-space engines."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import click

from ebpf.vm.engines import ENGINES
from ebpf.vm.program import NATIVE

_ENGINES = [name for name in ENGINES if name != NATIVE]
"""Those of instructions: native code comes with an image."""


@click.group()
def command() -> None:
    """Work with the user-space engines."""


@command.command()
@click.argument("memory", metavar="[MEMORY_HEX]", default="")
@click.option("--engine", type=click.Choice(_ENGINES), default="auto", show_default=True)
@click.option("--program", metavar="HEX", help="The instructions, instead of reading them from standard input.")
@click.option("--interpret", is_flag=True, help="Short for --engine interpreter.")
@click.option("--jit", is_flag=True, help="Short for --engine jit.")
@click.option(
    "--suite",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Run all *.data files of a directory instead.",
)
def conformance(memory: str, engine: str, program: str | None, interpret: bool, jit: bool, suite: Path | None) -> None:
    """Run instructions given in hexadecimal on standard input and print r0 in hexadecimal.

    With MEMORY_HEX, r1 is the address of that memory and r2 its length; else both are 0. Helpers 0 to 5 are those of
    the public conformance protocol (bpf_conformance), whose test files --suite runs: it names those that did not
    pass, and ends with status 1 when one failed.
    """
    from ebpf.vm.conformance import parse_hex, run_instructions

    if jit and interpret:
        raise click.UsageError("--jit and --interpret name two engines: give one of them")
    engine = "jit" if jit else "interpreter" if interpret else engine
    if suite is not None:
        if memory or program is not None:
            raise click.UsageError(
                "--suite takes programs and memory from its files: leave out --program and MEMORY_HEX"
            )
        sys.exit(_run_suite(suite, engine))
    text = sys.stdin.read() if program is None else program
    click.echo(f"{run_instructions(parse_hex(text), parse_hex(memory), engine=engine):x}")


def _run_suite(directory: Path, engine: str) -> int:
    from ebpf.vm.engines import choose_engine
    from ebpf.vm.suite import run_suite

    counts: Counter[str] = Counter()
    for verdict in run_suite(directory, engine=engine):
        counts[verdict.state] += 1
        if verdict.state != "passed":
            click.echo(f"{verdict.state} {verdict.name}: {verdict.reason}")
    states = ", ".join(f"{counts[state]} {state}" for state in ("passed", "failed", "skipped"))
    click.echo(f"{states}, engine {choose_engine(engine).name}")
    return 1 if counts["failed"] else 0
