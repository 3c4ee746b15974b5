"""Maps that hold other objects: `BPF_MAP_TYPE_PROG_ARRAY`, `ARRAY_OF_MAPS`, `HASH_OF_MAPS` and their like.

User space writes file descriptors into them and reads ids back; the map keeps what it holds alive.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ebpf.abi.types import Cmd, MapType
from ebpf.errors import KeyNotFoundError, MapIndexError
from ebpf.objects.codec import ElementCodec, IndexCodec
from ebpf.objects.map import Map

if TYPE_CHECKING:
    from ebpf.objects.program import Program

_ARRAYS = (MapType.PROG_ARRAY, MapType.ARRAY_OF_MAPS)


class _References(Map):
    """What maps of objects share: keys are indices or hash keys, look-ups give ids."""

    def _store_fd(self, key: Any, fd: int) -> None:
        self.io.update(self._key_codec.encode(key), fd.to_bytes(4, sys.byteorder))

    def ids(self) -> dict[Any, int]:
        """Return {key: id of the object there}; empty slots are left out."""
        return {self._key_codec.decode(key): int.from_bytes(value, sys.byteorder) for key, value in self._filled()}

    def _filled(self) -> Iterator[tuple[bytes, bytes]]:
        """Walk key by key: the kernel has no batch form for these maps, and empty slots answer with ENOENT."""
        key = self.io.next_key(None)
        for _ in range(self.max_entries):
            if key is None:
                return
            with contextlib.suppress(KeyNotFoundError):  # an empty slot, or deleted meanwhile
                yield key, self.io.lookup(key)
            key = self.io.next_key(key)

    def __len__(self) -> int:
        """Count the slots in use, O(n)."""
        return sum(1 for _ in self._filled())

    def __iter__(self) -> Iterator[Any]:
        return (self._key_codec.decode(key) for key, _ in self._filled())

    def __contains__(self, key: object) -> bool:
        try:
            self.io.lookup(self._key_codec.encode(key))
        except KeyNotFoundError:
            return False
        return True

    def __delitem__(self, key: Any) -> None:
        self.delete(key)

    def _make_key_codec(self) -> ElementCodec:
        if self.type in _ARRAYS:
            return IndexCodec(f"index of map {self.name}", self.max_entries)
        return super()._make_key_codec()

    def _check(self, key: Any) -> None:
        if self.type in _ARRAYS and isinstance(key, int) and not 0 <= key < self.max_entries:
            raise MapIndexError(f"index {key} is outside map {self.name} of {self.max_entries} slots")


class ProgramArray(_References):
    """Programs for tail calls (`BPF_MAP_TYPE_PROG_ARRAY`): assign programs, read ids.

    The kernel empties the array when no one in user space holds it open or pinned.
    """

    def __setitem__(self, index: int, program: Program) -> None:
        """Put a program into a slot; the map keeps it loaded."""
        self._check(index)
        with program.handle.borrow() as fd:
            self._store_fd(index, fd)

    def __getitem__(self, index: int) -> int:
        """Return the id of the program in a slot; KeyNotFoundError where it is empty."""
        self._check(index)
        return int.from_bytes(self.io.lookup(self._key_codec.encode(index)), sys.byteorder)


class MapOfMaps(_References):
    """Maps by index or key (`BPF_MAP_TYPE_ARRAY_OF_MAPS`, `HASH_OF_MAPS`): assign maps, read them back."""

    def __setitem__(self, key: Any, inner: Map) -> None:
        """Put a map in; it must be like the template that this map was created with."""
        self._check(key)
        with inner.handle.borrow() as fd:
            self._store_fd(key, fd)

    def __getitem__(self, key: Any) -> Map:
        """Open the inner map anew; the result is the caller's to close. KeyNotFoundError where there is none."""
        self._check(key)
        number = int.from_bytes(self.io.lookup(self._key_codec.encode(key)), sys.byteorder)
        from ebpf.objects.open import open_by_id, open_map

        return open_map(self.runtime, open_by_id(self.runtime, Cmd.MAP_GET_FD_BY_ID, number))
