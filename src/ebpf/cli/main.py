"""The command group: finds each command when it is named, and turns errors into one line."""

from __future__ import annotations

import io
import logging
import os
import sys
from errno import EINVAL
from importlib import import_module
from typing import Any, NoReturn

import click

from ebpf import __version__
from ebpf.errors import EbpfError

COMMANDS = {
    "asm": ("asm", "asm_command", "Assemble text into eBPF instructions."),
    "btf": ("btf", "command", "List, show and dump type information (BTF)."),
    "demo": ("demo", "command", "Filter a real packet capture with a real eBPF program."),
    "disasm": ("asm", "disasm_command", "Disassemble instructions or an object file."),
    "gen": ("gen", "command", "Make native images from object files."),
    "inspect": ("inspect", "command", "Show what an object file or native image defines."),
    "link": ("link", "command", "List, show and detach links."),
    "map": ("map", "command", "List, show and dump maps."),
    "prog": ("prog", "command", "List, show and dump programs."),
    "run": ("run", "command", "Load an object file or native image, attach its programs, stream its events."),
    "vm": ("vm", "command", "Work with the user-space engines."),
}
"""Command → (module in this package, name in it, one line of help)."""

_RUNTIMES = ("auto", "linux", "embedded")


class LazyGroup(click.Group):
    """Imports a command's module only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(import_module(f"ebpf.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in sorted(COMMANDS)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ebpf")
@click.option("--debug", is_flag=True, help="Log every system call and show the traceback of an error.")
def cli(*, debug: bool) -> None:
    """Load, run, attach and inspect eBPF programs: in the Linux kernel, or inside this process."""
    if debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(name)s: %(message)s")
    chosen = os.environ.get("EBPF_RUNTIME", "")
    if chosen and chosen not in _RUNTIMES:
        raise click.UsageError(f"the environment variable EBPF_RUNTIME is {chosen!r}; set auto, linux or embedded")


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failure, 2 wrong usage, 130 interrupted before there was a result."""
    arguments = sys.argv[1:] if args is None else args
    debug = "--debug" in arguments
    if debug:
        # It belongs before the command, and is typed after it as often.
        arguments = ["--debug", *(argument for argument in arguments if argument != "--debug")]
    _print_everything()
    try:
        code: Any = cli.main(arguments, prog_name="ebpf", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        _fail(_usage(error), status=2)
    except click.ClickException as error:
        _fail(f"ebpf: {error.format_message()}")
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (EbpfError, OSError) as error:
        if _is_broken_pipe(error):
            # Whoever read our output has gone: nothing more to say, and nowhere to say it.
            _close_stdout()
            sys.exit(1)
        if debug:
            raise
        _fail(f"ebpf: {_one_line(error)}")
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, *, status: int = 1) -> NoReturn:
    _close_stdout()
    click.echo(message, err=True)
    sys.exit(status)


def _usage(error: click.UsageError) -> str:
    """Say on one line what is wrong, and where the options are listed; a bare group shows its help."""
    if type(error).__name__ == "NoArgsIsHelpError":  # newer than the oldest click that will do
        return error.format_message()
    path = "ebpf" if error.ctx is None else error.ctx.command_path
    return f"{path}: {' '.join(error.format_message().split()).rstrip('.')}; see `{path} --help`"


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and not isinstance(error, EbpfError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


def _is_broken_pipe(error: Exception) -> bool:
    # Windows answers EINVAL to a write whose reader has gone.
    windows = sys.platform == "win32" and type(error) is OSError and error.errno == EINVAL and error.filename is None
    return isinstance(error, BrokenPipeError) or windows


def _print_everything() -> None:
    """Escape what the output's encoding lacks (names in objects are any text), instead of failing on it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _close_stdout() -> None:
    """Write out what is there; if that fails, drop it, so that the interpreter's exit does not fail on it again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
