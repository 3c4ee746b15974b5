"""`ebpf link`: what is attached where."""

from __future__ import annotations

from typing import Any

import click

from ebpf.cli.output import echo_json, facts, table
from ebpf.cli.selectors import each, json_option, link_argument, opened, system_option
from ebpf.cli.values import brief, plain
from ebpf.link import Link


@click.group()
def command() -> None:
    """List, show and detach links."""


@command.command("list")
@system_option
@json_option
def list_(*, runtime: str, as_json: bool) -> None:
    """List every link of the kernel."""
    found = each(Link, _describe, runtime=runtime)
    if as_json:
        echo_json(found)
        return
    rows = [(entry["id"], entry["type"], entry["prog_id"], brief(entry["details"])) for entry in found]
    table(None, ("id", "type", "program", "details"), rows)


@command.command()
@link_argument
@system_option
@json_option
def show(selector: tuple[str, str], *, runtime: str, as_json: bool) -> None:
    """Show what the kernel knows of one link."""
    with opened(Link, selector, runtime=runtime) as link:
        found = _describe(link)
        if as_json:
            echo_json(found)
            return
        facts({name: brief(value) for name, value in found.items()})


@command.command()
@link_argument
@system_option
def detach(selector: tuple[str, str], *, runtime: str) -> None:
    """Detach one link, even if it is pinned."""
    with opened(Link, selector, runtime=runtime) as link:
        link.detach()


@command.command()
@link_argument
@system_option
@json_option
def dump(selector: tuple[str, str], *, runtime: str, as_json: bool) -> None:
    """Print all about one link: the same as show."""
    click.get_current_context().invoke(show, selector=selector, runtime=runtime, as_json=as_json)


def _describe(link: Link) -> dict[str, Any]:
    info = link.info()
    return {"id": info.id, "type": info.type.label, "prog_id": info.prog_id, "details": plain(dict(info.details))}
