"""Rings from programs to user space: `BPF_MAP_TYPE_RINGBUF` and `PERF_EVENT_ARRAY`."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ebpf.btf import Struct, strip
from ebpf.errors import SystemCallError
from ebpf.objects.channel import Channel
from ebpf.objects.map import Map
from ebpf.objects.reader import Reader
from ebpf.objects.records import PerfCursor, RingCursor

if TYPE_CHECKING:
    from ebpf.btf import Type
    from ebpf.runtime.base import RingMemory

_RECORD_TAG = "record:"
_OFFLINE = (errno.ENODEV, errno.ENXIO)


class _Ring(Map):
    """What both kinds of ring share."""

    def __bool__(self) -> bool:
        """Always True: a ring has no keys."""
        return True

    def _read(self, rings: list[RingMemory], cursor: type[RingCursor] | type[PerfCursor], type_: Type | None) -> Reader:
        try:
            reader = Reader([Channel(cursor(ring), self, type_) for ring in rings])
        except BaseException:
            for ring in rings:
                ring.close()
            raise
        self._readers.add(reader)
        return reader

    def _record_type(self, type_: Type | str | None, *, raw: bool) -> Type | None:
        """Choose how records are decoded: what the caller says, a `record:NAME` tag of the map, the value type."""
        if raw:
            return None
        wanted = type_ or next((tag[len(_RECORD_TAG) :] for tag in self.tags if tag.startswith(_RECORD_TAG)), None)
        if not isinstance(wanted, str):
            return wanted if wanted is not None else self._value_record()
        name, types = wanted.removeprefix("struct "), self.types
        found = (types.find(name, Struct) or types.find(name)) if types is not None else None
        if found is None:
            raise LookupError(f"no type {wanted} in the BTF of map {self.name}; give a btf type or raw=True")
        return found

    def _value_record(self) -> Type | None:
        """Return the value type if it describes records."""
        return self.value


class RingBuffer(_Ring):
    """A ring buffer shared by all CPUs (`BPF_MAP_TYPE_RINGBUF`, Linux 5.8); `max_entries` is its size in bytes."""

    def reader(self, *, type: Type | str | None = None, raw: bool = False) -> Reader:
        """Read the records that programs write; one reader at a time sees all of them.

        `type` is a BTF type or the name of one in the object; without it a `record:NAME` declaration tag of the map
        or its value type says what records are, else they are bytes.
        """
        chosen = self._record_type(type, raw=raw)
        return self._read([self.runtime.open_ring(self.facts)], RingCursor, chosen)


class PerfEventArray(_Ring):
    """A ring for each CPU (`BPF_MAP_TYPE_PERF_EVENT_ARRAY`, Linux 4.3)."""

    def _value_record(self) -> Type | None:
        # Most objects give u32 here, the type of the descriptors in the slots.
        return self.value if self.value is not None and isinstance(strip(self.value), Struct) else None

    def reader(
        self,
        *,
        type: Type | str | None = None,
        raw: bool = False,
        size: int | None = None,
    ) -> Reader:
        """Read the records that programs write, from every CPU that is online; `size` is the bytes of each ring.

        Records of one CPU come in order, those of several CPUs in turn. Raw records have up to 7 bytes after what
        the program wrote. `type` is as for RingBuffer.reader().
        """
        chosen = self._record_type(type, raw=raw)
        rings: list[RingMemory] = []
        with ExitStack() as undo:
            for cpu in range(min(self.runtime.cpus, self.max_entries)):
                try:
                    ring = self.runtime.open_ring(self.facts, cpu=cpu, size=size)
                except SystemCallError as error:
                    if error.linux_errno not in _OFFLINE:
                        raise
                    continue
                undo.callback(ring.close)
                rings.append(ring)
            undo.pop_all()
        return self._read(rings, PerfCursor, chosen)
