"""Input and output of map elements over bpf() alone: right on every runtime, and what faster ones are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from ebpf.abi.linux import EINVAL, ENOSPC, ENOSYS, ENOTSUPP, EOPNOTSUPP
from ebpf.abi.types import Cmd, MapType
from ebpf.errors import KeyNotFoundError, SystemCallError
from ebpf.runtime.attrs import MapBatch, MapElem
from ebpf.runtime.runs import BpfRunner

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.runtime.base import Runtime
    from ebpf.runtime.facts import MapFacts

_T = TypeVar("_T")

__all__ = ["BATCH_BYTES", "PER_CPU", "BpfMapIO", "BpfRunner", "io_value_size"]

PER_CPU = frozenset(
    {
        MapType.PERCPU_HASH,
        MapType.PERCPU_ARRAY,
        MapType.LRU_PERCPU_HASH,
        MapType.PERCPU_CGROUP_STORAGE,
        MapType.WINDOWS_PERCPU_HASH,
        MapType.WINDOWS_PERCPU_ARRAY,
        MapType.WINDOWS_LRU_PERCPU_HASH,
    }
)
"""Types whose values are one per CPU."""

BATCH_BYTES = 1 << 18
"""How much one batch carries at most, keys and values together."""

# No batches: the command is unknown (EINVAL before Linux 5.6, ENOSYS elsewhere) or the map type has none.
_NO_BATCH = frozenset({EINVAL, ENOSYS, ENOTSUPP, EOPNOTSUPP})


def io_value_size(map_: MapFacts, cpus: int) -> int:
    """Return how many bytes an element's value takes in a call: per-CPU values are rounded up to 8, times `cpus`."""
    return (map_.value_size + 7) // 8 * 8 * cpus if map_.type in PER_CPU else map_.value_size


class BpfMapIO:
    """Element access of one map. Keys and values are raw bytes of exactly the map's sizes. Threads may share it.

    The map's handle stays its owner's; once that is closed, calls raise ClosedError.
    """

    def __init__(self, runtime: Runtime, map_: MapFacts) -> None:
        self._runtime = runtime
        self._map = map_
        self._value_size = io_value_size(map_, runtime.cpus)

    def lookup(self, key: Buffer, *, flags: int = 0) -> bytes:
        """Return the value of `key`. Raises KeyNotFoundError."""
        return self._fetch(Cmd.MAP_LOOKUP_ELEM, key, flags)

    def lookup_and_delete(self, key: Buffer, *, flags: int = 0) -> bytes:
        """Remove `key` and return its value, in one step; queues and stacks take an empty key."""
        return self._fetch(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, key, flags)

    def update(self, key: Buffer, value: Buffer, *, flags: int = 0) -> None:
        """Set the value of `key`; `flags` are UpdateFlag. Raises KeyExistsError, KeyNotFoundError, MapFullError."""
        key, value = self._key(key), self._sized("value", value, self._value_size)
        with self._map.handle.borrow() as fd:
            self._runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=key, value=value, flags=flags))

    def delete(self, key: Buffer) -> None:
        """Remove `key`. Raises KeyNotFoundError."""
        key = self._key(key)
        with self._map.handle.borrow() as fd:
            self._runtime.bpf(Cmd.MAP_DELETE_ELEM, MapElem(map_fd=fd, key=key))

    def next_key(self, key: Buffer | None) -> bytes | None:
        """Return the key after `key` (None: the first one), or None at the end. A key that is gone gives the first."""
        key = None if key is None else self._key(key)
        out = bytearray(self._map.key_size)
        try:
            with self._map.handle.borrow() as fd:
                self._runtime.bpf(Cmd.MAP_GET_NEXT_KEY, MapElem(map_fd=fd, key=key, next_key=out))
        except KeyNotFoundError:
            return None
        return bytes(out)

    def lookup_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of `keys`, None where there is none. Not atomic."""
        found: list[bytes | None] = []
        for key in keys:
            try:
                found.append(self.lookup(key))
            except KeyNotFoundError:
                found.append(None)
        return found

    def update_many(self, items: Sequence[tuple[bytes, bytes]], *, flags: int = 0) -> int:
        """Set many elements in as few calls as possible; return how many. Not atomic.

        Where one is refused its error is raised; its attribute `completed` says how many came before it.
        """
        keys = [bytes(self._key(key)) for key, _ in items]
        values = [bytes(self._sized("value", value, self._value_size)) for _, value in items]
        done = 0
        try:
            while done < len(items):
                done += self._update_batch(keys[done : done + self._step], values[done : done + self._step], flags)
        except SystemCallError as error:
            done += vars(error).get("completed", 0)
            if error.errno not in _NO_BATCH or done:
                error.completed = done  # type: ignore[attr-defined]  # a fact of this call alone
                raise
            return self._one_by_one(list(zip(keys, values, strict=True)), lambda item: self._set(item, flags))
        return done

    def delete_many(self, keys: Sequence[bytes]) -> int:
        """Remove many keys, skipping those that are not there; return how many were there. Not atomic."""
        keys = [bytes(self._key(key)) for key in keys]
        position = removed = 0
        while position < len(keys):
            part = keys[position : position + self._step]
            attr = MapBatch(keys=b"".join(part), count=len(part))
            try:
                self._batch(Cmd.MAP_DELETE_BATCH, attr)
            except KeyNotFoundError:
                position += 1
            except SystemCallError as error:
                if error.errno not in _NO_BATCH:
                    raise
                return removed + self._one_by_one(keys[position:], self._discard)
            position += attr.count
            removed += attr.count
        return removed

    def batches(self, *, delete: bool = False) -> Iterator[list[tuple[bytes, bytes]]]:
        """Yield all elements in lists; with `delete` each is removed as it is read.

        While the map changes, elements may be missed or come twice, but it ends: after max_entries elements at the
        latest, unless they are removed.
        """
        cmd = Cmd.MAP_LOOKUP_AND_DELETE_BATCH if delete else Cmd.MAP_LOOKUP_BATCH
        position: bytearray | None = None
        seen, step = 0, self._step
        while seen < self._map.max_entries or delete:
            attr = self._batch_room(step, position)
            last = False
            try:
                self._batch(cmd, attr)
            except KeyNotFoundError:
                last = True
            except SystemCallError as error:
                if error.errno in _NO_BATCH and position is None:
                    yield from self._walk(delete=delete)
                    return
                if error.errno != ENOSPC or step >= max(self._map.max_entries, self._step):
                    raise
                # A hash bucket did not fit; it is read whole or not at all.
                step *= 2
                continue
            found = self._split(attr)
            seen += len(found)
            if found:
                yield found
            if last:
                return
            position = bytearray(attr.out_batch or b"")

    @property
    def _step(self) -> int:
        """How many elements a batch carries."""
        fitting = BATCH_BYTES // max(self._map.key_size + self._value_size, 1)
        return max(1, min(fitting, self._map.max_entries))

    def _batch_room(self, count: int, position: bytearray | None) -> MapBatch:
        return MapBatch(
            in_batch=position,
            out_batch=bytearray(max(self._map.key_size, 4)),
            keys=bytearray(count * self._map.key_size),
            values=bytearray(count * self._value_size),
            count=count,
        )

    def _batch(self, cmd: int, attr: MapBatch) -> None:
        with self._map.handle.borrow() as fd:
            attr.map_fd = fd
            self._runtime.bpf(cmd, attr)

    def _split(self, attr: MapBatch) -> list[tuple[bytes, bytes]]:
        key_size, value_size = self._map.key_size, self._value_size
        keys, values = bytes(attr.keys or b""), bytes(attr.values or b"")
        return [
            (keys[i * key_size : (i + 1) * key_size], values[i * value_size : (i + 1) * value_size])
            for i in range(attr.count)
        ]

    def _update_batch(self, keys: list[bytes], values: list[bytes], flags: int) -> int:
        attr = MapBatch(keys=b"".join(keys), values=b"".join(values), count=len(keys), elem_flags=flags)
        try:
            self._batch(Cmd.MAP_UPDATE_BATCH, attr)
        except SystemCallError as error:
            # A command that is not there leaves the count as it was.
            error.completed = 0 if attr.count == len(keys) else attr.count  # type: ignore[attr-defined]  # see update_many
            raise
        return attr.count

    def _walk(self, *, delete: bool) -> Iterator[list[tuple[bytes, bytes]]]:
        """Read element by element, at most max_entries of them."""
        key = self.next_key(None)
        for _ in range(self._map.max_entries):
            if key is None:
                return
            # The successor is asked for first: a removed key has none.
            following = self.next_key(key)
            try:
                value = self._take(key) if delete else self.lookup(key)
            except KeyNotFoundError:
                pass
            else:
                yield [(key, value)]
            key = following

    def _take(self, key: bytes) -> bytes:
        try:
            return self.lookup_and_delete(key)
        except SystemCallError as error:
            # Hashes learnt it in Linux 5.14.
            if error.errno not in _NO_BATCH:
                raise
        value = self.lookup(key)
        self.delete(key)
        return value

    def _set(self, item: tuple[bytes, bytes], flags: int) -> bool:
        self.update(*item, flags=flags)
        return True

    def _discard(self, key: bytes) -> bool:
        try:
            self.delete(key)
        except KeyNotFoundError:
            return False
        return True

    def _one_by_one(self, items: Sequence[_T], act: Callable[[_T], bool]) -> int:
        done = 0
        for item in items:
            try:
                done += act(item)
            except SystemCallError as error:
                error.completed = done  # type: ignore[attr-defined]  # see update_many
                raise
        return done

    def _fetch(self, cmd: int, key: Buffer, flags: int) -> bytes:
        key, out = self._key(key), bytearray(self._value_size)
        with self._map.handle.borrow() as fd:
            self._runtime.bpf(cmd, MapElem(map_fd=fd, key=key, value=out, flags=flags))
        return bytes(out)

    def _key(self, key: Buffer) -> Buffer:
        return self._sized("key", key, self._map.key_size)

    def _sized(self, what: str, data: Buffer, size: int) -> Buffer:
        length = memoryview(data).nbytes
        if length != size:
            raise ValueError(f"{what} takes {size} bytes, got {length}")
        return data
