"""A live map: what every type of map has in common (kernel/bpf/syscall.c, `BPF_MAP_*` commands)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from ebpf.abi.linux import BPF_MAP_FREEZE, BPF_MAP_GET_FD_BY_ID, BPF_MAP_GET_NEXT_ID
from ebpf.abi.types import MapFlag, UpdateFlag
from ebpf.errors import KeyNotFoundError, MissingPrivilegeError, NotSupportedError
from ebpf.lean import Lock, WeakSet
from ebpf.objects.codec import ElementCodec
from ebpf.objects.collection import Sources
from ebpf.objects.held import Held
from ebpf.runtime import attrs, select
from ebpf.runtime.facts import MapFacts

if TYPE_CHECKING:
    from ebpf.btf import Btf
    from ebpf.objects.reader import Reader
    from ebpf.runtime.base import MapIO, MappedMemory, Runtime
    from ebpf.runtime.handle import Handle
    from ebpf.runtime.info import MapInfo
    from ebpf.spec import MapSpec


class Map(Held):
    """A map that this object holds open; close it or use it as a context manager.

    Threads may share it, and close it while another thread's call is in flight: that call finishes, later ones raise
    ClosedError. Sizes are bytes, `max_entries` counts elements. Keys and values are decoded through BTF where the
    map has types, else they are bytes; `raw=True` gives bytes always. Values are copies: changing one does not
    change the map. == and hash() are identity.
    """

    _KIND = "map"
    _NEXT = BPF_MAP_GET_NEXT_ID
    _BY_ID = BPF_MAP_GET_FD_BY_ID

    def __init__(
        self,
        runtime: Runtime,
        handle: Handle,
        spec: MapSpec,
        *,
        types: Btf | None = None,
        sources: Sources | None = None,
    ) -> None:
        """Wrap an open handle, which this object owns from now on; `spec` says what the map is, after all fix-ups."""
        self.name = spec.name
        self.type = spec.type
        self.key_size = spec.key_size
        self.value_size = spec.value_size
        self.max_entries = spec.max_entries
        self.flags = spec.flags
        self.map_extra = spec.map_extra
        self.key = spec.key
        self.value = spec.value
        self.tags = tuple(spec.tags)
        super().__init__(runtime, handle)
        self.types = types
        self.facts = MapFacts(handle, self.type, self.key_size, self.value_size, self.max_entries, self.flags)
        self.sources = sources or Sources()
        self._io: MapIO | None = None
        self._lock = Lock()
        self._memory: MappedMemory | None = None
        self._readers: WeakSet[Reader] = WeakSet()
        self._key_codec = self._make_key_codec()
        self._value_codec = self._make_value_codec()

    @classmethod
    def create(cls, spec: MapSpec, *, runtime: Runtime | str = "auto") -> Map:
        """Create a map and fill it with the spec's contents (bytes only); the result's class depends on the type.

        Raises LoadError, MissingPrivilegeError, NotSupportedError.
        """
        from ebpf.objects.create import create_map

        return create_map(spec, runtime=select(runtime))

    @staticmethod
    def _wrap(runtime: Runtime, handle: Handle) -> Map:
        from ebpf.objects.open import open_map

        return open_map(runtime, handle)

    # What the map is

    @property
    def key_type(self) -> type[Any]:
        """The Python class of keys; call it to build a struct key. `bytes` without BTF."""
        return self._key_codec.python_type

    @property
    def value_type(self) -> type[Any]:
        """The Python class of values (of one CPU's value); call it to build a struct value. `bytes` without BTF."""
        return self._value_codec.python_type

    @property
    def io(self) -> MapIO:
        """Element access over raw bytes."""
        if self._io is None:
            self._io = self.runtime.map_io(self.facts)
        return self._io

    def info(self) -> MapInfo:
        """Ask the kernel about the map (`struct bpf_map_info`, Linux 4.13)."""
        from ebpf.runtime.info import map_info

        return map_info(self.runtime, self._handle)

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        shape = f"{self.key_size}:{self.value_size}×{self.max_entries}"
        return f"<{type(self).__name__} {self.name!r} {self.type.label} {shape}{state}>"

    def __bool__(self) -> bool:
        """True if the map has a key (one get_next_key)."""
        return self.io.next_key(None) is not None

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    # Elements

    def lookup(self, key: Any, *, flags: int = UpdateFlag.ANY, raw: bool = False) -> Any:
        """Return a copy of one value; KeyNotFoundError without it."""
        return self._value_codec.decode(self.io.lookup(self._key_codec.encode(key), flags=flags), raw=raw)

    def store(self, key: Any, value: Any, *, flags: int = UpdateFlag.ANY) -> None:
        """Write one value. `UpdateFlag.NOEXIST` raises KeyExistsError, `EXIST` KeyNotFoundError; full: MapFullError."""
        self.io.update(self._key_codec.encode(key), self._value_codec.encode(value), flags=flags)

    def delete(self, key: Any) -> None:
        """Delete one element; KeyNotFoundError without it."""
        self.io.delete(self._key_codec.encode(key))

    def lookup_many(self, keys: Iterable[Any], *, raw: bool = False) -> list[Any]:
        """Return the values of many keys in their order, None for a missing one."""
        encode, decode = self._key_codec.encode, self._value_codec.decode
        found = self.io.lookup_many([encode(key) for key in keys])
        return [None if data is None else decode(data, raw=raw) for data in found]

    def update_many(self, items: Iterable[tuple[Any, Any]], *, flags: int = UpdateFlag.ANY) -> int:
        """Write many elements in batches; return how many. On an error those before it are written."""
        key, value = self._key_codec.encode, self._value_codec.encode
        return self.io.update_many([(key(k), value(v)) for k, v in items], flags=flags)

    def delete_many(self, keys: Iterable[Any]) -> int:
        """Delete many elements in batches, missing ones are passed over; return how many were there."""
        encode = self._key_codec.encode
        return self.io.delete_many([encode(key) for key in keys])

    def _elements(self) -> Iterator[tuple[bytes, bytes]]:
        """Walk the map in batches; at most max_entries elements, so it ends even while the kernel adds more."""
        chunks = self.io.batches()
        return islice((pair for chunk in chunks for pair in chunk), self.max_entries)

    # Memory, freezing, closing

    def memory(self) -> memoryview:
        """Map the values into this process (arrays with MMAPABLE, Linux 5.5): value i begins at i × round_up(size, 8).

        The view writes through to the map; of a frozen map it is read-only. It stays valid after close(): the
        mapping goes when the last view is gone. Raises NotSupportedError for maps that can't be mapped.
        """
        if not self.flags & MapFlag.MMAPABLE:
            raise NotSupportedError(
                f"mapping map {self.name} into memory",
                runtime=self.runtime.name,
                alternative="give its spec the MMAPABLE flag (arrays only)",
            )
        with self._lock:
            if self._memory is None:
                self._memory = self._map_memory()
            return self._memory.view()

    def _map_memory(self) -> MappedMemory:
        size = -(-self.value_size // 8) * 8 * self.max_entries
        try:
            return self.runtime.map_memory(self.facts, size=size, writable=True)
        except MissingPrivilegeError:
            # Frozen (EPERM) or read-only for user space (EACCES): it may still be looked at.
            return self.runtime.map_memory(self.facts, size=size, writable=False)

    def freeze(self) -> None:
        """Make the map read-only for user space, for ever (Linux 5.2)."""
        with self._handle.borrow() as fd:
            self.runtime.bpf(BPF_MAP_FREEZE, attrs.MapElem(map_fd=fd))

    def close(self) -> None:
        """Close the map's handle and its readers; may be called again, from any thread."""
        for reader in self._readers:
            reader.close()
        with self._lock:
            memory, self._memory = self._memory, None
        if memory is not None:
            memory.close()
        self._handle.close()

    # What subclasses change

    def _make_key_codec(self) -> ElementCodec:
        return ElementCodec(f"key of map {self.name}", self.key_size, self.key)

    def _make_value_codec(self) -> ElementCodec:
        return ElementCodec(f"value of map {self.name}", self.value_size, self.value)


def find(map_: Map, key: Any, default: Any, *, raw: bool = False) -> Any:
    """Look up one value, `default` without it."""
    with contextlib.suppress(KeyNotFoundError):
        return map_.lookup(key, raw=raw)
    return default


def count(chunks: Iterable[Sequence[object]], limit: int) -> int:
    """Count the elements of a batch walk, at most `limit`."""
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total >= limit:
            return limit
    return total
