"""Queues, stacks and bloom filters: maps without keys."""

from __future__ import annotations

import pytest

from ebpf.abi.types import MapType
from ebpf.errors import KeyNotFoundError, MapFullError
from ebpf.objects import BloomFilter, Map, QueueMap
from ebpf.runtime import Runtime
from ebpf.spec import MapSpec
from tests.conformance.specs import u32


@pytest.mark.parametrize(("kind", "first"), [(MapType.QUEUE, 1), (MapType.STACK, 3)])
def test_put_get_peek(runtime: Runtime, kind: MapType, first: int) -> None:
    with Map.create(MapSpec("waiting", kind, 0, 4, 3), runtime=runtime) as waiting:
        assert isinstance(waiting, QueueMap)
        assert not waiting
        for number in (1, 2, 3):
            waiting.put(u32(number))
        assert waiting
        with pytest.raises(MapFullError):
            waiting.put(u32(4))
        assert waiting.peek() == waiting.peek() == u32(first)
        rest = [waiting.get() for _ in range(3)]
        assert rest == [u32(number) for number in ((1, 2, 3) if first == 1 else (3, 2, 1))]
        with pytest.raises(KeyNotFoundError):
            waiting.get()
        with pytest.raises(KeyNotFoundError):
            waiting.peek()


def test_displace_drops_the_oldest(runtime: Runtime) -> None:
    with Map.create(MapSpec("waiting", MapType.QUEUE, 0, 4, 2), runtime=runtime) as waiting:
        assert isinstance(waiting, QueueMap)
        for number in (1, 2, 3):
            waiting.put(u32(number), displace=True)
        assert [waiting.get(), waiting.get()] == [u32(2), u32(3)]


def test_a_bloom_filter_never_denies_what_it_has(runtime: Runtime) -> None:
    with Map.create(MapSpec("seen", MapType.BLOOM_FILTER, 0, 4, 1000), runtime=runtime) as seen:
        assert isinstance(seen, BloomFilter)
        for number in range(0, 200, 2):
            seen.add(u32(number))
        assert all(u32(number) in seen for number in range(0, 200, 2))
        assert sum(u32(number) in seen for number in range(1, 2000, 2)) < 100
