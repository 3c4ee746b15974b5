"""The 64-bit address space of one run: numbered regions, each access checked against its own.

An address is `region number << 32 | offset`. It never is an address of the host, so that a program can neither
learn nor forge one, and pointer arithmetic that leaves a region meets no other. Byte order is little-endian.
Values of maps in native storage are no regions: they have addresses of their own (ebpf.vm.values).
"""

from __future__ import annotations

import os
from struct import Struct
from typing import TYPE_CHECKING, Any

from ebpf.lean import RLock
from ebpf.vm.fault import Fault
from ebpf.vm.values import ADDRESS_BITS, NO_PLACES, Places

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.vm.maps.base import Map
    from ebpf.vm.mirror import Mirror

OFFSET_BITS = 32
OFFSET_MASK = (1 << OFFSET_BITS) - 1
MAX_REGIONS = 1 << 22
"""How many regions a run may have at a time: each map value that it looked up is one, and takes some 300 bytes."""
UNSIGNED = {1: Struct("<B"), 2: Struct("<H"), 4: Struct("<I"), 8: Struct("<Q")}
"""Size in bytes → how an unsigned integer of it lies in memory."""

PLACES = 64
"""Places for regions in a new address space; a power of two, and always at least twice the regions that there are."""

ATOMIC = RLock()
"""Held for one atomic instruction: runs on other virtual CPUs share map values."""

if hasattr(os, "register_at_fork"):
    # Whoever holds it must not be in the middle when the process forks: in the child nobody would let go of it.
    os.register_at_fork(before=ATOMIC.acquire, after_in_parent=ATOMIC.release, after_in_child=ATOMIC.release)


class Region:
    """A range of addresses. Only offsets from `start` to `end` (exclusive) are accessible.

    `map` is whose element it is: locks and constant strings live in map values only. Helpers can't use an `opaque` one
    as memory. The last `kept` bytes are the kernel's: programs can read them only.
    """

    __slots__ = ("data", "end", "kept", "map", "name", "object", "opaque", "readable", "start", "writable")

    def __init__(
        self,
        name: str,
        data: memoryview,
        start: int,
        end: int,
        readable: bool,
        writable: bool,
        object: Any = None,
        map: Map | None = None,
        *,
        opaque: bool = False,
        kept: int = 0,
    ) -> None:
        self.name, self.data = name, data
        self.start, self.end = start, end
        self.readable, self.writable = readable, writable
        self.object, self.map = object, map
        self.opaque, self.kept = opaque, kept

    def __repr__(self) -> str:
        return f"Region({self.name!r}, {self.start}..{self.end}, {self.permissions})"

    @property
    def permissions(self) -> str:
        """`rw`, `r-`, `-w` or `--`."""
        return ("r" if self.readable else "-") + ("w" if self.writable else "-")


def value_region(view: memoryview, map_: Map) -> Region:
    """Return the region of a map's element."""
    writable = map_.program_writable and not view.readonly
    return Region(f"value of {map_.name}", view, 0, len(view), map_.program_readable, writable, view, map_)


def object_region(obj: Any, name: str) -> Region:
    """Return the region that stands for a kernel object: an address, and nothing that is accessible."""
    return Region(name, memoryview(b""), 0, 0, False, False, obj)


class AddressSpace:
    """What one run can reach. Never shared by threads; keeps everything in it alive until it goes itself.

    Every method that takes an address raises Fault("memory") where the range is not accessible. Native code finds
    region n at place n modulo `places` of its table; so a new region has the lowest number not used before whose
    place is free, and `next_number` is where the search begins. The numbers are the same with every engine.

    `context` and `packet` are the numbers of the regions that are the program's context and its packet, 0 without one.
    """

    __slots__ = ("_numbers", "_taken", "context", "mirror", "native", "next_number", "packet", "places", "regions")

    def __init__(self) -> None:
        self.regions: dict[int, Region] = {}
        self._numbers: dict[int, int] = {}  # id of a map value's view or a kernel object → region number
        self._taken: set[int] = set()
        self.next_number = 1
        self.places = PLACES
        self.context = self.packet = 0
        self.native = NO_PLACES
        self.mirror: Mirror | None = None

    def add(
        self,
        data: Buffer,
        name: str,
        *,
        writable: bool = True,
        readable: bool = True,
        opaque: bool = False,
        kept: int = 0,
    ) -> int:
        """Make `data` a region and return its first address; a read-only buffer makes a read-only region.

        Helpers can't use an `opaque` one as memory. Programs can only read the last `kept` bytes.
        """
        view = memoryview(data).cast("B")
        writable = writable and not view.readonly
        region = Region(name, view, 0, len(view), readable, writable, opaque=opaque, kept=kept)
        return self._enter(region)

    def _enter(self, region: Region) -> int:
        self.make_room()
        number = self.next_number
        while number & self.places - 1 in self._taken:
            number += 1
        self.adopt(number, region)
        if self.mirror is not None:
            self.mirror.enter(number, region, self.next_number)
        return number << OFFSET_BITS

    def make_room(self) -> None:
        """See to it that one more region has a place. Raises Fault where there are too many, or no numbers left."""
        if len(self.regions) >= MAX_REGIONS:
            raise Fault(
                "memory", f"the run has more than {MAX_REGIONS} regions of memory, map values that it looked up"
            )
        if self.next_number > OFFSET_MASK - self.places:
            raise Fault("memory", "the run has used up the addresses for its regions")
        if 2 * (len(self.regions) + 1) > self.places:
            self.places *= 2
            self._taken = {number & self.places - 1 for number in self.regions}
            if self.mirror is not None:
                self.mirror.grow(self.places, self.regions)
                self.mirror.point(self.context, self.packet)

    def point(self, *, context: int = 0, packet: int = 0) -> None:
        """Say which regions are context and packet, by an address in them; 0 leaves it as it is."""
        self.context = context >> OFFSET_BITS or self.context
        self.packet = packet >> OFFSET_BITS or self.packet
        if self.mirror is not None:
            self.mirror.point(self.context, self.packet)

    def adopt(self, number: int, region: Region) -> None:
        """Take note of a region that is in the mirror already."""
        if region.object is not None:
            self._numbers[id(region.object)] = number
        self.regions[number] = region
        self._taken.add(number & self.places - 1)
        self.next_number = number + 1

    def disown(self, number: int) -> Region:
        """Forget a region that has left the mirror already."""
        region = self.regions.pop(number)
        self._taken.discard(number & self.places - 1)
        self._numbers.pop(id(region.object), None)
        if number == self.packet:
            self.packet = 0
            self.point()
        return region

    def remove(self, address: int) -> None:
        """Forget the region of `address`; its number is not used again, so that dangling pointers fault."""
        number = address >> OFFSET_BITS
        self.disown(number)
        if self.mirror is not None:
            self.mirror.leave(number)

    def discard(self, address: int) -> None:
        """Forget the region of `address` if there is one."""
        if address >> OFFSET_BITS in self.regions:
            self.remove(address)

    def limit(self, address: int, start: int, end: int) -> None:
        """Make only offsets `start` to `end` of a region accessible (head- and tailroom of a packet)."""
        region = self.region(address)
        if not 0 <= start <= end <= len(region.data):
            raise ValueError(f"window {start}..{end} lies outside the {len(region.data)} bytes of {region.name}")
        region.start, region.end = start, end
        if self.mirror is not None:
            self.mirror.enter(address >> OFFSET_BITS, region, self.next_number)

    def reach(self, places: Places) -> None:
        """Make the values of these maps accessible."""
        if self.native is places:
            return
        self.native = places if self.native is NO_PLACES else self.native.including(places.maps)
        if self.mirror is not None:
            self.mirror.reach(self.native)

    def value(self, view: memoryview, map_: Map) -> int:
        """Return the address of a map's element.

        It is the same during this run; where native storage has no numbers for values, as long as it is the same view.
        """
        storage = map_.native
        if storage is not None and storage.numbers:
            return self._including(map_).first(map_) + (storage.number_of(view) << storage.shift)
        number = self._numbers.get(id(view))
        if number is not None:
            return number << OFFSET_BITS
        return self._enter(value_region(view, map_))

    def object(self, obj: Any, name: str) -> int:
        """Return the address that stands for a kernel object; the program can pass it on, not look inside."""
        if getattr(obj, "native", None) is not None:  # a map, in native storage
            return self._including(obj).address(obj)
        number = self._numbers.get(id(obj))
        if number is not None:
            return number << OFFSET_BITS
        return self._enter(object_region(obj, name))

    def _including(self, map_: Map) -> Places:
        if map_ not in self.native:
            self.reach(self.native.including((map_,)))
        return self.native

    def object_at(self, address: int) -> Any:
        """Return the kernel object that `address` stands for."""
        map_ = self.native.map_at(address)
        if map_ is not None:
            return map_
        region = self.regions.get(address >> OFFSET_BITS)
        if region is None or region.object is None or region.data or address & OFFSET_MASK:
            raise Fault("memory", f"{address:#x} is not the address of a kernel object", address=address)
        return region.object

    def find(self, address: int) -> tuple[Region | None, int]:
        """Return region and offset of `address`, whatever the offset; a map's value in native storage is one, too."""
        region = self.regions.get(address >> OFFSET_BITS)
        if region is not None:
            return region, address & OFFSET_MASK
        value = self.native.find(address)
        if value is None:
            return self._native_object(address)
        map_, view = value.map, value.storage.view(value.number)
        name = f"value of {map_.name}"
        readable, writable = map_.program_readable, map_.program_writable
        return Region(name, view, 0, len(view), readable, writable, view, map_), value.offset

    def _native_object(self, address: int) -> tuple[Region | None, int]:
        offset = address & (1 << ADDRESS_BITS) - 1
        map_ = self.native.map_at(address - offset)
        return (None, 0) if map_ is None else (object_region(map_, f"map {map_.name}"), offset)

    def region(self, address: int) -> Region:
        """Return the region of `address`, whatever the offset."""
        return self._existing(address)[0]

    def _existing(self, address: int) -> tuple[Region, int]:
        region, offset = self.find(address)
        if region is None:
            raise Fault("memory", f"no region at {address:#x}{_hint(address)}", address=address)
        return region, offset

    def remaining(self, address: int) -> int:
        """Return how many bytes from `address` on are accessible, 0 if none (no fault)."""
        region, offset = self.find(address)
        return region.end - offset if region is not None and region.start <= offset < region.end else 0

    def view(self, address: int, size: int, *, write: bool = False) -> memoryview:
        """Return the live bytes of a range; `write` asks for permission to write them."""
        region, offset = self._existing(address)
        allowed, end = (region.writable, region.end - region.kept) if write else (region.readable, region.end)
        if not allowed or size < 0 or offset < region.start or offset + size > end:
            raise self.denied(address, size, write=write)
        return region.data[offset : offset + size]

    def load(self, address: int, size: int) -> int:
        """Read an unsigned integer of 1, 2, 4 or 8 bytes."""
        region, offset = self.find(address)
        if region is None or not region.readable or offset < region.start or offset + size > region.end:
            raise self.denied(address, size, write=False)
        value: int = UNSIGNED[size].unpack_from(region.data, offset)[0]
        return value

    def store(self, address: int, size: int, value: int) -> None:
        """Write the low 1, 2, 4 or 8 bytes of an unsigned integer."""
        region, offset = self.find(address)
        end = 0 if region is None else region.end - region.kept
        if region is None or not region.writable or offset < region.start or offset + size > end:
            raise self.denied(address, size, write=True)
        UNSIGNED[size].pack_into(region.data, offset, value & (1 << 8 * size) - 1)

    def denied(self, address: int, size: int, *, write: bool) -> Fault:
        """Return the fault that says why a range is not accessible."""
        region, offset = self.find(address)
        what = f"{'write' if write else 'read'} of {size} bytes at {address:#x}"
        if region is None:
            return Fault("memory", f"{what}: no region there{_hint(address)}", address=address)
        if offset < region.start or offset + size > region.end:
            inside = f"{region.name} has offsets {region.start}..{region.end}, the access {offset}..{offset + size}"
            return Fault("memory", f"{what}: {inside}", address=address)
        if write and region.writable:
            return Fault("memory", f"{what}: the last {region.kept} bytes of {region.name} are r-", address=address)
        return Fault("memory", f"{what}: {region.name} is {region.permissions}", address=address)

    def describe(self) -> list[str]:
        """Return one line per region and map in native storage: first and last address, permissions, name."""
        regions = [
            f"{(number << OFFSET_BITS) + region.start:#x}-{(number << OFFSET_BITS) + region.end:#x} "
            f"{region.permissions} {region.name}"
            for number, region in sorted(self.regions.items())
        ]
        return regions + self.native.describe()


def _hint(address: int) -> str:
    return " (a null pointer)" if address <= OFFSET_MASK else ""
