"""`ebpf btf`: type information of kernels, objects and files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from ebpf import runtime as runtimes
from ebpf.abi.types import Cmd
from ebpf.btf import Btf, Type, format_header, format_raw, raw_fields
from ebpf.cli.output import echo_json, facts, table
from ebpf.cli.selectors import btf_argument, by_id, json_option, system_option
from ebpf.elf import read_bytes
from ebpf.errors import BtfError
from ebpf.objects.open import iter_handles, open_by_id
from ebpf.runtime import Runtime
from ebpf.runtime.info import BtfInfo, btf_info

_ELF_MAGIC = b"\x7fELF"
_KERNEL = "vmlinux"


@click.group()
def command() -> None:
    """List, show and dump type information (BTF)."""


@command.command("list")
@system_option
@json_option
def list_(*, runtime: str, as_json: bool) -> None:
    """List the BTF objects of the kernel: its own, its modules', those of loaded programs."""
    found = [_describe(info) for info in _infos(runtimes.select(runtime))]
    if as_json:
        echo_json(found)
        return
    table(None, ("id", "name", "size", "owner"), [tuple(entry.values()) for entry in found])


@command.command()
@btf_argument
@system_option
@json_option
def show(selector: tuple[str, str], *, runtime: str, as_json: bool) -> None:
    """Show one BTF object of the kernel, with how many types of each kind it has."""
    kernel = runtimes.select(runtime)
    info = _chosen(kernel, *selector)
    found = _describe(info)
    types = _parse(kernel, info)
    kinds: dict[str, int] = {}
    for type_ in types:
        kinds[type_.kind.label] = kinds.get(type_.kind.label, 0) + 1
    found |= {"byte_order": types.byte_order, "types": len(types), "kinds": kinds}
    if as_json:
        echo_json(found)
        return
    facts(found | {"kinds": ", ".join(f"{count} {kind}" for kind, count in kinds.items())})


@command.command()
@click.argument("source", nargs=-1, required=True, metavar="{FILE | id N | name NAME | vmlinux} [TYPE]...")
@click.option("--format", "style", type=click.Choice(["raw", "c"]), default="raw", show_default=True, help="How.")
@click.option("--base", type=click.Path(path_type=Path), help="BTF that the file continues (a module's is split).")
@system_option
@json_option
def dump(source: tuple[str, ...], *, style: str, base: Path | None, runtime: str, as_json: bool) -> None:
    """Print types: all, or those named, of an object file, a BTF file or a kernel.

    As C, the types that others need come before them, as in vmlinux.h.
    """
    types, names = _open(source, base, runtime)
    chosen = _named(types, names) if names else None
    if as_json:
        echo_json({"types": [raw_fields(type_) for type_ in chosen or types]})
    elif style == "c":
        click.echo(format_header(types, chosen), nl=False)
    else:
        click.echo("\n".join(map(format_raw, chosen or types)))


def _open(source: tuple[str, ...], base: Path | None, runtime: str) -> tuple[Btf, tuple[str, ...]]:
    """Return the types that the words name, and the words that are left: names of types."""
    first, rest = source[0], source[1:]
    if first in ("id", "name"):
        if not rest:
            raise click.UsageError(f"expected a value after {first!r}")
        kernel = runtimes.select(runtime)
        return _parse(kernel, _chosen(kernel, first, rest[0])), rest[1:]
    if first == _KERNEL and not Path(first).exists():
        return runtimes.select(runtime).kernel_btf(), rest
    return _read_file(Path(first), None if base is None else _read_file(base, None)), rest


def _read_file(path: Path, base: Btf | None) -> Btf:
    data = path.read_bytes()
    if not data.startswith(_ELF_MAGIC):
        try:
            return Btf.parse(data, base=base)
        except BtfError as error:
            raise BtfError(f"neither an object file nor BTF: {error}", path=str(path)) from error
    types = read_bytes(data, name=str(path)).types
    if types is None:
        raise click.ClickException(f"{path} has no BTF; compile with -g")
    return types


def _named(types: Btf, names: tuple[str, ...]) -> list[Type]:
    found: list[Type] = []
    for name in names:
        own = types.find_all(name)
        if not own:
            raise click.ClickException(f"no type is named {name!r}")
        found += own
    return found


def _infos(kernel: Runtime, *, data: bool = False) -> Iterator[BtfInfo]:
    for handle in iter_handles(kernel, Cmd.BTF_GET_NEXT_ID, Cmd.BTF_GET_FD_BY_ID):
        try:
            yield btf_info(kernel, handle, data=data)
        finally:
            handle.close()


def _chosen(kernel: Runtime, how: str, what: str) -> BtfInfo:
    ways: dict[str, Callable[[], BtfInfo]] = {
        "id": lambda: _by_id(kernel, what),
        "name": lambda: _by_name(kernel, what),
    }
    if how not in ways:
        raise click.UsageError(f"expected id N or name NAME, got {how!r}")
    return ways[how]()


def _by_id(kernel: Runtime, text: str) -> BtfInfo:
    handle = by_id(text, lambda number: open_by_id(kernel, Cmd.BTF_GET_FD_BY_ID, number))
    try:
        return btf_info(kernel, handle, data=True)
    finally:
        handle.close()


def _by_name(kernel: Runtime, name: str) -> BtfInfo:
    found = [info for info in _infos(kernel) if info.name == name]
    if len(found) != 1:
        raise click.ClickException(f"{len(found) or 'no'} BTF objects are named {name!r}; see `ebpf btf list`")
    return _by_id(kernel, str(found[0].id))


def _parse(kernel: Runtime, info: BtfInfo) -> Btf:
    split = info.kernel and info.name != _KERNEL
    return Btf.parse(info.data, base=kernel.kernel_btf() if split else None)


def _describe(info: BtfInfo) -> dict[str, Any]:
    return {"id": info.id, "name": info.name, "size": info.size, "owner": "kernel" if info.kernel else "user"}
