"""Longest-prefix-match trie (kernel/bpf/lpm_trie.c, `BPF_MAP_TYPE_LPM_TRIE`).

A key is a u32 prefix length in host order and then the address in network order. Instead of a tree there is one table
per prefix length and one sorted list of the prefixes in the order in which the kernel's tree is walked.
"""

from __future__ import annotations

from bisect import bisect_left
from operator import neg
from typing import Any

from ebpf.abi.linux import EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC
from ebpf.vm.maps.base import EXIST, NOEXIST, Map, MapShape, round_up
from ebpf.vm.maps.hash import Element

NODE_OVERHEAD = 40
"""Bytes of the kernel's `struct lpm_trie_node`."""


class LpmTrieMap(Map):
    """Elements by prefix; a look-up finds the longest one that covers the key."""

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self.max_prefix = (shape.key_size - 4) * 8
        self._tables: dict[int, dict[int, Element]] = {}
        self._lengths: list[int] = []  # prefix lengths in use, longest first
        self._order: list[str] = []
        self._ordered: dict[str, Element] = {}

    def __len__(self) -> int:
        return len(self._order)

    @property
    def element_size(self) -> int:
        """Bytes that one element costs."""
        return round_up(NODE_OVERHEAD + self.key_size - 4 + self.value_size, 8)

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        length, address = self._parse(key)
        if length > self.max_prefix:
            return None
        with self.lock:
            for candidate in self._lengths:
                if candidate <= length:
                    element = self._tables[candidate].get(address >> (self.max_prefix - candidate))
                    if element is not None:
                        return element.value
        return None

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        length, address = self._parse(key)
        if flags > EXIST or length > self.max_prefix:
            return -EINVAL
        with self.lock:
            old = self._exact(length, address)
            if old is not None:
                return self._replace(old, key, value, flags)
            if flags == EXIST:
                return -ENOENT
            return self._insert(length, address, Element(key, memoryview(bytearray(value))))

    def delete(self, key: bytes) -> int:
        length, address = self._parse(key)
        if length > self.max_prefix:
            return -EINVAL
        with self.lock:
            if self._exact(length, address) is None:
                return -ENOENT
            self._remove(length, address)
            return 0

    def next_key(self, key: bytes | None) -> bytes | int:
        with self.lock:
            at = 0 if key is None else self._after(key)
            return self._ordered[self._order[at]].key if at < len(self._order) else -ENOENT

    def elements(self) -> list[tuple[bytes, Any, memoryview]]:
        with self.lock:
            return [(e.key, e.key, e.value) for e in (self._ordered[rank] for rank in self._order)]

    def clear(self) -> None:
        with self.lock:
            self.charge(-self.element_size * len(self._order))
            self._tables.clear()
            self._lengths.clear()
            self._order.clear()
            self._ordered.clear()

    def _parse(self, key: bytes) -> tuple[int, int]:
        return int.from_bytes(key[:4], "little"), int.from_bytes(key[4:], "big")

    def _exact(self, length: int, address: int) -> Element | None:
        return self._tables.get(length, {}).get(address >> (self.max_prefix - length))

    def _replace(self, old: Element, key: bytes, value: bytes, flags: int) -> int:
        if flags == NOEXIST:
            return -EEXIST
        old.key = key  # bits beyond the prefix are kept as last given, as in the kernel
        old.value = memoryview(bytearray(value))
        return 0

    def _insert(self, length: int, address: int, element: Element) -> int:
        if len(self._order) >= self.max_entries:
            return -ENOSPC
        if not self.charge(self.element_size):
            return -ENOMEM
        table, prefix = self._tables.get(length), address >> (self.max_prefix - length)
        rank = self._rank(length, address)
        place, longer = bisect_left(self._order, rank), bisect_left(self._lengths, -length, key=neg)
        if table is None:
            self._tables[length] = {prefix: element}
            self._lengths[longer:longer] = (length,)
        else:
            table[prefix] = element
        self._order[place:place] = (rank,)
        self._ordered[rank] = element
        return 0

    def _remove(self, length: int, address: int) -> None:
        table, prefix = self._tables[length], address >> (self.max_prefix - length)
        rank = self._rank(length, address)
        place, longer = bisect_left(self._order, rank), self._lengths.index(length)
        del table[prefix]
        if not table:
            del self._tables[length]
            del self._lengths[longer]
        del self._order[place]
        del self._ordered[rank]
        self.charge(-self.element_size)

    def _rank(self, length: int, address: int) -> str:
        """Make the sort key of the walk: both subtrees of a prefix (0, then 1) come before the prefix itself."""
        bits = f"{address >> (self.max_prefix - length):0{length}b}" if length else ""
        return bits + "2"

    def _after(self, key: bytes) -> int:
        length, address = self._parse(key)
        if length > self.max_prefix:
            return 0
        rank = self._rank(length, address)
        return bisect_left(self._order, rank) + 1 if rank in self._ordered else 0
