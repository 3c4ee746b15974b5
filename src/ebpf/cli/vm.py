"""`ebpf vm`: work with the user-space engines."""

from __future__ import annotations

import sys

import click

from ebpf.errors import NotSupportedError


@click.group()
def command() -> None:
    """Work with the user-space engines."""


@command.command()
@click.argument("memory", metavar="[MEMORY_HEX]", default="")
@click.option("--engine", type=click.Choice(["auto", "reference", "interpreter"]), default="auto", show_default=True)
@click.option("--program", metavar="HEX", help="The instructions, instead of reading them from standard input.")
@click.option("--interpret", is_flag=True, help="Run without compilation, as all engines do.")
@click.option("--jit", is_flag=True, help="Run compiled code (not there yet).")
def conformance(memory: str, engine: str, program: str | None, interpret: bool, jit: bool) -> None:
    """Run instructions given in hexadecimal on standard input and print r0 in hexadecimal.

    With MEMORY_HEX, r1 is the address of that memory and r2 its length; else both are 0. Helpers 0 to 5 are those of
    the public conformance protocol.
    """
    from ebpf.vm.conformance import parse_hex, run_instructions

    if jit:
        raise NotSupportedError("compiled execution", runtime="embedded", alternative="use --engine interpreter")
    text = sys.stdin.read() if program is None else program
    click.echo(f"{run_instructions(parse_hex(text), parse_hex(memory), engine=engine):x}")
