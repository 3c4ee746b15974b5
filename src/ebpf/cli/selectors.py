"""How commands select live objects: `id N`, `pinned PATH`, `name NAME` (links have no names, BTF no pins)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from ebpf.abi.linux import ENOENT
from ebpf.errors import SystemCallError

if TYPE_CHECKING:
    from ebpf.objects.held import Held

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


def _selector(*ways: str) -> Callable[[Any], Any]:
    """Make the argument that selects a live object in one of these ways ("id N")."""
    words = [way.partition(" ")[0] for way in ways]

    def pair(_ctx: click.Context, _argument: click.Parameter, given: tuple[str, ...]) -> tuple[str, str]:
        if len(given) != 2 or given[0] not in words:
            raise click.UsageError(f"expected {' or '.join(ways)}, got {' '.join(given)!r}")
        return given[0], given[1]

    return click.argument("selector", nargs=-1, required=True, callback=pair, metavar=f"{{{' | '.join(ways)}}}")


selector_argument = _selector("id N", "pinned PATH", "name NAME")
link_argument = _selector("id N", "pinned PATH")
btf_argument = _selector("id N", "name NAME")


class Named(Protocol):
    """What maps and programs have in common here."""

    @property
    def name(self) -> str: ...
    def close(self) -> None: ...


T = TypeVar("T", bound=Named)
H = TypeVar("H", bound="Held")
Opened = TypeVar("Opened")


@contextmanager
def opened(kind: Any, selector: tuple[str, str], *, runtime: str) -> Iterator[Any]:
    """Open the object of class `kind` that the selector names, and close it afterwards."""
    how, what = selector
    ways: dict[str, Callable[[], Any]] = {
        "id": lambda: by_id(what, lambda number: kind.open_id(number, runtime=runtime)),
        "pinned": lambda: kind.open_pinned(what, runtime=runtime),
        "name": lambda: _by_name(kind.iter_all(runtime=runtime), what),
    }
    live = ways[how]()
    try:
        yield live
    finally:
        live.close()


def each(kind: type[H], describe: Callable[[H], dict[str, Any]], *, runtime: str) -> list[dict[str, Any]]:
    """Describe every object of class `kind`; each is open only meanwhile."""
    found = []
    for live in kind.iter_all(runtime=runtime):
        with live:
            found.append(describe(live))
    return found


def by_id(text: str, open_it: Callable[[int], Opened]) -> Opened:
    """Open the object whose number is `text`, in any base; raises click's errors for no number and no such object."""
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 32:
        raise click.UsageError(f"expected a number of 32 bits after id, got {text!r}")
    try:
        return open_it(number)
    except SystemCallError as error:
        if error.linux_errno != ENOENT:
            raise
        raise click.ClickException(f"nothing has the id {number}; {_see_list()}") from None


def _see_list() -> str:
    group = click.get_current_context().parent
    return f"see `{group.command_path if group else 'ebpf'} list`"


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
        raise click.ClickException(f"nothing is named {name!r}; {_see_list()}")
    raise click.ClickException(f"{len(found)} objects are named {name!r}; select one by id")
