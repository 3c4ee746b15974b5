"""`ebpf map`: what maps there are and what is in them."""

from __future__ import annotations

from typing import Any

import click

from ebpf.cli.contents import listable, rows
from ebpf.cli.output import echo_json, facts, table
from ebpf.cli.selectors import each, json_option, opened, selector_argument, system_option
from ebpf.cli.summary import print_map
from ebpf.cli.values import plain
from ebpf.objects import Map


@click.group()
def command() -> None:
    """List, show and dump maps."""


@command.command("list")
@system_option
@json_option
def list_(*, runtime: str, as_json: bool) -> None:
    """List every map of the kernel."""
    found = each(Map, _describe, runtime=runtime)
    if as_json:
        echo_json(found)
        return
    table(None, ("id", "name", "type", "key", "value", "entries", "flags"), [tuple(entry.values()) for entry in found])


@command.command()
@selector_argument
@system_option
@json_option
def show(selector: tuple[str, str], *, runtime: str, as_json: bool) -> None:
    """Show what the kernel knows of one map."""
    with opened(Map, selector, runtime=runtime) as map_:
        found = _describe(map_)
        if as_json:
            echo_json(found)
            return
        facts(found)


@command.command()
@selector_argument
@click.option("--raw", is_flag=True, help="Show keys and values as hex, not decoded.")
@system_option
@json_option
def dump(selector: tuple[str, str], *, raw: bool, runtime: str, as_json: bool) -> None:
    """Print the elements of one map, decoded where its types are known."""
    with opened(Map, selector, runtime=runtime) as map_:
        if not listable(map_):
            raise click.ClickException(f"map {map_.name} of type {map_.type.label} has no elements to list")
        if as_json or raw:
            _dump_plain(map_, raw=raw, as_json=as_json)
            return
        print_map(map_.name, map_, limit=None)


def _dump_plain(map_: Map, *, raw: bool, as_json: bool) -> None:
    found = [{"key": plain(key), "value": plain(value)} for key, value in rows(map_, raw=raw)]
    if as_json:
        echo_json(found)
        return
    table(None, ("key", "value"), [(entry["key"], entry["value"]) for entry in found])


def _describe(map_: Map) -> dict[str, Any]:
    return {
        "id": map_.id,
        "name": map_.name,
        "type": map_.type.label,
        "key_size": map_.key_size,
        "value_size": map_.value_size,
        "max_entries": map_.max_entries,
        "flags": map_.flags.name or int(map_.flags),
    }
