"""Bloom filter in native storage (support/map_bloom.c)."""

from __future__ import annotations

from ebpf.abi.linux import EINVAL
from ebpf.vm.maps.base import MapShape
from ebpf.vm.maps.bloom import BloomFilterMap
from ebpf.vm.maps.storage import BUCKET_MASK, CAPACITY, NativeStorage, functions


class NativeBloomFilterMap(BloomFilterMap):
    """A filter that native code reads and writes."""

    native: NativeStorage

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self._functions = functions()
        self.native = NativeStorage(self, self._bits, stride=0, numbers=0)
        self.native.words[BUCKET_MASK], self.native.words[CAPACITY] = self._mask, self.hashes

    @classmethod
    def fits(cls, shape: MapShape, *, cpus: int) -> bool:
        """Whether there can be such a map: always."""
        return True

    def push(self, value: bytes, flags: int = 0) -> int:
        return -EINVAL if flags else self._functions.bloom_push(self.native.pointer, self._sized(value))

    def peek(self, value: bytes = b"") -> bytes | int:
        return self._functions.bloom_peek(self.native.pointer, self._sized(value))

    def _sized(self, value: bytes) -> bytes:
        if len(value) != self.value_size:
            raise ValueError(f"a value of {self!r} has {self.value_size} bytes, not {len(value)}")
        return bytes(value)
