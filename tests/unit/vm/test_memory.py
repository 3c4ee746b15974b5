"""The address space of a run: regions, permissions, and the faults of everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.abi.types import MapFlag, MapType
from ebpf.vm.fault import Fault
from ebpf.vm.maps import MapShape, create_map
from ebpf.vm.memory import PLACES, AddressSpace


def test_load_and_store_are_little_endian() -> None:
    memory = AddressSpace()
    data = bytearray(8)
    at = memory.add(data, "data")
    memory.store(at + 1, 4, 0x1_2345_6789)
    assert data == bytes.fromhex("0089674523000000")
    assert [memory.load(at + 1, size) for size in (1, 2, 4)] == [0x89, 0x6789, 0x23456789]
    memory.view(at, 2, write=True)[:] = b"ab"
    assert data[:2] == b"ab"


@given(st.integers(0, 20), st.integers(0, 20), st.integers(-30, 30), st.sampled_from([1, 2, 4, 8]))
def test_only_the_window_is_accessible(start: int, length: int, offset: int, size: int) -> None:
    memory = AddressSpace()
    memory.add(bytearray(40), "before")
    at = memory.add(bytearray(40), "packet")
    memory.limit(at, start, start + length)
    if start <= offset and offset + size <= start + length:
        assert memory.load(at + offset, size) == 0
        assert len(memory.view(at + offset, size)) == size
        return
    for access in (memory.load, memory.view, lambda a, s: memory.store(a, s, 1)):
        with pytest.raises(Fault) as caught:
            access(at + offset, size)
        assert caught.value.kind == "memory"
        assert caught.value.address == at + offset


def test_addresses_never_lead_into_a_neighbour() -> None:
    memory = AddressSpace()
    first, second = memory.add(bytearray(16), "first"), memory.add(bytearray(16), "second")
    for address in (first - 1, first + 16, second - 1, second + 16, 0, 8, 1 << 63):
        with pytest.raises(Fault, match=f"{address:#x}"):
            memory.load(address, 1)


def test_null_pointer_is_named() -> None:
    with pytest.raises(Fault, match="a null pointer"):
        AddressSpace().load(16, 4)


def test_permissions() -> None:
    memory = AddressSpace()
    fixed, given_ = memory.add(b"abcd", "bytes"), memory.add(bytearray(4), "buffer", writable=False)
    hidden = memory.add(bytearray(4), "output", readable=False)
    for at in (fixed, given_):
        memory.load(at, 4)
        with pytest.raises(Fault, match="is r-"):
            memory.store(at, 4, 0)
        with pytest.raises(Fault, match="is r-"):
            memory.view(at, 4, write=True)
    memory.store(hidden, 4, 7)
    with pytest.raises(Fault, match="output is -w"):
        memory.load(hidden, 4)


def test_removed_regions_are_not_found_again() -> None:
    memory = AddressSpace()
    old = memory.add(bytearray(8), "old")
    memory.remove(old)
    new = memory.add(bytearray(8), "new")
    assert new != old
    with pytest.raises(Fault, match="no region"):
        memory.load(old, 8)


@pytest.mark.parametrize(
    ("flag", "permissions"), [(MapFlag(0), "rw"), (MapFlag.RDONLY_PROG, "r-"), (MapFlag.WRONLY_PROG, "-w")]
)
def test_map_values(flag: MapFlag, permissions: str) -> None:
    map_ = create_map(MapShape(MapType.ARRAY, 4, 8, 2, int(flag), name="m"))
    views = [map_.lookup(key.to_bytes(4, "little"), 0) for key in (0, 1)]
    memory = AddressSpace()
    addresses = [memory.value(view, map_) for view in views if view is not None]
    assert addresses[0] != addresses[1]
    assert memory.value(map_.lookup(bytes(4), 0), map_) == addresses[0]
    assert memory.region(addresses[0]).permissions == permissions


def test_kernel_objects_are_opaque() -> None:
    memory = AddressSpace()
    thing = object()
    at = memory.object(thing, "thing")
    assert memory.object(thing, "thing") == at
    assert memory.object_at(at) is thing
    with pytest.raises(Fault):
        memory.load(at, 1)
    for other in (at + 1, memory.add(bytearray(4), "data"), 0):
        with pytest.raises(Fault, match="not the address of a kernel object"):
            memory.object_at(other)


def test_remaining_and_describe() -> None:
    memory = AddressSpace()
    at = memory.add(bytearray(16), "packet")
    memory.limit(at, 4, 10)
    assert [memory.remaining(at + offset) for offset in (3, 4, 9, 10, 1 << 40)] == [0, 6, 1, 0, 0]
    assert memory.describe() == ["0x100000004-0x10000000a rw packet"]
    with pytest.raises(ValueError, match="outside the 16 bytes"):
        memory.limit(at, 4, 17)


def test_numbers_skip_places_that_are_taken() -> None:
    memory = AddressSpace()
    kept = memory.add(bytearray(8), "kept")
    for _ in range(PLACES - 1):
        memory.remove(memory.add(bytearray(8), "passing"))
    # The next in line would stand where the first one still is.
    assert memory.next_number & PLACES - 1 == kept >> 32
    assert memory.add(bytearray(8), "new") >> 32 == PLACES + 2


def test_places_are_at_least_twice_the_regions() -> None:
    memory = AddressSpace()
    addresses = [memory.add(bytearray(8), "region") for _ in range(5 * PLACES)]
    assert [address >> 32 for address in addresses] == list(range(1, 5 * PLACES + 1))
    assert memory.places == 16 * PLACES
