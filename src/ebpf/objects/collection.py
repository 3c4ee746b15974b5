"""A loaded object: its maps, programs and variables, and the packet sources that feed it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from ebpf.lean import Lock, WeakSet, in_forked_children

if TYPE_CHECKING:
    from types import TracebackType

    from ebpf.codegen.signature import TrustedKey
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

    @staticmethod
    def load_native(
        path: str | os.PathLike[str],
        *,
        trusted_keys: Iterable[TrustedKey] = (),
        allow_unsigned: bool = False,
        variables: Mapping[str, Any] | None = None,
        runtime: Runtime | str = "embedded",
        pin_path: str | os.PathLike[str] | None = None,
        replace_maps: Mapping[str, Map] | None = None,
    ) -> Collection:
        """Load a native image (`ebpf gen native`): its programs run as machine code, and nothing is compiled.

        Machine code can do whatever this process can, so an image is only taken if one of `trusted_keys` signed it:
        Ed25519 public keys, each 32 bytes, the text of a PEM or OpenSSH file, or the path of one. Without keys every
        image is refused, unless `allow_unsigned` says that you know where it comes from; signatures are not looked at
        then. Nothing is mapped before that is decided, and before the code fits processor, system and version.

        `variables` sets global variables before the load; `pin_path` and `replace_maps` are as for
        `CollectionSpec.load()`, but a map must have the shape that the code was made for. `runtime` is an embedded
        one; on others NotSupportedError.

        Raises ImageError for an image that is damaged, changed, not signed by a trusted key, for another machine or
        version; what `CollectionSpec.load()` raises; OSError when the file can't be read; NotSupportedError where
        native code can't run, and for `trusted_keys` without the package cryptography.
        """
        from ebpf.objects.native import load_image, read_native, spec_of

        image = read_native(path, trusted_keys=trusted_keys, allow_unsigned=allow_unsigned)
        spec = spec_of(image, variables)
        return load_image(image, spec, runtime=runtime, pin_path=pin_path, replace_maps=replace_maps)

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


class Sources:
    """Which packet sources feed a collection: its readers end when the last one is exhausted. Threads may share it.

    A source counts in its own collection and where the maps are from that this collection was given. The child of a
    fork has none of those that run: their threads are the parent's.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: set[object] = set()
        self._started = False
        self._listeners: WeakSet[Any] = WeakSet()
        self._also: set[Sources] = set()
        _all_sources.add(self)

    @property
    def exhausted(self) -> bool:
        """True from the end of the last source until another one begins; never before the first."""
        with self._lock:
            return self._started and not self._running

    def feed_also(self, others: Sources) -> None:
        """Count the sources that begin from now on among `others` as well, whose readers see what they bring."""
        self._also.add(others)

    def begin(self) -> Callable[[], None]:
        """Count a source in; call the result when it has no more packets (further calls do nothing)."""
        source, counting = object(), (self, *self._also)
        for sources in counting:
            sources._add(source)

        def end() -> None:
            for sources in counting:
                sources._remove(source)

        return end

    def _add(self, source: object) -> None:
        with self._lock:
            self._running.add(source)
            self._started = True

    def _remove(self, source: object) -> None:
        with self._lock:
            if source not in self._running:
                return
            self._running.remove(source)
            last = not self._running
        if last:
            self.wake()

    @property
    def backlog(self) -> float:
        """How full the fullest ring is that somebody reads, 0 to 1; 0 without readers."""
        return max((listener.backlog for listener in self._listening()), default=0.0)

    def listen(self, listener: Any) -> None:
        """Wake a reader when the last source ends, and heed its backlog; it is not kept alive."""
        with self._lock:
            self._listeners.add(listener)

    def wake(self) -> None:
        """Make readers that wait look again."""
        for listener in self._listening():
            listener.wake()

    def _listening(self) -> list[Any]:
        found: list[Any] = []
        for sources in (self, *self._also):
            with sources._lock:
                found += sources._listeners
        return found

    def _forget_running(self) -> None:
        """Be without those that run, in the child of a fork, as if they had not begun there; an end stays an end."""
        self._lock = Lock()
        self._started = self._started and not self._running
        self._running.clear()


_all_sources = in_forked_children(Sources._forget_running)
