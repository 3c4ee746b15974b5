"""Hash tables in native storage (support/map_hash.c): what HashMap does, with elements that native code finds.

Results are those of the same class in Python storage, but for one thing. An element that was deleted or replaced is not
used again while a run lasts that began before; there is spare memory for many of them. Where it is used up, new values
are written over the old ones; a new element waits for a second until older runs have ended, and then is refused with
ENOMEM. A run is refused at once what only its own end could give it.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from ebpf.codegen.image import address_of
from ebpf.vm.maps.base import MapShape, round_up
from ebpf.vm.maps.hash import HashMap
from ebpf.vm.maps.lru import LruHashMap, LruPercpuHashMap
from ebpf.vm.maps.percpu import PercpuHashMap
from ebpf.vm.maps.storage import (
    ACCOUNTED,
    ALL_CPUS,
    BUCKET_MASK,
    BUCKETS,
    BUSY,
    CAPACITY,
    COUNT,
    DEFERRED,
    FREE_SLOTS,
    NODE_STRIDE,
    NODES,
    NONE,
    PART_COUNTS,
    PARTS,
    SLOTS,
    USES,
    NativeStorage,
    functions,
    patiently,
    pay,
    shift_of,
    zeroed,
)

_SPARE = 60_000
"""Elements beyond max_entries that wait for runs to end, where they are small. They take no memory before they do."""
_SPARE_BYTES = 1 << 24
_LEAST_SPARE = 64
_MOST_BYTES = 1 << 30
"""Tables that would take more, mostly for nothing, are not made: the map stays in Python storage."""
_NODE = 8
_DEFERRED = 16
_USES = 16
_INDEX = 4
_CHUNK = 4096
"""How many elements are copied while the lock is held."""


class NativeHash(HashMap):
    """The element calls of all kinds of hash tables."""

    native: NativeStorage

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self._functions = functions()
        self._copies = cpus if self.per_cpu else 1
        capacity = self.max_entries + spare_elements(shape, self._copies)
        stride, numbers = round_up(shape.value_size, 8), (capacity + 1) * self._copies
        self._value = ctypes.c_char * (stride * self._copies if self.per_cpu else shape.value_size)
        self._key = ctypes.c_char * shape.key_size
        self.native = storage = NativeStorage(self, zeroed(stride * numbers), stride=stride, numbers=numbers)
        self._nodes = round_up(_NODE + shape.key_size, 8)
        buckets = 1 << (self.max_entries - 1).bit_length()
        storage.words[NODE_STRIDE], storage.words[BUCKET_MASK] = self._nodes, buckets - 1
        storage.words[CAPACITY], storage.words[ACCOUNTED] = capacity, not self.preallocated
        storage.add_tables(
            {
                NODES: self._nodes * (capacity + 1),
                BUCKETS: _INDEX * buckets,
                DEFERRED: _DEFERRED * (capacity + 1),
                SLOTS: _INDEX * self.max_entries,
                FREE_SLOTS: _INDEX * self.max_entries,
            }
        )

    @classmethod
    def fits(cls, shape: MapShape, *, cpus: int) -> bool:
        """Whether tables of a bearable size hold such a map, and its values have addresses."""
        copies = cpus if cls.per_cpu else 1
        elements = shape.max_entries + cpus + spare_elements(shape, copies) + 1
        stride, node = round_up(shape.value_size, 8), round_up(_NODE + shape.key_size, 8)
        size = elements * (stride * copies + node + _DEFERRED + _USES + 4 * _INDEX)
        return size <= _MOST_BYTES and stride <= 1 << shift_of(elements * copies)

    def __len__(self) -> int:
        return self.native.words[COUNT]

    # Program side.

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        return self._find(key, cpu, use=True)

    def lookup_quietly(self, key: bytes) -> memoryview | None:
        return self._find(key, 0, use=False)

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        return self._put(key, value, flags, cpu)

    def delete(self, key: bytes) -> int:
        return self._delete(key, None)

    def elements(self) -> list[tuple[bytes, Any, memoryview]]:
        return self.elements_on(0)

    def elements_on(self, cpu: int) -> list[tuple[bytes, Any, memoryview]]:
        found: list[tuple[bytes, Any, memoryview]] = []
        numbers = array("I", bytes(_INDEX * _CHUNK))
        at: int | None = 0
        while at is not None:
            count, keys, at = self._walk(at, _CHUNK, None, numbers)
            for index, element in enumerate(numbers[:count]):
                key = keys[index * self.key_size : (index + 1) * self.key_size]
                found.append((key, key, self._view(element, cpu)))
        return found

    # System call side.

    def read(self, key: bytes, flags: int = 0, value: bytes = b"") -> bytes | int:
        copied = self._value()
        error = patiently(self._functions.hash_read, self.native.pointer, self._sized(key), copied)
        return error or copied.raw

    def write(self, key: bytes, value: bytes, flags: int = 0) -> int:
        return self._put(key, value, flags, ALL_CPUS if self.per_cpu else 0)

    def take(self, key: bytes, flags: int = 0) -> bytes | int:
        copied = self._value()
        return self._delete(key, copied) or copied.raw

    def next_key(self, key: bytes | None) -> bytes | int:
        following = self._key()
        key = None if key is None else self._sized(key)
        return patiently(self._functions.hash_next, self.native.pointer, key, following) or following.raw

    def walk(self, start: int, limit: int) -> tuple[bytes, bytes, int | None]:
        keys: list[bytes] = []
        values: list[memoryview] = []
        at: int | None = start
        while at is not None and limit:
            most = min(limit, _CHUNK, len(self) + 1)
            room = (ctypes.c_char * (most * ctypes.sizeof(self._value)))()
            count, part, at = self._walk(at, most, room, None)
            keys.append(part)
            values.append(memoryview(room)[: count * ctypes.sizeof(self._value)])
            limit -= count
        return b"".join(keys), b"".join(values), at

    def settle(self) -> None:
        if not self.preallocated:
            credit = patiently(self._functions.take_credit, self.native.pointer)
            self.charge(-self.element_size * credit)

    def write_many(self, keys: memoryview, values: memoryview, count: int, flags: int = 0) -> tuple[int, int]:
        done, value = 0, self.system_value_size
        while done < count:
            parts = keys[done * self.key_size :], values[done * value :]
            more, result = self._many(self._functions.hash_update_many, parts, count - done, flags)
            done += more
            if result >= BUSY:  # one by one, with patience, or with memory that is asked for
                result = self.write(
                    parts[0][more * self.key_size :][: self.key_size].tobytes(),
                    parts[1][more * value :][:value].tobytes(),
                    flags,
                )
                done += not result
            if result:
                return done, result
        return done, 0

    def delete_many(self, keys: memoryview, count: int) -> tuple[int, int]:
        done = 0
        while done < count:
            part = keys[done * self.key_size :]
            more, result = self._many(self._functions.hash_delete_many, (part,), count - done)
            done += more
            if not self.preallocated:
                self.charge(-self.element_size * more)
            if result >= BUSY:
                result = self.delete(part[more * self.key_size :][: self.key_size].tobytes())
                done += not result
            if result:
                return done, result
        return done, 0

    def read_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return values in the form of the system call, None for those that are not there."""
        size, found = self.system_value_size, list[bytes | None]()
        while len(found) < len(keys):
            part = keys[len(found) : len(found) + _CHUNK]
            values, known = bytearray(size * len(part)), bytearray(len(part))
            views = memoryview(b"".join(part)), memoryview(values), memoryview(known)
            done, result = self._many(self._functions.hash_read_many, views[:1], len(part), *map(address_of, views[1:]))
            found += [bytes(views[1][at * size : (at + 1) * size]) if known[at] else None for at in range(done)]
            if result:
                value = self.read(part[done])
                found.append(None if isinstance(value, int) else value)
        return found

    def _many(
        self, function: Callable[..., int], parts: Sequence[memoryview], count: int, *rest: int
    ) -> tuple[int, int]:
        """Call a function on at most a chunk of elements; return how many are done, and what ended it."""
        done = array("Q", [0])
        addresses = map(address_of, parts)
        result = function(self.native.pointer, *addresses, min(count, _CHUNK), *rest, done.buffer_info()[0])
        return done[0], result

    def clear(self) -> None:
        count = patiently(self._functions.hash_clear, self.native.pointer)
        if not self.preallocated:
            self.charge(-self.element_size * count)
            self.settle()

    # Calls of native code.

    def _sized(self, key: bytes) -> bytes:
        if len(key) != self.key_size:
            raise ValueError(f"a key of {self!r} has {self.key_size} bytes, not {len(key)}")
        return key

    def _view(self, element: int, cpu: int) -> memoryview:
        return self.native.view(element * self._copies + cpu if self.per_cpu else element)

    def _find(self, key: bytes, cpu: int, *, use: bool) -> memoryview | None:
        element = patiently(self._functions.hash_find, self.native.pointer, self._sized(key), use)
        return None if element < 0 else self._view(element, cpu)

    def _put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        if len(value) < (ctypes.sizeof(self._value) if cpu == ALL_CPUS else self.value_size):
            raise ValueError(f"a value of {self!r} has {self.value_size} bytes, not {len(value)}")
        call = self._functions.hash_update, self.native.pointer, self._sized(key), bytes(value), flags, cpu
        return pay(self.charge, self.element_size, *call)

    def _delete(self, key: bytes, value: ctypes.Array[ctypes.c_char] | None) -> int:
        error = patiently(self._functions.hash_delete, self.native.pointer, self._sized(key), value)
        if not error and not self.preallocated:
            self.charge(-self.element_size)
        return error

    def _walk(
        self, start: int, limit: int, values: ctypes.Array[ctypes.c_char] | None, numbers: array[int] | None
    ) -> tuple[int, bytes, int | None]:
        """Return how many elements there were from slot `start` on, their keys, and where to go on."""
        keys, at = ctypes.create_string_buffer(limit * self.key_size), array("Q", [start])
        where = None if numbers is None else numbers.buffer_info()[0]
        count = patiently(
            self._functions.hash_walk, self.native.pointer, at.buffer_info()[0], limit, keys, values, where
        )
        return count, keys.raw[: count * self.key_size], None if at[0] == NONE else at[0]


class NativeHashMap(NativeHash):
    """A hash table that native code reads and writes."""


class NativePercpuHashMap(NativeHash, PercpuHashMap):
    """A hash table with a value for each CPU that native code reads and writes."""


class NativeLruHashMap(NativeHash, LruHashMap):
    """A hash table that is never full, and that native code reads and writes."""

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        use_parts(self, self._parts)


class NativeLruPercpuHashMap(NativeHash, LruPercpuHashMap):
    """The same with a value for each CPU."""

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        use_parts(self, self._parts)


def use_parts(map_: NativeHash, parts: int) -> None:
    """Make the order of use of an LRU map: a ring of slots for each part, whose head refers to itself when empty."""
    storage, slots = map_.native, map_.max_entries
    uses, _ = storage.add_tables({USES: _USES * (slots + parts), PART_COUNTS: _INDEX * parts})
    heads = uses.cast("I")
    for head in range(slots, slots + parts):
        heads[4 * head] = heads[4 * head + 1] = head
    storage.words[PARTS] = parts


def spare_elements(shape: MapShape, copies: int) -> int:
    """Return how many elements beyond max_entries there is memory for."""
    size = round_up(shape.key_size, 8) + round_up(shape.value_size, 8) * copies
    return max(_LEAST_SPARE, min(_SPARE, _SPARE_BYTES // size))
