"""Maps in maps of maps: found by native code, at the addresses that the reference engine gives them."""

from __future__ import annotations

from typing import cast

import pytest

from ebpf.abi.types import MapType
from ebpf.errors import ProgramFault
from ebpf.vm.engines import choose_engine
from ebpf.vm.kernel import Kernel
from ebpf.vm.machine import Run
from ebpf.vm.maps import ArrayOfMapsMap, HashOfMapsMap, Map, MapShape, create_map
from ebpf.vm.maps.storage import VARIABLE
from tests.unit.vm.bench import StillKernel
from tests.unit.vm.maps.programs import key, load, run

INNER = MapShape(MapType.ARRAY, 4, 8, 2, name="inner")
OUTER = (MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS)
LOOK_UP = """
*(u32 *)(r10 - 4) = {key}
r2 = r10
r2 += -4
r1 = map_fd[1] ll
call bpf_map_lookup_elem
"""
INSIDE = """
if r0 == 0 goto out
*(u32 *)(r10 - 8) = 1
r2 = r10
r2 += -8
r1 = r0
call bpf_map_lookup_elem
if r0 == 0 goto out
r0 = *(u64 *)(r0 + 0)
out: exit
"""


pytestmark = pytest.mark.usefixtures("native_maps")


def make(type_: MapType) -> ArrayOfMapsMap | HashOfMapsMap:
    outer = create_map(MapShape(type_, 4, 4, 4, name="outer"), template=INNER)
    assert isinstance(outer, ArrayOfMapsMap | HashOfMapsMap)
    return outer


def inner(value: int) -> Map:
    map_ = create_map(INNER)
    map_.write(key(1), value.to_bytes(8, "little"))
    return map_


@pytest.mark.parametrize("type_", OUTER)
def test_values_of_inner_maps(type_: MapType, engine: str) -> None:
    outer = make(type_)
    assert outer.storage_kind == "native"
    outer.hold(key(0), inner(5))
    outer.hold(key(2), inner(7))
    programs = [load(LOOK_UP.format(key=number) + INSIDE, outer) for number in range(5)]
    assert [run(program, engine) for program in programs] == [5, 0, 7, 0, 0]
    outer.hold(key(2), inner(8))
    outer.hold(key(1), inner(9))
    outer.delete(key(0))
    assert [run(program, engine) for program in programs] == [0, 9, 8, 0, 0]
    outer.clear()
    assert [run(program, engine) for program in programs] == [0] * 5


@pytest.mark.parametrize("type_", OUTER)
def test_the_engines_see_the_same_addresses(type_: MapType) -> None:
    outer = make(type_)
    for number in range(4):
        outer.hold(key(number), inner(number))
    programs = [load(LOOK_UP.format(key=number) + "exit", outer) for number in range(4)]
    seen = [run(program, "reference") for program in programs]
    assert [run(program, "interpreter") for program in programs] == seen
    assert len(set(seen)) == 4


@pytest.mark.parametrize("type_", OUTER)
def test_inner_maps_in_python_storage(type_: MapType, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outer = make(type_)
    monkeypatch.setenv(VARIABLE, "python")
    outer.hold(key(1), inner(6))
    assert run(load(LOOK_UP.format(key=1) + INSIDE, outer), engine) == 6


@pytest.mark.parametrize("type_", OUTER)
def test_where_maps_are_is_not_shown(type_: MapType, engine: str) -> None:
    outer = make(type_)
    outer.hold(key(1), inner(6))
    first_value = "r1 = map_fd[1] ll\nr2 = 1\nr2 <<= 62\nr1 -= r2\nr0 = *(u8 *)(r1 + 8)\nexit"
    for text in (first_value, LOOK_UP.format(key=1) + "r0 = *(u8 *)(r0 + 0)\nexit"):
        with pytest.raises(ProgramFault) as caught:
            run(load(text, outer), engine)
        assert caught.value.kind == "memory"


def test_a_run_keeps_what_it_found(engine: str) -> None:
    # The inner map goes away while the program that found it asks Python for the time.
    outer = make(MapType.ARRAY_OF_MAPS)
    outer.hold(key(1), inner(6))

    class Careless(StillKernel):
        def ktime_ns(self) -> int:
            outer.delete(key(1))
            return super().ktime_ns()

    text = LOOK_UP.format(key=1) + "r6 = r0\ncall bpf_ktime_get_ns\nr0 = r6\n" + INSIDE
    instance = Run(load(text, outer), cast("Kernel", Careless()))
    assert choose_engine(engine).execute(instance, 0) == 6
    assert run(load(text, outer), engine) == 0


def test_known_maps_are_found_without_python(monkeypatch: pytest.MonkeyPatch) -> None:
    outer = make(MapType.HASH_OF_MAPS)
    outer.hold(key(1), inner(6))
    program = load(LOOK_UP.format(key=1) + INSIDE, outer)
    monkeypatch.setattr("ebpf.vm.machine.call_kernel_helper", pytest.fail)
    assert run(program, "interpreter") == 6
