"""Hash maps as mappings."""

from __future__ import annotations

import sys

import pytest

from ebpf.abi.types import MapFlag, MapType, UpdateFlag
from ebpf.errors import ClosedError, KeyExistsError, KeyNotFoundError, MapFullError, SystemCallError
from ebpf.objects import ArrayMap, HashMap, Map
from ebpf.runtime import Runtime
from tests.conformance.specs import hash_map, u32, u64

KINDS = (MapType.HASH, MapType.LRU_HASH)


def make(runtime: Runtime, **changes: object) -> HashMap:
    map_ = Map.create(hash_map(**changes), runtime=runtime)
    assert isinstance(map_, HashMap)
    return map_


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_mapping(runtime: Runtime, kind: MapType) -> None:
    with make(runtime, type=kind) as counts:
        assert not counts
        counts[u32(1)] = u64(10)
        counts[u32(2)] = u64(20)
        assert counts
        assert len(counts) == 2
        assert u32(1) in counts
        assert u32(3) not in counts
        assert counts[u32(2)] == u64(20)
        assert counts.get(u32(3)) is None
        assert counts.get(u32(3), 5) == 5
        assert sorted(counts) == sorted(counts.keys()) == [u32(1), u32(2)]
        assert sorted(counts.values()) == [u64(10), u64(20)]
        assert dict(counts) == dict(counts.items()) == {u32(1): u64(10), u32(2): u64(20)}
        assert len(counts.keys()) == len(counts.items()) == 2
        assert u64(20) in counts.values()
        assert (u32(1), u64(10)) in counts.items()
        del counts[u32(1)]
        assert list(counts) == [u32(2)]


@pytest.mark.parametrize("kind", KINDS)
def test_pop_takes_an_element_away(runtime: Runtime, kind: MapType) -> None:
    with make(runtime, type=kind) as counts:
        counts[u32(1)] = u64(10)
        assert counts.pop(u32(1)) == u64(10)
        assert counts.pop(u32(1), None) is None
        with pytest.raises(KeyNotFoundError):
            counts.pop(u32(1))
        counts[u32(2)] = u64(20)
        assert counts.popitem() == (u32(2), u64(20))
        with pytest.raises(KeyError):
            counts.popitem()


def test_setdefault_keeps_what_is_there(runtime: Runtime) -> None:
    with make(runtime) as counts:
        assert counts.setdefault(u32(1), u64(10)) == u64(10)
        assert counts.setdefault(u32(1), u64(99)) == u64(10)
        assert counts[u32(1)] == u64(10)


def test_update_and_clear_work_in_batches(runtime: Runtime) -> None:
    with make(runtime, max_entries=1000) as counts:
        counts.update({u32(n): u64(n) for n in range(700)})
        counts.update([(u32(n), u64(n)) for n in range(700, 900)])
        assert len(counts) == 900
        assert {key: value for key, value in counts.items()} == {u32(n): u64(n) for n in range(900)}  # noqa: C416 - items(), not keys()
        assert counts.delete_many([u32(0), u32(5000), u32(1)]) == 2
        assert counts.lookup_many([u32(0), u32(2)]) == [None, u64(2)]
        counts.clear()
        assert len(counts) == 0
        assert not counts


def test_a_missing_key_is_a_key_error_and_nothing_else_is(runtime: Runtime) -> None:
    with make(runtime, max_entries=2) as counts:
        with pytest.raises(KeyNotFoundError) as missing:
            counts[u32(1)]
        assert isinstance(missing.value, KeyError)
        assert "ENOENT" in str(missing.value)
        with pytest.raises(KeyNotFoundError):
            del counts[u32(1)]
        with pytest.raises(KeyNotFoundError):
            counts.store(u32(1), u64(1), flags=UpdateFlag.EXIST)
        counts.store(u32(1), u64(1), flags=UpdateFlag.NOEXIST)
        with pytest.raises(KeyExistsError) as exists:
            counts.store(u32(1), u64(2), flags=UpdateFlag.NOEXIST)
        assert not isinstance(exists.value, KeyError)
        counts[u32(2)] = u64(2)
        with pytest.raises(MapFullError) as full:
            counts[u32(3)] = u64(3)
        assert not isinstance(full.value, KeyError)


def test_sizes_are_checked_before_the_kernel_sees_them(runtime: Runtime) -> None:
    with make(runtime) as counts:
        with pytest.raises(ValueError, match="key of map counts takes 4 bytes, got 3"):
            counts[b"abc"]
        with pytest.raises(ValueError, match="value of map counts takes 8 bytes, got 4"):
            counts[u32(1)] = u32(1)
        with pytest.raises(TypeError, match="no BTF type: give 4 bytes, got int"):
            counts[1]


def test_equality_and_hash_are_identity(runtime: Runtime) -> None:
    with make(runtime) as one, make(runtime) as other:
        assert one == one
        assert one != other
        assert len({one, other}) == 2
        assert one.keys() == other.keys()


def test_an_lru_forgets_instead_of_refusing(runtime: Runtime) -> None:
    with make(runtime, type=MapType.LRU_HASH, max_entries=64) as counts:
        for n in range(1000):
            counts[u32(n)] = u64(n)
        assert 0 < len(counts) <= 64
        assert u32(999) in counts


def test_an_lru_forgets_what_was_not_used_for_longest(runtime: Runtime) -> None:
    # Linux chooses its victims in batches and from lists of each CPU, so the bounds leave it an eighth.
    size, used, new = 2048, 128, 1024
    with make(runtime, type=MapType.LRU_HASH, max_entries=size) as counts:
        counts.update((u32(n), u64(n)) for n in range(size))
        counts.update((u32(n), u64(n)) for n in range(used))
        counts.update((u32(n), u64(n)) for n in range(size, size + new))
        left = {int.from_bytes(key, sys.byteorder) for key in counts}
        assert len(left & set(range(used))) >= used * 7 // 8
        assert len(left & set(range(size, size + new))) >= new * 7 // 8
        assert len(left & set(range(used, new))) <= (new - used) // 8


def test_iteration_ends_while_the_map_changes(runtime: Runtime) -> None:
    with make(runtime, max_entries=128) as counts:
        counts.update((u32(n), u64(n)) for n in range(64))
        seen = 0
        for key in counts:
            seen += 1
            counts.pop(key, None)
            counts[u32(1000 + seen)] = u64(0)
        assert 0 < seen <= 128


def test_raw_views_give_bytes(runtime: Runtime) -> None:
    with make(runtime) as counts:
        counts[u32(1)] = u64(2)
        assert list(counts.items(raw=True)) == [(u32(1), u64(2))]
        assert counts.lookup(u32(1), raw=True) == u64(2)
        assert counts.key_type is bytes


def test_a_frozen_map_refuses_writers(runtime: Runtime) -> None:
    with make(runtime) as counts:
        counts[u32(1)] = u64(1)
        counts.freeze()
        with pytest.raises(SystemCallError) as refused:
            counts[u32(1)] = u64(2)
        assert refused.value.errno_name == "EPERM"
        assert counts[u32(1)] == u64(1)


def test_what_the_kernel_says_about_it(runtime: Runtime) -> None:
    with make(runtime, flags=MapFlag.NO_PREALLOC, name="a name that is long") as counts:
        info = counts.info()
        assert (info.type, info.key_size, info.value_size, info.max_entries) == (MapType.HASH, 4, 8, 64)
        assert info.flags == MapFlag.NO_PREALLOC
        assert info.name == "a_name_that_is_"
        with Map.open_id(counts.id, runtime=runtime) as again:
            assert isinstance(again, HashMap)
        with HashMap.open_id(counts.id, runtime=runtime) as again:
            counts[u32(1)] = u64(9)
            assert again[u32(1)] == u64(9)
            assert again.id == counts.id
        with pytest.raises(TypeError, match="is no ArrayMap"):
            ArrayMap.open_id(counts.id, runtime=runtime)


def test_closed_maps_say_so(runtime: Runtime) -> None:
    counts = make(runtime)
    counts.close()
    counts.close()
    assert counts.closed
    with pytest.raises(ClosedError):
        counts[u32(1)]
    with pytest.raises(ClosedError):
        counts.info()
    assert "closed" in repr(counts)
