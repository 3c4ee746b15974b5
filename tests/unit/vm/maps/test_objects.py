"""Slots of objects: what they keep alive, and when they let it go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ebpf.abi.linux import E2BIG, EEXIST, EINVAL, ENOENT
from ebpf.abi.types import MapType, ProgramType
from ebpf.vm.maps import ArrayMap, ArrayOfMapsMap, HashOfMapsMap, MapShape, ProgramArrayMap

TEMPLATE = MapShape(MapType.ARRAY, 4, 4, 1)


def array(number: int) -> ArrayMap:
    map_ = ArrayMap(TEMPLATE)
    map_.id = number
    return map_


def counted(map_: Any) -> dict[int, int]:
    counts: dict[int, int] = {}

    def change(held: Any, by: int) -> None:
        counts[held.id] = counts.get(held.id, 0) + by

    map_.retain = lambda held: change(held, 1)
    map_.release = lambda held: change(held, -1)
    return counts


@pytest.mark.parametrize("kind", [ArrayOfMapsMap, HashOfMapsMap])
def test_references(kind: type[ArrayOfMapsMap] | type[HashOfMapsMap]) -> None:
    type_ = MapType.ARRAY_OF_MAPS if kind is ArrayOfMapsMap else MapType.HASH_OF_MAPS
    map_ = kind(MapShape(type_, 4, 4, 2), template=TEMPLATE)
    counts = counted(map_)
    one, two = array(1), array(2)
    assert map_.hold(bytes(4), one) == 0
    assert map_.inner(bytes(4)) is one
    assert map_.read(bytes(4)) == bytes([1, 0, 0, 0])
    assert map_.hold(bytes(4), two) == 0
    assert counts == {1: 0, 2: 1}
    assert map_.delete(bytes(4)) == 0
    assert map_.delete(bytes(4)) == -ENOENT
    assert map_.inner(bytes(4)) is None
    map_.hold(bytes(4), one)
    map_.clear()
    assert counts == {1: 0, 2: 0}


def test_refused_object_is_let_go() -> None:
    map_ = HashOfMapsMap(MapShape(MapType.HASH_OF_MAPS, 4, 4, 1), template=TEMPLATE)
    counts = counted(map_)
    map_.hold(b"aaaa", array(1))
    assert map_.hold(b"aaaa", array(2), 1) == -EEXIST
    assert map_.hold(b"bbbb", array(3)) == -E2BIG
    assert counts == {1: 1, 2: 0, 3: 0}


def test_program_array_holds_one_type() -> None:
    map_ = ProgramArrayMap(MapShape(MapType.PROG_ARRAY, 4, 4, 2))
    assert map_.accepts(ProgramType.XDP)
    assert not map_.accepts(ProgramType.SCHED_CLS)
    held = SimpleNamespace(id=5, program=object())
    assert map_.hold(bytes(4), held, 1) == -EINVAL
    assert map_.hold(b"\2\0\0\0", held) == -E2BIG
    assert map_.hold(bytes(4), held) == 0
    assert map_.program(0) is held.program
    assert map_.program(1) is None
    assert map_.program(99) is None
