"""One attended run: programs attached, events streamed, the outcome printed at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ebpf.cli.events import EventStream
from ebpf.cli.output import console
from ebpf.cli.summary import print_summary, summarise
from ebpf.cli.values import brief, plain
from ebpf.errors import DeadlineExceeded
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
        self.events = 0

    def run(self, targets: Mapping[str, Any], *, duration: float | None = None) -> None:
        """Attach, stream until the packets, the time or the user's patience (Ctrl-C) end, and print the outcome.

        Raises what attaching raises, and what ended a packet source early, after the outcome is printed.
        """
        with EventStream(self._collection, types=self._types) as events:
            links = self._collection.attach(targets=targets)
            interrupted = False
            with links:
                try:
                    self._follow(events, links, duration)
                except KeyboardInterrupt:
                    interrupted = True
            for name, event in events.drain():
                self._show(name, event)
            self._print_outcome(links, lost=events.lost)
        if not interrupted:
            _raise_failures(links)

    def _follow(self, events: EventStream, links: Links, duration: float | None) -> None:
        deadline = None if duration is None else time.monotonic() + duration
        sources = [link for link in links if isinstance(link, PacketsLink)]
        if not sources and not self._json:
            click.echo("attached; Ctrl-C ends", err=True)
        with _progress(sources) as advance:
            while deadline is None or time.monotonic() < deadline:
                advance()
                if not self._step(events) and sources and all(source.finished for source in sources):
                    return

    def _step(self, events: EventStream) -> bool:
        """Show the next event; False when there is none for now."""
        if not events:
            time.sleep(_TICK)
            return False
        try:
            found = events.poll(_TICK)
        except DeadlineExceeded:
            return False
        if found is not None:
            self._show(*found)
        return found is not None

    def _show(self, name: str, event: Any) -> None:
        self.events += 1
        if self._json:
            click.echo(json.dumps({"map": name, "event": plain(event)}))
        else:
            click.echo(f"{name}: {brief(event)}")

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
def _progress(sources: list[PacketsLink]) -> Iterator[Any]:
    """Show how far the captures are read, on a terminal; yield what refreshes it."""
    shown = [source for source in sources if source.progress is not None]
    terminal = console(stderr=True)
    if not shown or not terminal.is_terminal:
        yield lambda: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=terminal, transient=True) as bar:
        tasks = [(bar.add_task("packets", total=1.0), source) for source in shown]

        def advance() -> None:
            for task, source in tasks:
                bar.update(task, completed=source.progress, description=f"{source.processed} packets")

        yield advance
