"""Bloom filter (kernel/bpf/bloom_filter.c, `BPF_MAP_TYPE_BLOOM_FILTER`)."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from ebpf.abi.linux import EINVAL, ENOENT, EOPNOTSUPP
from ebpf.vm.maps.base import Map, MapShape
from ebpf.vm.maps.storage import zeroed

DEFAULT_HASHES = 5
_WORDS = Struct("<16I")


class BloomFilterMap(Map):
    """A set of values that may answer yes wrongly, never no. `map_extra` is the number of hash functions (0: 5).

    Size and number of bits are the kernel's (so is the rate of wrong answers); the hash function is not, therefore
    which values are wrongly found differs. It also differs between native storage and Python's.
    """

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self.hashes = shape.map_extra & 0xF or DEFAULT_HASHES
        self._mask = bloom_bits(shape) - 1
        self._bits = zeroed(max(8, (self._mask + 1) // 8))
        self._salt = seed.to_bytes(8, "little")

    @classmethod
    def cost(cls, shape: MapShape, *, cpus: int) -> int:
        return bloom_bits(shape) // 8

    def push(self, value: bytes, flags: int = 0) -> int:
        if flags:
            return -EINVAL
        with self.lock:
            for bit in self._positions(value):
                self._bits[bit >> 3] |= 1 << (bit & 7)
        return 0

    def peek(self, value: bytes = b"") -> bytes | int:
        present = all(self._bits[bit >> 3] >> (bit & 7) & 1 for bit in self._positions(value))
        return 0 if present else -ENOENT

    def pop(self) -> bytes | int:
        return -EOPNOTSUPP

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        return -EINVAL

    def read(self, key: bytes, flags: int = 0, value: bytes = b"") -> bytes | int:
        found = self.peek(value)
        return value if found == 0 else found

    def write(self, key: bytes, value: bytes, flags: int = 0) -> int:
        return self.push(value, flags)

    def next_key(self, key: bytes | None) -> bytes | int:
        return -EOPNOTSUPP

    def _positions(self, value: bytes) -> Iterator[int]:
        # One hash function is 32 bits of a digest that has room for 16: functions derived from two others agree too
        # often in a filter of 64 bits.
        from hashlib import blake2b  # with most of OpenSSL

        words = _WORDS.unpack(blake2b(value, salt=self._salt).digest())
        return (word & self._mask for word in words[: self.hashes])


def bloom_bits(shape: MapShape) -> int:
    """Return the number of bits: entries × hashes ÷ ln 2 (7/5 in the kernel), as a power of two up to 2^32."""
    hashes = shape.map_extra & 0xF or DEFAULT_HASHES
    wanted = shape.max_entries * hashes // 5 * 7
    if shape.max_entries * hashes > 0xFFFFFFFF or wanted > 1 << 31:
        return 1 << 32
    return max(64, 1 << max(0, wanted - 1).bit_length())
