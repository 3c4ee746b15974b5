"""Longest prefix match."""

from __future__ import annotations

import struct

import pytest

from ebpf.abi.types import MapType
from ebpf.errors import KeyNotFoundError
from ebpf.objects import LpmTrie, Map
from ebpf.runtime import Runtime
from ebpf.spec import MapSpec
from tests.conformance.specs import u32


def prefix(bits: int, *address: int) -> bytes:
    return struct.pack("=I4B", bits, *address)


def make(runtime: Runtime) -> LpmTrie:
    # Without NO_PREALLOC, which load adds: kernels take no trie without it.
    routes = Map.create(MapSpec("routes", MapType.LPM_TRIE, 8, 4, 16), runtime=runtime)
    assert isinstance(routes, LpmTrie)
    return routes


def test_look_ups_find_the_longest_prefix(runtime: Runtime) -> None:
    with make(runtime) as routes:
        routes[prefix(8, 10, 0, 0, 0)] = u32(8)
        routes[prefix(24, 10, 1, 2, 0)] = u32(24)
        assert routes[prefix(32, 10, 9, 9, 9)] == u32(8)
        assert routes[prefix(32, 10, 1, 2, 3)] == u32(24)
        assert prefix(32, 11, 0, 0, 1) not in routes
        assert len(routes) == 2
        assert set(routes) == {prefix(8, 10, 0, 0, 0), prefix(24, 10, 1, 2, 0)}


def test_pop_takes_exactly_that_prefix(runtime: Runtime) -> None:
    with make(runtime) as routes:
        routes[prefix(8, 10, 0, 0, 0)] = u32(8)
        routes[prefix(24, 10, 1, 2, 0)] = u32(24)
        with pytest.raises(KeyNotFoundError):
            routes.pop(prefix(16, 10, 1, 0, 0))
        assert routes.pop(prefix(24, 10, 1, 2, 0)) == u32(24)
        assert dict(routes.items()) == {prefix(8, 10, 0, 0, 0): u32(8)}
        routes.clear()
        assert not routes
