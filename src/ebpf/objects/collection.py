"""A loaded object: its maps, programs and variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from ebpf.objects.sources import Sources

if TYPE_CHECKING:
    from types import TracebackType

    from ebpf.link import Links
    from ebpf.objects.map import Map
    from ebpf.objects.program import Program
    from ebpf.objects.variable import Variable
    from ebpf.runtime.base import Runtime
    from ebpf.spec import CollectionSpec


class Collection:
    """What `CollectionSpec.load()` made; close it or use it as a context manager.

    `maps`, `programs` and `variables` are read-only mappings by name, `runtime` is where it runs and
    `runtime.reason` why. Threads may share it. Closing releases everything that the collection owns (the newest
    first), not links made from it, nor maps that the caller gave by `replace_maps`.
    """

    def __init__(
        self,
        spec: CollectionSpec,
        runtime: Runtime,
        *,
        maps: dict[str, Map],
        programs: dict[str, Program],
        variables: dict[str, Variable],
        sources: Sources,
        owned: ExitStack,
    ) -> None:
        """Take over live objects; `owned` closes them."""
        self.spec = spec
        self.runtime = runtime
        self.maps: Mapping[str, Map] = MappingProxyType(maps)
        self.programs: Mapping[str, Program] = MappingProxyType(programs)
        self.variables: Mapping[str, Variable] = MappingProxyType(variables)
        self.sources = sources
        self._owned = owned
        self._closed = False

    def attach(self, *, targets: Mapping[str, Any] | None = None) -> Links:
        """Attach every program to what its section names; close the result (a context manager) to detach.

        `targets` gives what a section can't: {program name: interface, cgroup path, socket, packets …}. Raises
        ValueError naming the program and what it needs; nothing stays attached then.
        """
        from ebpf.link import attach_collection

        return attach_collection(self, targets=targets or {})

    def pin(self, directory: str | os.PathLike[str]) -> None:
        """Pin every map and program as `directory/NAME`; on an error none of them stays pinned."""
        base = os.fspath(directory)
        self.runtime.pins.make_directory(base)
        with ExitStack() as undo:
            things: dict[str, Map | Program] = {**self.maps, **self.programs}
            for name, thing in things.items():
                path = os.path.join(base, name)
                thing.pin(path)
                undo.callback(self.runtime.pins.remove, path)
            undo.pop_all()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    def close(self) -> None:
        """Close programs and maps, the newest first; may be called again."""
        self._closed = True
        self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = " closed" if self._closed else ""
        return f"<Collection of {len(self.programs)} programs, {len(self.maps)} maps on {self.runtime.name}{state}>"
