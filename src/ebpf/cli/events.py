"""The records of a collection's rings, as one stream."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ebpf.abi.types import MapType

if TYPE_CHECKING:
    from types import TracebackType

    from ebpf.objects import Collection, Reader

RINGS = (MapType.RINGBUF, MapType.PERF_EVENT_ARRAY)
_AHEAD = 1024
"""Records that may wait here: beyond that the ring itself fills, and a lossless source waits."""
_TICK = 0.1
"""Seconds between looks at whether the stream is over."""
_PATIENCE = 5.0
"""Seconds that the last records may take; a ring that someone else fills never runs dry."""


class EventStream:
    """Reads each ring on a thread of its own; `poll()` hands the records over, oldest first within a ring.

    `types` names the record type of a map where the object does not say it ({map: type in its BTF}).
    """

    def __init__(self, collection: Collection, *, types: Mapping[str, str] | None = None) -> None:
        """Open the rings; they must be open before the programs run, so that nothing is lost."""
        self._records: queue.Queue[tuple[str, Any]] = queue.Queue(_AHEAD)
        self._readers: dict[str, Reader] = {}
        self._failure: BaseException | None = None
        self._stopping = False
        for name, map_ in collection.maps.items():
            if map_.type in RINGS:
                self._readers[name] = map_.reader(type=(types or {}).get(name))  # type: ignore[attr-defined]  # rings have it
        self._threads = [
            threading.Thread(target=self._follow, args=item, name=f"events of {item[0]}", daemon=True)
            for item in self._readers.items()
        ]
        for thread in self._threads:
            thread.start()

    def _follow(self, name: str, reader: Reader) -> None:
        try:
            for record in reader:
                while not self._stopping:
                    try:
                        self._records.put((name, record), timeout=_TICK)
                        break
                    except queue.Full:
                        continue
        except (ValueError, OSError) as error:  # a record that is shorter than its type; a ring that can't be read
            self._failure = error

    @property
    def lost(self) -> int:
        """Records that the kernel had no room for, as far as it says so."""
        return sum(reader.lost for reader in self._readers.values())

    def poll(self, timeout: float) -> tuple[str, Any] | None:
        """Return the next (map, record), None if none comes within `timeout` seconds."""
        try:
            return self._records.get(timeout=timeout)
        except queue.Empty:
            if self._failure is not None:
                raise self._failure from None
            return None

    @property
    def over(self) -> bool:
        """Whether every record was handed over and no other will come."""
        return not any(thread.is_alive() for thread in self._threads) and self._records.empty()

    def drain(self) -> Iterator[tuple[str, Any]]:
        """Yield what is already in the rings, now that nothing fills them any more, and stop reading."""
        deadline = time.monotonic() + _PATIENCE
        while not self.over and time.monotonic() < deadline and (found := self.poll(_TICK)) is not None:
            yield found
        self._stop()
        while not self._records.empty():
            yield self._records.get()

    def _stop(self) -> None:
        self._stopping = True
        for reader in self._readers.values():
            reader.close()
        for thread in self._threads:
            thread.join()

    def __bool__(self) -> bool:
        """Whether there is any ring to read."""
        return bool(self._readers)

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()
