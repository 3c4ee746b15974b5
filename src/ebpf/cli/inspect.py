"""`ebpf inspect`: what an object file or a native image defines, without loading it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ebpf.cli.files import read_object_or_image
from ebpf.cli.images import describe_image, signature_state
from ebpf.cli.output import echo_json, facts, heading, table
from ebpf.codegen.native import NativeImage, is_image
from ebpf.elf import describe, read_bytes
from ebpf.objects.native import spec_of


@click.command("inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(file: Path, as_json: bool) -> None:
    """Show what an object FILE defines: maps, programs, variables, types; of an image its code and signer, too."""
    data, name = read_object_or_image(file), str(file)
    document = _describe_image(data, name) if is_image(data) else describe(read_bytes(data, name=name))
    if as_json:
        echo_json(document)
        return
    _show(document)
    if "native" in document:
        _show_image(document["native"])


def _describe_image(data: bytes, name: str) -> dict[str, Any]:
    image = NativeImage.parse(data, name=name)
    native = {**describe_image(image), "signature": signature_state(image, data)}
    return {**describe(spec_of(image)), "native": native}


def _show_image(native: dict[str, Any]) -> None:
    rows = [
        [name, program["code_size"], ", ".join(program["maps"]) or None] for name, program in native["programs"].items()
    ]
    table("\nNative code", ["program", "bytes", "made for the maps"], rows)
    signed = native["signature"]
    if native["signer"] is not None:
        signed += f" signature of {native['signer']}"
    if native["signature"] == "unchecked":
        signed += ": the package cryptography is not installed (pip install 'ebpf[sign]')"
    heading("\nNative image")
    facts({"target": native["target"], "made by version": native["version"], "signed": signed})


def _show(document: dict[str, Any]) -> None:
    programs, maps, variables = document["programs"], document["maps"], document["variables"]
    if programs:
        columns = ["name", "type", "attach type", "section", "attach to", "insns", "refers to", "autoload"]
        table("Programs", columns, [_program_row(name, program) for name, program in programs.items()])
    if maps:
        columns = ["name", "type", "key", "value", "entries", "flags", "pinning"]
        table("\nMaps", columns, [_map_row(name, spec) for name, spec in maps.items()])
    if variables:
        columns = ["name", "type", "section", "offset", "size"]
        rows = [[name, *(spec[column] for column in columns[1:])] for name, spec in variables.items()]
        table("\nVariables", columns, rows)
    licenses = sorted({program["license"] for program in programs.values()} - {""})
    kinds = ", ".join(f"{count} {kind}" for kind, count in document["btf"]["kinds"].items())
    heading("\nObject")
    facts({"byte order": document["byte_order"], "license": ", ".join(licenses), "types": kinds})


def _program_row(name: str, program: dict[str, Any]) -> list[object]:
    references = sorted({reference["name"] for reference in program["references"]})
    attach_type = None if program["attach_type"] == "None" else program["attach_type"]
    autoload = "yes" if program["autoload"] else "no"
    return [
        name, program["type"], attach_type, program["section"], program["attach_to"] or None,
        program["insns"], ", ".join(references) or None, autoload,
    ]  # fmt: skip


def _map_row(name: str, spec: dict[str, Any]) -> list[object]:
    return [
        name, spec["type"], _sized(spec, "key"), _sized(spec, "value"), spec["max_entries"],
        hex(spec["flags"]) if spec["flags"] else None, spec["pinning"],
    ]  # fmt: skip


def _sized(spec: dict[str, Any], part: str) -> str:
    size = f"{spec[part + '_size']} bytes"
    return f"{spec[part]} ({size})" if spec[part] else size
