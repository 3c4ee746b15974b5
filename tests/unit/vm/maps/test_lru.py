"""The exact victim of an LRU map, what counts as a use, and CPUs with lists of their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.abi.linux import EEXIST
from ebpf.abi.types import MapFlag, MapType
from ebpf.codegen.image import address_of
from ebpf.vm.maps import LruHashMap, LruPercpuHashMap, MapShape, create_map

pytestmark = pytest.mark.usefixtures("storage")


def key(number: int) -> bytes:
    return number.to_bytes(4, "little")


def make(entries: int, *, cpus: int = 1, flags: int = 0) -> LruHashMap:
    map_ = create_map(MapShape(MapType.LRU_HASH, 4, 8, entries, flags), cpus=cpus)
    assert isinstance(map_, LruHashMap)
    return map_


def alive(map_: LruHashMap) -> set[int]:
    return {int.from_bytes(k, "little") for k, _, _ in map_.elements()}


def test_oldest_goes() -> None:
    map_ = make(3)
    for number in range(5):
        assert map_.update(key(number), bytes(8)) == 0
    assert alive(map_) == {2, 3, 4}


def test_program_look_up_is_a_use_and_system_look_up_is_not() -> None:
    map_ = make(3)
    for number in range(3):
        map_.update(key(number), bytes(8))
    assert map_.read(key(1)) == bytes(8)
    assert map_.lookup(key(0)) is not None
    map_.update(key(3), bytes(8))
    assert alive(map_) == {0, 2, 3}


def test_update_of_an_element_is_a_use() -> None:
    map_ = make(2)
    map_.update(key(0), bytes(8))
    map_.update(key(1), bytes(8))
    map_.write(key(0), bytes(8))
    map_.update(key(2), bytes(8))
    assert alive(map_) == {0, 2}


def test_refused_update_is_no_use() -> None:
    map_ = make(2)
    map_.update(key(0), bytes(8))
    map_.update(key(1), bytes(8))
    assert map_.update(key(0), bytes(8), 1) == -EEXIST
    map_.update(key(2), bytes(8))
    assert alive(map_) == {1, 2}


def test_victim_stays_readable_for_who_holds_it() -> None:
    map_ = make(1)
    map_.update(key(0), b"original")
    view = map_.lookup(key(0))
    map_.update(key(1), bytes(8))
    assert view is not None
    assert view.tobytes() == b"original"


def test_each_cpu_evicts_its_own() -> None:
    map_ = make(4, cpus=2, flags=MapFlag.NO_COMMON_LRU)
    for number in range(2):
        map_.update(key(number), bytes(8), cpu=0)
    for number in range(10, 15):
        map_.update(key(number), bytes(8), cpu=1)
    assert alive(map_) == {0, 1, 13, 14}


def test_per_cpu_values() -> None:
    map_ = create_map(MapShape(MapType.LRU_PERCPU_HASH, 4, 8, 2), cpus=3)
    assert isinstance(map_, LruPercpuHashMap)
    map_.update(key(0), b"11111111", cpu=1)
    assert map_.read(key(0)) == bytes(8) + b"11111111" + bytes(8)
    view, again = map_.lookup(key(0), 1), map_.lookup(key(0), 1)
    assert view is not None
    assert again is not None
    assert address_of(view) == address_of(again)
    assert view.tobytes() == b"11111111"


@given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from(["use", "put", "drop"]), st.integers(0, 8)), max_size=60))
def test_like_a_list_in_order_of_use(size: int, operations: list[tuple[str, int]]) -> None:
    map_, model = make(size), list[int]()
    for operation, number in operations:
        known = number in model
        if known:
            model.remove(number)
        if operation == "put" or (operation == "use" and known):
            model.append(number)
        if operation == "put":
            map_.update(key(number), bytes(8))
        elif operation == "use":
            assert (map_.lookup(key(number)) is not None) == known
        else:
            assert (map_.delete(key(number)) == 0) == known
        del model[:-size]
    assert alive(map_) == set(model)


@pytest.mark.parametrize(("entries", "cpus", "rounded"), [(4, 2, 4), (5, 2, 6), (1, 4, 4)])
def test_equal_parts(entries: int, cpus: int, rounded: int) -> None:
    assert make(entries, cpus=cpus, flags=MapFlag.NO_COMMON_LRU).max_entries == rounded
