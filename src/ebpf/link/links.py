"""Several links that begin and end together."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self, overload

from ebpf.link.packets import PacketsLink

if TYPE_CHECKING:
    from types import TracebackType

    from ebpf.link.link import Link


class Links(Sequence["Link"]):
    """Links in the order of their making; `with` starts them, and closes them at the end, the newest first.

    Threads may share it.
    """

    def __init__(self, links: Iterable[Link]) -> None:
        """Take the links over."""
        self._links = tuple(links)

    def start(self) -> None:
        """Begin; packet sources run on threads of their own from here on.

        Readers don't end before the last source is exhausted, even if the first is before another one starts.
        """
        with ExitStack() as until_all_run:
            for link in self._links:
                if isinstance(link, PacketsLink) and not link.closed:
                    until_all_run.callback(link.sources.begin())
            for link in self._links:
                link.start()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until every packet source is exhausted; returns at once when there is none.

        Raises DeadlineExceeded after `timeout` seconds, and what ended a source early (ProgramFault, OSError …).
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        for link in self._links:
            link.wait(None if deadline is None else max(deadline - time.monotonic(), 0))

    @property
    def verdicts(self) -> dict[str, Counter[str]]:
        """How often each program gave each verdict ({program: {"PASS": 3}}), for links fed by packets."""
        counts: dict[str, Counter[str]] = {}
        for link in self._links:
            if isinstance(link, PacketsLink) and link.program is not None:
                counts.setdefault(link.program.name, Counter()).update(link.verdicts)
        return counts

    def detach(self) -> None:
        """Detach every link, the newest first."""
        with ExitStack() as stack:
            for link in self._links:
                stack.callback(link.detach)

    def close(self) -> None:
        """Close every link, the newest first; may be called again."""
        with ExitStack() as stack:
            for link in self._links:
                stack.callback(link.close)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @overload
    def __getitem__(self, index: int) -> Link: ...
    @overload
    def __getitem__(self, index: slice) -> Links: ...
    def __getitem__(self, index: int | slice) -> Link | Links:
        return Links(self._links[index]) if isinstance(index, slice) else self._links[index]

    def __len__(self) -> int:
        return len(self._links)

    def __iter__(self) -> Iterator[Link]:
        return iter(self._links)

    def __repr__(self) -> str:
        return f"<Links {list(self._links)!r}>"
