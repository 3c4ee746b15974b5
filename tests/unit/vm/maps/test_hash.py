"""Hash maps: live values, iteration while elements come and go, spin locks, memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.abi.linux import E2BIG, EINVAL, ENOENT, ENOMEM
from ebpf.abi.types import MapFlag, MapType
from ebpf.codegen.image import address_of
from ebpf.vm.maps import HashMap, MapShape, PercpuHashMap, create_map

pytestmark = pytest.mark.usefixtures("storage")


def key(number: int) -> bytes:
    return number.to_bytes(4, "little")


def make(entries: int = 8, *, flags: int = 0, lock_offset: int | None = None) -> HashMap:
    map_ = create_map(MapShape(MapType.HASH, 4, 8, entries, flags, lock_offset=lock_offset))
    assert isinstance(map_, HashMap)
    return map_


def same(one: memoryview | None, other: memoryview | None) -> bool:
    """Whether both are the same memory."""
    return one is not None and other is not None and address_of(one) == address_of(other)


def test_value_is_the_same_memory_while_the_element_lives() -> None:
    map_ = make()
    map_.update(key(1), b"firstone")
    view = map_.lookup(key(1))
    assert view is not None
    assert same(map_.lookup(key(1)), view)
    view[0:5] = b"FIRST"
    assert map_.read(key(1)) == b"FIRSTone"


def test_replacing_leaves_the_old_value_to_who_holds_it() -> None:
    map_ = make()
    map_.update(key(1), b"old_____")
    view = map_.lookup(key(1))
    map_.update(key(1), b"new_____")
    assert view is not None
    assert view.tobytes() == b"old_____"
    assert not same(map_.lookup(key(1)), view)


def test_lock_flag_writes_in_place_around_the_lock() -> None:
    map_ = make(lock_offset=4)
    map_.update(key(1), b"AAAA\1\1\1\1")
    view = map_.lookup(key(1))
    assert view is not None
    assert view.tobytes() == b"AAAA" + bytes(4)  # a lock starts free
    view[4] = 1  # held
    assert map_.update(key(1), b"BBBB\2\2\2\2", 4) == 0
    assert same(map_.lookup(key(1)), view)
    assert view.tobytes() == b"BBBB\1\0\0\0"
    assert map_.read(key(1), 4) == b"BBBB" + bytes(4)  # and reads as free
    assert make().update(key(1), bytes(8), 4) == -EINVAL


def test_deleted_slot_is_used_again_and_iteration_meets_it() -> None:
    map_ = make(3)
    for number in range(3):
        map_.update(key(number), bytes(8))
    assert map_.delete(key(0)) == 0
    assert map_.next_key(None) == key(1)
    assert map_.update(key(9), bytes(8)) == 0
    assert map_.next_key(None) == key(9)
    assert map_.update(key(10), bytes(8)) == -E2BIG


def test_unknown_key_starts_over_and_last_key_ends() -> None:
    map_ = make()
    for number in range(3):
        map_.update(key(number), bytes(8))
    assert map_.next_key(key(77)) == key(0)
    assert map_.next_key(key(2)) == -ENOENT


def test_draining_from_the_front_stays_linear() -> None:
    map_ = make(20_000)
    for number in range(20_000):
        map_.update(key(number), bytes(8))
    taken = 0
    while not isinstance(first := map_.next_key(None), int):
        map_.delete(first)
        taken += 1
    assert taken == 20_000  # quadratic would run into the time limit


def test_memory_of_elements_that_are_not_preallocated() -> None:
    map_ = make(100, flags=MapFlag.NO_PREALLOC)
    account = [3 * map_.element_size]

    def charge(size: int) -> bool:
        if account[0] < size:
            return False
        account[0] -= size
        return True

    map_.charge = charge
    assert [map_.update(key(n), bytes(8)) for n in range(4)] == [0, 0, 0, -ENOMEM]
    map_.delete(key(0))
    assert map_.update(key(3), bytes(8)) == 0
    map_.clear()
    assert account == [3 * map_.element_size]


def test_per_cpu_program_update_touches_one_copy() -> None:
    map_ = create_map(MapShape(MapType.PERCPU_HASH, 4, 5, 4), cpus=2)
    assert isinstance(map_, PercpuHashMap)
    map_.update(key(1), b"aaaaa", cpu=1)
    view = map_.lookup(key(1), 1)
    map_.update(key(1), b"bbbbb", cpu=0)
    assert map_.read(key(1)) == b"bbbbb\0\0\0aaaaa\0\0\0"
    assert same(view, map_.lookup(key(1), 1))
    assert map_.lookup_percpu(key(1), 2) is None
    assert map_.write(key(1), b"ccccc---ddddd---") == 0
    assert view is not None
    assert view.tobytes() == b"ddddd"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=80))
def test_like_a_dict(operations: list[tuple[bool, int]]) -> None:
    map_, model = make(8), dict[bytes, bytes]()
    for step, (put, number) in enumerate(operations):
        name, value = key(number), step.to_bytes(8, "little")
        if put:
            full = name not in model and len(model) == 8
            assert map_.update(name, value) == (-E2BIG if full else 0)
            if not full:
                model[name] = value
        else:
            assert map_.delete(name) == (0 if model.pop(name, None) is not None else -ENOENT)
    walked, last = [], None
    while not isinstance(last := map_.next_key(last), int):
        walked.append(last)
    assert sorted(walked) == sorted(model)
    assert {k: v.tobytes() for k, _, v in map_.elements()} == model
