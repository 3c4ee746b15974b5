"""`ebpf run`: load an object or image, attach its programs, stream its events, print its maps."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from ebpf.btf import Int, strip
from ebpf.cli.events import RINGS
from ebpf.cli.files import read_object_or_image, refuse_standard_output, refuse_to_overwrite
from ebpf.cli.images import load, open_image
from ebpf.cli.selectors import runtime_option
from ebpf.cli.session import Session
from ebpf.link import Packets
from ebpf.link.sections import target_needed
from ebpf.link.verdicts import PACKET_TYPES
from ebpf.objects.native import spec_of
from ebpf.spec import CollectionSpec, VariableSpec
from ebpf.vm.engines import ENGINES

_QUIET = "nothing happens in the embedded kernel by itself: feed packets with --pcap FILE"


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--pcap",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Feed the packets of this capture to the programs; - is standard input.",
)
@click.option("--out", type=click.Path(dir_okay=False), help="Write the packets that survive to this capture.")
@runtime_option
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="auto",
    metavar="NAME",
    show_default=True,
    help="Of the embedded runtime: auto, jit, interpreter or reference.",
)
@click.option("--program", "names", multiple=True, metavar="NAME", help="Load this program only (repeatable).")
@click.option(
    "--attach",
    "attachments",
    multiple=True,
    metavar="[NAME=]TARGET",
    help="Interface, cgroup or tracepoint.",
)
@click.option("--set", "assignments", multiple=True, metavar="VAR=VALUE", help="Set a global variable before the load.")
@click.option("--type", "types", multiple=True, metavar="MAP=TYPE", help="The BTF type of a ring's records.")
@click.option("--pin-path", type=click.Path(), metavar="DIR", help="Where maps that are pinned by name are, or go.")
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="End after this time.")
@click.option(
    "--trusted-key",
    "trusted_keys",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="KEYFILE",
    help="Take a native image that this Ed25519 public key signed (repeatable).",
)
@click.option("--allow-unsigned", is_flag=True, help="Take a native image whoever made it.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document a line: events, then a summary.")
def command(
    file: str,
    *,
    pcap: str | None,
    out: str | None,
    runtime: str,
    engine: str,
    names: tuple[str, ...],
    attachments: tuple[str, ...],
    assignments: tuple[str, ...],
    types: tuple[str, ...],
    pin_path: str | None,
    duration: float | None,
    trusted_keys: tuple[Path, ...],
    allow_unsigned: bool,
    as_json: bool,
) -> None:
    """Load FILE, attach every program by its section, stream decoded events; print verdicts and maps at the end.

    FILE is an object, or a native image that `ebpf gen native` made of one.
    With --pcap no device is involved: the packets go to every XDP, tc, cgroup_skb and socket filter program.
    """
    if out is not None and pcap is None:
        raise click.UsageError("--out writes what survives of a capture: give --pcap too")
    if out is not None and pcap is not None:
        refuse_standard_output(Path(out), option="--out")
        refuse_to_overwrite(Path(out), {"the capture": Path(pcap), "the program's file": Path(file)}, option="--out")
    data = read_object_or_image(Path(file))
    image = open_image(data, name=file, trusted_keys=trusted_keys, allow_unsigned=allow_unsigned)
    if pcap is None and (runtime == "embedded" or image is not None):
        raise click.UsageError(_QUIET)
    spec = CollectionSpec.from_bytes(data, name=file) if image is None else spec_of(image)
    _select(spec, names, packets_only=pcap is not None)
    for assignment in assignments:
        _assign(spec, assignment)
    wanted = [name for name, program in spec.programs.items() if program.autoload]
    targets = _targets(wanted, attachments)
    if pcap is not None:
        targets.update(_fed(wanted, pcap, out))
    _check_targets(spec, wanted, targets)
    _check_pins(spec, pin_path)
    records = _pairs(types, "--type")
    _check_records(spec, records)
    with load(spec, image, runtime=runtime, engine=engine, pin_path=pin_path) as collection:
        chosen = collection.runtime
        if pcap is None and chosen.name == "embedded":
            raise click.ClickException(f"{_QUIET}; it was chosen because {chosen.reason}")
        if runtime == "auto" and image is None:
            click.echo(f"runtime: {chosen.name} ({chosen.reason})", err=True)
        Session(collection, as_json=as_json, types=records).run(targets, duration=duration)


def _select(spec: CollectionSpec, names: tuple[str, ...], *, packets_only: bool) -> None:
    """Leave out the programs that were not asked for, and those that packets can't be fed to."""
    unknown = [name for name in names if name not in spec.programs]
    if unknown:
        raise click.UsageError(f"no program {unknown[0]!r} in the object; it has {', '.join(spec.programs) or 'none'}")
    for name, program in spec.programs.items():
        if names:
            program.autoload = name in names
        if packets_only and program.type not in PACKET_TYPES:
            program.autoload = False
    if not any(program.autoload for program in spec.programs.values()):
        kind = "packets can be fed to" if packets_only else "is loaded by default"
        raise click.UsageError(f"the object has no program that {kind}; name one with --program")


def _fed(programs: list[str], pcap: str, out: str | None) -> dict[str, Packets]:
    single = "--out" if out is not None else "--pcap of a pipe" if _is_read_once(pcap) else None
    if single is not None and len(programs) > 1:
        raise click.UsageError(f"{single} is for one program; choose it with --program: {', '.join(programs)}")
    # Not sys.stdin: the interpreter's exit would fail on it if a thread still waits for packets then.
    source = open(0, "rb", closefd=False) if pcap == "-" else pcap  # noqa: SIM115 - closed by the link
    return {name: Packets(source, sink=out) for name in programs}


def _is_read_once(path: str) -> bool:
    return path == "-" or (os.path.exists(path) and not os.path.isfile(path))


def _check_targets(spec: CollectionSpec, programs: list[str], targets: dict[str, Any]) -> None:
    for name in programs:
        needs = target_needed(spec.programs[name].type)
        if needs is not None and name not in targets:
            packets = ", or --pcap FILE" if spec.programs[name].type in PACKET_TYPES else ""
            raise click.UsageError(f"program {name} needs {needs}: give --attach {name}=TARGET{packets}")


def _check_pins(spec: CollectionSpec, pin_path: str | None) -> None:
    pinned = [name for name, map_ in spec.maps.items() if map_.pinning == "by_name"]
    if pinned and pin_path is None:
        raise click.UsageError(f"map {pinned[0]} is pinned by name: give --pin-path DIR, as in --pin-path /sys/fs/bpf")


def _check_records(spec: CollectionSpec, records: dict[str, str]) -> None:
    for name, type_ in records.items():
        if name not in spec.maps or spec.maps[name].type not in RINGS:
            rings = ", ".join(map_.name for map_ in spec.maps.values() if map_.type in RINGS)
            raise click.UsageError(f"--type: {name!r} is no ring of the object; it has {rings or 'none'}")
        if spec.types is None or not spec.types.find_all(type_.removeprefix("struct ")):
            raise click.UsageError(f"--type {name}: the object's BTF has no type {type_!r}")


def _assign(spec: CollectionSpec, assignment: str) -> None:
    name, separator, text = assignment.partition("=")
    if not separator:
        raise click.UsageError(f"--set expects VAR=VALUE, got {assignment!r}")
    if name not in spec.variables:
        raise click.UsageError(f"no variable {name!r} in the object; it has {', '.join(spec.variables) or 'none'}")
    variable, value = spec.variables[name], _value(text)
    # The codec takes what a program may have stored; C would make a 1 of any other number.
    if _is_bool(variable) and value not in (0, 1):
        raise click.UsageError(f"--set {name}: a _Bool is true, false, 0 or 1, got {text}")
    try:
        variable.value = value
    except (ValueError, TypeError, OverflowError) as error:
        raise click.UsageError(f"--set {name}: {error}") from None


def _is_bool(variable: VariableSpec) -> bool:
    inner = None if variable.type is None else strip(variable.type)
    return isinstance(inner, Int) and inner.is_bool


def _value(text: str) -> Any:
    """Read a number in any base, JSON, or else the text itself."""
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return json.loads(text)
    except ValueError:
        return text


def _targets(programs: list[str], attachments: tuple[str, ...]) -> dict[str, Any]:
    targets: dict[str, Any] = {}
    for attachment in attachments:
        name, separator, target = attachment.partition("=")
        if not separator:
            if len(programs) != 1:
                raise click.UsageError(f"--attach {attachment}: say which program, NAME={attachment}")
            name, target = programs[0], attachment
        if name not in programs:
            raise click.UsageError(f"--attach: no program {name!r} is loaded; there are {', '.join(programs)}")
        targets[name] = target
    return targets


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise click.UsageError(f"{option} expects NAME=VALUE, got {text!r}")
        pairs[name] = value
    return pairs
