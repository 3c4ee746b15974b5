"""The command group: finds each command when it is named, and turns errors into one line."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import Any

import click

from ebpf import __version__
from ebpf.errors import EbpfError

COMMANDS = {
    "asm": ("asm", "asm_command", "Assemble text into eBPF instructions."),
    "btf": ("btf", "command", "List, show and dump type information."),
    "demo": ("demo", "command", "Filter a real packet capture with a real eBPF program."),
    "disasm": ("asm", "disasm_command", "Disassemble instructions or an object file."),
    "inspect": ("inspect", "command", "Show what an object file defines."),
    "link": ("link", "command", "List, show and detach links."),
    "map": ("map", "command", "List, show and dump maps."),
    "prog": ("prog", "command", "List, show and dump programs."),
    "run": ("run", "command", "Load an object file, attach its programs, stream its events."),
    "vm": ("vm", "command", "Work with the user-space engines."),
}
"""Command → (module in this package, name in it, one line of help)."""


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
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Load, run, attach and inspect eBPF programs: in the Linux kernel, or inside this process."""
    ctx.obj = debug
    if debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(name)s: %(message)s")


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failure, 2 wrong usage."""
    arguments = sys.argv[1:] if args is None else args
    try:
        code: Any = cli.main(arguments, prog_name="ebpf", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone: nothing more to say, and nowhere to say it.
        sys.stderr.close()
        sys.exit(1)
    except (EbpfError, OSError) as error:
        if "--debug" in arguments:
            raise
        click.echo(f"ebpf: {_one_line(error)}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and not isinstance(error, EbpfError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())
