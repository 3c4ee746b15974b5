"""Longest-prefix-match trie in native storage (support/map_trie.c): LpmTrieMap with nodes that native code finds.

What NativeHashMap says about elements that were deleted or replaced holds here, too.
"""

from __future__ import annotations

import ctypes
from typing import Any

from ebpf.vm.maps.base import MapShape, round_up
from ebpf.vm.maps.lpm import LpmTrieMap
from ebpf.vm.maps.nativehash import spare_elements
from ebpf.vm.maps.storage import (
    ACCOUNTED,
    BUCKETS,
    CAPACITY,
    COUNT,
    DEFERRED,
    NODE_STRIDE,
    NODES,
    NativeStorage,
    functions,
    patiently,
    pay,
    shift_of,
    zeroed,
)

_NODE = 12
_DEFERRED = 16
_MOST_BYTES = 1 << 30


def _capacity(shape: MapShape) -> int:
    """Return how many nodes there is memory for: every element can need another node where the ways part."""
    return 2 * shape.max_entries + spare_elements(shape, 1)


class NativeLpmTrieMap(LpmTrieMap):
    """A trie that native code reads and writes."""

    native: NativeStorage

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self._functions = functions()
        self._key, self._value = ctypes.c_char * shape.key_size, ctypes.c_char * shape.value_size
        capacity, stride = _capacity(shape), round_up(shape.value_size, 8)
        values = zeroed(stride * (capacity + 1))
        self.native = storage = NativeStorage(self, values, stride=stride, numbers=capacity + 1)
        node = round_up(_NODE + shape.key_size, 8)
        storage.words[NODE_STRIDE], storage.words[CAPACITY], storage.words[ACCOUNTED] = node, capacity, 1
        storage.add_tables({NODES: node * (capacity + 1), BUCKETS: 8, DEFERRED: _DEFERRED * (capacity + 1)})

    @classmethod
    def fits(cls, shape: MapShape, *, cpus: int) -> bool:
        """Whether tables of a bearable size hold such a map, and its values have addresses."""
        stride, node = round_up(shape.value_size, 8), round_up(_NODE + shape.key_size, 8)
        numbers = _capacity(shape) + 1
        return numbers * (stride + node + _DEFERRED) <= _MOST_BYTES and stride <= 1 << shift_of(numbers)

    def __len__(self) -> int:
        return self.native.words[COUNT]

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        element = patiently(self._functions.trie_find, self.native.pointer, self._sized(key), None)
        return None if element < 0 else self.native.view(element)

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        if len(value) != self.value_size:
            raise ValueError(f"a value of {self!r} has {self.value_size} bytes, not {len(value)}")
        call = self._functions.trie_update, self.native.pointer, self._sized(key), bytes(value), flags
        return pay(self.charge, self.element_size, *call)

    def delete(self, key: bytes) -> int:
        error = patiently(self._functions.trie_delete, self.native.pointer, self._sized(key))
        if not error:
            self.charge(-self.element_size)
        return error

    def read(self, key: bytes, flags: int = 0, value: bytes = b"") -> bytes | int:
        copied = self._value()
        element = patiently(self._functions.trie_find, self.native.pointer, self._sized(key), copied)
        return element if element < 0 else copied.raw

    def next_key(self, key: bytes | None) -> bytes | int:
        following = self._key()
        key = None if key is None else self._sized(key)
        element = patiently(self._functions.trie_next, self.native.pointer, key, following)
        return element if element < 0 else following.raw

    def elements(self) -> list[tuple[bytes, Any, memoryview]]:
        found: list[tuple[bytes, Any, memoryview]] = []
        key, following = None, self._key()
        while (element := patiently(self._functions.trie_next, self.native.pointer, key, following)) >= 0:
            key = following.raw
            found.append((key, key, self.native.view(element)))
        return found

    def settle(self) -> None:
        credit = patiently(self._functions.take_credit, self.native.pointer)
        self.charge(-self.element_size * credit)

    def clear(self) -> None:
        while not isinstance(key := self.next_key(None), int):
            self.delete(key)
        self.settle()

    def _sized(self, key: bytes) -> bytes:
        if len(key) != self.key_size:
            raise ValueError(f"a key of {self!r} has {self.key_size} bytes, not {len(key)}")
        return key
