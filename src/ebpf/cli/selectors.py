"""How commands name live objects: `id N`, `pinned PATH`, `name NAME`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import click

_RUNTIMES = click.Choice(["auto", "linux", "embedded"])


def _system(_ctx: click.Context, _option: click.Parameter, runtime: str) -> str:
    """Read "auto" as the kernel of this machine: an embedded one is new here, and so has nothing to show."""
    if runtime != "auto":
        return runtime
    named = os.environ.get("EBPF_RUNTIME", "")
    return "linux" if named in ("", "auto") else named


runtime_option = click.option(
    "--runtime",
    type=_RUNTIMES,
    default="auto",
    show_default=True,
    help="What executes the programs; auto: the Linux kernel where this user may, else embedded.",
)
system_option = click.option(
    "--runtime",
    type=_RUNTIMES,
    default="auto",
    show_default=True,
    callback=_system,
    help="Which kernel to ask; auto: that of this machine.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
selector_argument = click.argument("selector", nargs=2, metavar="{id N | pinned PATH | name NAME}")


class Live(Protocol):
    """What maps, programs and links have in common here."""

    @property
    def name(self) -> str: ...
    def close(self) -> None: ...


T = TypeVar("T", bound=Live)


@contextmanager
def opened(kind: Any, selector: tuple[str, str], *, runtime: str) -> Iterator[Any]:
    """Open the object of class `kind` that the selector names, and close it afterwards."""
    how, what = selector
    ways: dict[str, Callable[[], Any]] = {
        "id": lambda: kind.open_id(_number(what), runtime=runtime),
        "pinned": lambda: kind.open_pinned(what, runtime=runtime),
        "name": lambda: _by_name(kind.iter_all(runtime=runtime), what),
    }
    if how not in ways:
        raise click.UsageError(f"expected id N, pinned PATH or name NAME, got {how!r}")
    live = ways[how]()
    try:
        yield live
    finally:
        live.close()


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise click.UsageError(f"expected a number after id, got {text!r}") from None


def _by_name(candidates: Iterator[T], name: str) -> T:
    """Return the only object of that name; the others are closed."""
    found: list[T] = []
    for live in candidates:
        if live.name == name:
            found.append(live)
        else:
            live.close()
    if len(found) == 1:
        return found[0]
    for live in found:
        live.close()
    if not found:
        raise click.ClickException(f"nothing is named {name!r}; see `list`")
    raise click.ClickException(f"{len(found)} objects are named {name!r}; select one by id")
