"""Hash-like maps: `BPF_MAP_TYPE_HASH`, `LRU_HASH`, their per-CPU variants, and `LPM_TRIE`."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from typing import Any, cast

from ebpf.abi.linux import EINVAL, ENOTSUPP, EOPNOTSUPP
from ebpf.abi.types import UpdateFlag
from ebpf.errors import KeyExistsError, KeyNotFoundError, SystemCallError
from ebpf.objects.codec import ElementCodec, PerCpuCodec
from ebpf.objects.map import Map, count, find

_ABSENT = object()
_GONE = object()
_NOT_ATOMIC = (EINVAL, ENOTSUPP, EOPNOTSUPP)
"""How kernels say that a map type has no lookup-and-delete."""


class HashMap(Map, MutableMapping[Any, Any]):
    """A hash (`BPF_MAP_TYPE_HASH`, `LRU_HASH`) as a mapping.

    Iteration, keys(), values() and items() walk in batches; while the kernel changes the map they may miss or
    repeat elements, but end after max_entries. len() is a counted walk, O(n). A missing key is KeyNotFoundError (a
    KeyError); no other error is a KeyError.
    """

    __hash__ = Map.__hash__
    __eq__ = Map.__eq__

    def __getitem__(self, key: Any) -> Any:
        return self.lookup(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.store(key, value)

    def __delitem__(self, key: Any) -> None:
        self.delete(key)

    def __contains__(self, key: object) -> bool:
        return find(self, key, _ABSENT, raw=True) is not _ABSENT

    def __len__(self) -> int:
        return count(self.io.batches(), self.max_entries)

    def __iter__(self) -> Iterator[Any]:
        return self._walk_keys(raw=False)

    def keys(self, *, raw: bool = False) -> Keys:
        """Return a view of the keys; each walk of it is a new one."""
        return Keys(self, raw=raw)

    def values(self, *, raw: bool = False) -> Values:
        """Return a view of the values, walked in batches."""
        return Values(self, raw=raw)

    def items(self, *, raw: bool = False) -> Items:
        """Return a view of the (key, value) pairs, walked in batches."""
        return Items(self, raw=raw)

    def get(self, key: Any, default: Any = None, *, raw: bool = False) -> Any:
        """Return the value, `default` without it."""
        return find(self, key, default, raw=raw)

    def pop(self, key: Any, default: Any = _ABSENT, *, raw: bool = False) -> Any:
        """Remove the element and return its value; `default`, else KeyNotFoundError, without it.

        One atomic call where the kernel has it (Linux 5.14); before that a look-up and a deletion, between which
        another writer may change the value.
        """
        encoded = self._key_codec.encode(key)
        try:
            data = self._take(encoded)
        except KeyNotFoundError:
            if default is _ABSENT:
                raise
            return default
        return self._value_codec.decode(data, raw=raw)

    def _take(self, key: bytes) -> bytes:
        try:
            return self.io.lookup_and_delete(key)
        except SystemCallError as error:
            if error.linux_errno not in _NOT_ATOMIC:
                raise
        data = self.io.lookup(key)  # of a trie: the exact prefix, if the deletion then finds it
        self.io.delete(key)
        return data

    def popitem(self) -> tuple[Any, Any]:
        """Remove some element and return (key, value); KeyError from an empty map."""
        while (key := self.io.next_key(None)) is not None:
            value = self.pop(key, _GONE)
            if value is not _GONE:
                return self._key_codec.decode(key), value
        raise KeyError(f"map {self.name} is empty")

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return the value; without one store `default` (NOEXIST: another writer's value wins) and return that."""
        while True:
            try:
                return self.lookup(key)
            except KeyNotFoundError:
                pass
            try:
                self.store(key, default, flags=UpdateFlag.NOEXIST)
            except KeyExistsError:
                continue
            return self._value_codec.decode(self._value_codec.encode(default))

    def update(  # type: ignore[override]  # keyword arguments can't name keys of a map
        self, other: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = (), /
    ) -> None:
        """Store every element of `other` in batches; on an error those before it are stored."""
        pairs = other.items() if isinstance(other, Mapping) else other
        self.update_many(cast("Iterable[tuple[Any, Any]]", pairs))

    def clear(self) -> None:
        """Delete every element that is there now, in batches; bounded by max_entries."""
        self.io.delete_many([key for key, _ in self._elements()])

    def _walk_keys(self, *, raw: bool) -> Iterator[Any]:
        decode = self._key_codec.decode
        return (decode(key, raw=raw) for key, _ in self._elements())

    def _walk_values(self, *, raw: bool) -> Iterator[Any]:
        decode = self._value_codec.decode
        return (decode(value, raw=raw) for _, value in self._elements())

    def _walk_items(self, *, raw: bool) -> Iterator[tuple[Any, Any]]:
        key_of, value_of = self._key_codec.decode, self._value_codec.decode
        return ((key_of(key, raw=raw), value_of(value, raw=raw)) for key, value in self._elements())


# The views of collections.abc would look up every value by its key; these walk the map in batches.


class Keys(KeysView[Any]):
    """The keys of a hash-like map."""

    __slots__ = ("_raw",)
    _mapping: HashMap

    def __init__(self, mapping: HashMap, *, raw: bool) -> None:
        super().__init__(mapping)
        self._raw = raw

    def __iter__(self) -> Iterator[Any]:
        return self._mapping._walk_keys(raw=self._raw)


class Values(ValuesView[Any]):
    """The values of a hash-like map."""

    __slots__ = ("_raw",)
    _mapping: HashMap

    def __init__(self, mapping: HashMap, *, raw: bool) -> None:
        super().__init__(mapping)
        self._raw = raw

    def __contains__(self, value: object) -> bool:
        return any(value == one for one in self)

    def __iter__(self) -> Iterator[Any]:
        return self._mapping._walk_values(raw=self._raw)


class Items(ItemsView[Any, Any]):
    """The (key, value) pairs of a hash-like map."""

    __slots__ = ("_raw",)
    _mapping: HashMap

    def __init__(self, mapping: HashMap, *, raw: bool) -> None:
        super().__init__(mapping)
        self._raw = raw

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self._mapping._walk_items(raw=self._raw)


class PerCpuHashMap(HashMap):
    """A hash with a value for each CPU (`BPF_MAP_TYPE_PERCPU_HASH`, `LRU_PERCPU_HASH`): values are PerCpu lists."""

    def _make_value_codec(self) -> ElementCodec:
        return PerCpuCodec(f"value of map {self.name}", self.value_size, self.value, self.runtime.cpus)


class LpmTrie(HashMap):
    """Longest prefix match (`BPF_MAP_TYPE_LPM_TRIE`): a key is a prefix length in bits (u32, native), then the data.

    Look-ups (`in` too) find the longest stored prefix of the key; storing, deleting and popping take the exact one.
    """
