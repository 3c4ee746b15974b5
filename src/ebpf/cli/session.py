"""One attended run: programs attached, events streamed, the outcome printed at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from ebpf.cli.events import EventStream
from ebpf.cli.output import console
from ebpf.cli.summary import print_summary, summarise
from ebpf.cli.values import brief, plain
from ebpf.errors import EbpfError
from ebpf.link import PacketsLink

if TYPE_CHECKING:
    from ebpf.link import Links
    from ebpf.objects import Collection

_TICK = 0.1


class Session:
    """Prints what happens: a line an event, then tables; with `as_json` a document a line."""

    def __init__(
        self, collection: Collection, *, as_json: bool = False, types: Mapping[str, str] | None = None
    ) -> None:
        """Take a loaded collection, which stays the caller's."""
        self._collection = collection
        self._json = as_json
        self._types = types
        self._print: Callable[[str], None] = click.echo

    def run(self, targets: Mapping[str, Any], *, duration: float | None = None) -> None:
        """Attach, stream until the packets, the time or the user's patience (Ctrl-C) end, and print the outcome.

        Raises what attaching raises, and what ended a packet source early, after the outcome is printed.
        """
        with EventStream(self._collection, types=self._types) as events:
            links = self._attach(targets)
            interrupted = False
            with links:
                try:
                    self._follow(events, links, duration)
                except KeyboardInterrupt:
                    interrupted = True
            self._print = click.echo
            for name, event in events.drain():
                self._show(name, event)
            self._print_outcome(links, lost=events.lost)
        if not interrupted:
            _raise_failures(links)

    def _attach(self, targets: Mapping[str, Any]) -> Links:
        try:
            return self._collection.attach(targets=targets)
        except (ValueError, TypeError) as error:
            if isinstance(error, EbpfError):
                raise
            raise click.UsageError(str(error)) from None

    def _follow(self, events: EventStream, links: Links, duration: float | None) -> None:
        deadline = None if duration is None else time.monotonic() + duration
        sources = [link for link in links if isinstance(link, PacketsLink)]
        if not sources:
            self._say_attached(links, duration)
        with _progress([] if self._json else sources) as (advance, self._print):
            while deadline is None or time.monotonic() < deadline:
                advance()
                if not self._step(events) and sources and events.over and all(source.finished for source in sources):
                    break

    def _say_attached(self, links: Links, duration: float | None) -> None:
        attached = ", ".join(f"{link.program.name} to {link.hook}" for link in links if link.program is not None)
        end = "Ctrl-C ends" if duration is None else f"ends after {duration:g} s or by Ctrl-C"
        click.echo(f"attached {attached}; {end}", err=True)

    def _step(self, events: EventStream) -> bool:
        """Show the next event; False when there is none for now."""
        if not events:
            time.sleep(_TICK)
            return False
        found = events.poll(_TICK)
        if found is not None:
            self._show(*found)
        return found is not None

    def _show(self, name: str, event: Any) -> None:
        if self._json:
            click.echo(json.dumps({"map": name, "event": plain(event)}))
        else:
            self._print(f"{name}: {brief(event)}")

    def _print_outcome(self, links: Links, *, lost: int) -> None:
        if self._json:
            click.echo(json.dumps({"summary": summarise(self._collection, links.verdicts, lost=lost)}))
        else:
            print_summary(self._collection, links.verdicts, lost=lost)


def _raise_failures(links: Links) -> None:
    for link in links:
        if isinstance(link, PacketsLink) and link.finished:
            link.wait(0)


@contextmanager
def _progress(sources: list[PacketsLink]) -> Iterator[tuple[Callable[[], None], Callable[[str], None]]]:
    """Show how far the captures are read, on a terminal; yield what refreshes it and what prints a line meanwhile."""
    shown = [source for source in sources if source.progress is not None]
    terminal = console(stderr=True)
    if not shown or not terminal.is_terminal:
        yield lambda: None, click.echo
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    # The bar must not swallow standard output, which may go to a file.
    with Progress(*columns, console=terminal, transient=True, redirect_stdout=False) as bar:
        tasks = [(bar.add_task("packets", total=1.0), source) for source in shown]

        def advance() -> None:
            for task, source in tasks:
                bar.update(task, completed=source.progress, description=f"{source.processed} packets")

        def echo(line: str) -> None:
            terminal.print(Text(line), soft_wrap=True)

        yield advance, echo if console().is_terminal else click.echo
