"""Bloom filters: how often they are wrong."""

from __future__ import annotations

import pytest

from ebpf.abi.types import MapType
from ebpf.vm.maps import MapShape, create_map

pytestmark = pytest.mark.usefixtures("storage")


def test_small_filters_are_as_rarely_wrong_as_their_size_allows() -> None:
    # 64 bits, 5 hash functions, one value in it: another is found with a probability of (5 / 64) ** 5.
    wrong = 0
    for seed in range(20_000):
        seen = create_map(MapShape(MapType.BLOOM_FILTER, 0, 8, 4), seed=seed)
        assert seen.push(bytes(range(8))) == 0
        assert seen.peek(bytes(range(8))) == 0
        wrong += seen.peek(bytes(8)) == 0
    assert wrong < 5


def test_every_number_of_hash_functions_works() -> None:
    for hashes in range(16):
        seen = create_map(MapShape(MapType.BLOOM_FILTER, 0, 4, 100, map_extra=hashes))
        values = [number.to_bytes(4, "little") for number in range(100)]
        assert [seen.push(value) for value in values] == [0] * 100
        assert all(seen.peek(value) == 0 for value in values)
        assert sum(seen.peek((number << 8).to_bytes(4, "little")) == 0 for number in range(1000, 2000)) < 700
