"""`ebpf prog`: what programs are loaded and what they are made of."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import click

from ebpf.abi.platform import Platform
from ebpf.asm import Instructions, disassemble
from ebpf.cli.output import echo_json, facts, table
from ebpf.cli.selectors import each, json_option, opened, selector_argument, system_option
from ebpf.cli.xlated import with_names
from ebpf.objects import Map, Program
from ebpf.runtime.info import program_info

_HIDING = "sysctl net.core.bpf_jit_harden and kernel.kptr_restrict"


@click.group()
def command() -> None:
    """List, show and dump programs."""


@command.command("list")
@system_option
@json_option
def list_(*, runtime: str, as_json: bool) -> None:
    """List every program of the kernel."""
    found = each(Program, _describe, runtime=runtime)
    if as_json:
        echo_json(found)
        return
    columns = ("id", "name", "type", "tag", "translated", "jited", "runs", "maps")
    rows = [
        (
            entry["id"],
            entry["name"],
            entry["type"],
            entry["tag"],
            entry["xlated_size"],
            entry["jited_size"],
            entry["run_count"],
            " ".join(map(str, entry["map_ids"])),
        )
        for entry in found
    ]
    table(None, columns, rows)


@command.command()
@selector_argument
@system_option
@json_option
def show(selector: tuple[str, str], *, runtime: str, as_json: bool) -> None:
    """Show what the kernel knows of one program."""
    with opened(Program, selector, runtime=runtime) as program:
        found = _describe(program)
        if as_json:
            echo_json(found)
            return
        facts(found)


@command.command()
@selector_argument
@system_option
@json_option
def dump(selector: tuple[str, str], *, runtime: str, as_json: bool) -> None:
    """Disassemble one program as the kernel translated it (xlated)."""
    with opened(Program, selector, runtime=runtime) as program:
        info = program_info(program.runtime, program.handle, arrays=["xlated_prog_insns"])
        code = info.arrays.get("xlated_prog_insns", b"")
        if not any(code):
            raise click.ClickException(f"the kernel hides the instructions of {info.name or info.id}; see {_HIDING}")
        insns = with_names(Instructions.decode(code, sys.byteorder), _names(info.map_ids, runtime))
        if as_json:
            echo_json({"name": info.name, "insns": len(insns), "bytecode": code, "text": str(insns)})
            return
        click.echo(disassemble(insns, offsets=True, helpers=Platform.LINUX), nl=False)


def _names(map_ids: Iterable[int], runtime: str) -> dict[int, str]:
    names = {}
    for number in map_ids:
        with Map.open_id(number, runtime=runtime) as map_:
            names[number] = map_.name
    return {number: name for number, name in names.items() if name}


def _describe(program: Program) -> dict[str, Any]:
    info = program.info()
    return {
        "id": info.id,
        "name": info.name,
        "type": info.type.label,
        "tag": info.tag.hex(),
        "gpl_compatible": info.gpl_compatible,
        "load_time_ns": info.load_time,
        "uid": info.uid,
        "btf_id": info.btf_id,
        "verified_insns": info.verified_insns,
        "xlated_size": info.xlated_size,
        "jited_size": info.jited_size,
        "run_count": info.run_count,
        "run_time_ns": info.run_time_ns,
        "map_ids": list(info.map_ids),
    }
