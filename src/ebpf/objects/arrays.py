"""Arrays: `BPF_MAP_TYPE_ARRAY` and `PERCPU_ARRAY`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ebpf.errors import MapIndexError
from ebpf.objects.codec import ElementCodec, IndexCodec, PerCpuCodec
from ebpf.objects.map import Map


class ArrayMap(Map, Sequence[Any]):
    """An array (`BPF_MAP_TYPE_ARRAY`) as a sequence of fixed length whose items can be assigned.

    Negative indices and slices work as for a list; a slice assignment must keep the length. Outside the array:
    MapIndexError, an IndexError. Slices and iteration are batched underneath.
    """

    __hash__ = Map.__hash__
    __eq__ = Map.__eq__

    def __len__(self) -> int:
        return self.max_entries

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.lookup_many(range(*index.indices(len(self))))
        return self.lookup(self._position(index))

    def __setitem__(self, index: int | slice, value: Any) -> None:
        if not isinstance(index, slice):
            self.store(self._position(index), value)
            return
        positions = range(*index.indices(len(self)))
        values = list(value)
        if len(values) != len(positions):
            raise ValueError(f"map {self.name} has a fixed length: expected {len(positions)} values, got {len(values)}")
        self.update_many(zip(positions, values, strict=True))

    def __iter__(self) -> Iterator[Any]:
        decode = self._value_codec.decode
        return (decode(value) for _, value in self._elements())

    def items(self, *, raw: bool = False) -> Iterator[tuple[Any, Any]]:
        """Walk the (index, value) pairs in batches; with `raw` the values are bytes, indices stay ints."""
        index_of, value_of = self._key_codec.decode, self._value_codec.decode
        return ((index_of(key), value_of(value, raw=raw)) for key, value in self._elements())

    def update(self, items: Iterable[tuple[int, Any]]) -> None:
        """Store (index, value) pairs in batches."""
        self.update_many((self._position(index), value) for index, value in items)

    def _position(self, index: Any) -> int:
        try:
            number: int = index.__index__()
        except AttributeError:
            raise TypeError(f"index of map {self.name} is an int or a slice, got {type(index).__name__}") from None
        position = number + self.max_entries if number < 0 else number
        if not 0 <= position < self.max_entries:
            raise MapIndexError(f"index {number} is outside map {self.name} of {self.max_entries} elements")
        return position

    def _make_key_codec(self) -> ElementCodec:
        return IndexCodec(f"index of map {self.name}", self.max_entries)


class PerCpuArrayMap(ArrayMap):
    """An array with a value for each CPU (`BPF_MAP_TYPE_PERCPU_ARRAY`): values are PerCpu lists."""

    def _make_value_codec(self) -> ElementCodec:
        return PerCpuCodec(f"value of map {self.name}", self.value_size, self.value, self.runtime.cpus)
