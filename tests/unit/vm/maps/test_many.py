"""Many elements in one call: as many done, and the same error, as one call after the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.abi.linux import E2BIG, EEXIST, EINVAL, ENOENT, ENOMEM
from ebpf.abi.types import MapFlag, MapType
from ebpf.vm.maps import HashMap, LruHashMap, MapShape, PercpuHashMap, create_map

pytestmark = pytest.mark.usefixtures("storage")

CLASSES = {MapType.HASH: HashMap, MapType.LRU_HASH: LruHashMap, MapType.PERCPU_HASH: PercpuHashMap}
numbers = st.lists(st.integers(0, 9), max_size=12)


def keys_of(found: list[int]) -> memoryview:
    return memoryview(b"".join(number.to_bytes(4, "little") for number in found))


@given(
    st.sampled_from(list(CLASSES)),
    st.lists(st.tuples(st.sampled_from(["write", "delete"]), numbers, st.sampled_from([0, 0, 1, 2, 4])), max_size=5),
)
def test_like_one_after_the_other(type_: MapType, steps: list[tuple[str, list[int], int]]) -> None:
    shape = MapShape(type_, 4, 5, 6)
    map_, model = create_map(shape, cpus=2), CLASSES[type_](shape, cpus=2)
    size = model.system_value_size
    for step, (what, found, flags) in enumerate(steps):
        values = memoryview(bytes((step * 16 + at) % 251 for at in range(len(found)) for _ in range(size)))
        if what == "write":
            expected = model.write_many(keys_of(found), values, len(found), flags)
            assert map_.write_many(keys_of(found), values, len(found), flags) == expected
        else:
            assert map_.delete_many(keys_of(found), len(found)) == model.delete_many(keys_of(found), len(found))
    assert [(k, bytes(v)) for k, _, v in map_.elements()] == [(k, bytes(v)) for k, _, v in model.elements()]


def test_where_it_ends() -> None:
    map_ = create_map(MapShape(MapType.HASH, 4, 8, 3))
    values = memoryview(bytes(8 * 6))
    assert map_.write_many(keys_of([1, 2]), values, 2) == (2, 0)
    assert map_.write_many(keys_of([5, 2]), values, 2, 1) == (1, -EEXIST)
    assert map_.write_many(keys_of([1, 6]), values, 2) == (1, -E2BIG)
    assert map_.write_many(keys_of([1]), values, 1, 8) == (0, -EINVAL)
    assert map_.delete_many(keys_of([1, 9, 2]), 3) == (1, -ENOENT)


def test_memory_is_asked_for_and_given_back() -> None:
    map_ = create_map(MapShape(MapType.HASH, 4, 8, 100, MapFlag.NO_PREALLOC))
    assert isinstance(map_, HashMap)
    account = [3 * map_.element_size]

    def charge(size: int) -> bool:
        if account[0] < size:
            return False
        account[0] -= size
        return True

    map_.charge = charge
    assert map_.write_many(keys_of(list(range(5))), memoryview(bytes(40)), 5) == (3, -ENOMEM)
    assert map_.delete_many(keys_of([0, 1]), 2) == (2, 0)
    assert account == [2 * map_.element_size]


def test_more_than_are_done_at_a_time() -> None:
    map_ = create_map(MapShape(MapType.HASH, 4, 8, 10_000))
    assert isinstance(map_, HashMap)
    keys = keys_of(list(range(10_000)))
    assert map_.write_many(keys, memoryview(bytes(keys) * 2), 10_000) == (10_000, 0)
    assert len(map_) == 10_000
    copied, values, end = map_.walk(0, 20_000)
    assert (len(copied), len(values), end) == (40_000, 80_000, None)
    assert map_.delete_many(keys, 10_000) == (10_000, 0)
    assert len(map_) == 0
