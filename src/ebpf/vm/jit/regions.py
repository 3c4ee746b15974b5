"""The regions that a function accesses: their bounds in SSA values, and where the values of maps are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ebpf.vm import native
from ebpf.vm.jit import maps
from ebpf.vm.jit.origins import Origin, Region
from ebpf.vm.jit.state import REGION_DATA, REGION_READ, REGION_WRITE, member
from ebpf.vm.machine import STACK_SIZE

if TYPE_CHECKING:
    from ebpf.vm.jit.access import Access
    from ebpf.vm.jit.module import ModuleCompiler
    from ebpf.vm.jit.origins import Found
    from ebpf.vm.jit.writer import Writer
    from ebpf.vm.maps import Map

_WORDS = {Region.CONTEXT: native.CONTEXT, Region.PACKET: native.PACKET}
_VARIABLES = ("first", "data", "read", "write")


@dataclass(frozen=True, slots=True)
class Bounds:
    """SSA values: a region's lowest address, and where it is in the host."""

    first: str
    data: str


class Regions:
    """What one function knows of regions, and has to load for that when it begins. `origins` are that function's.

    It does not know the function's compiler, which knows it: a cycle would hold the program until the collector runs.
    """

    def __init__(self, module: ModuleCompiler, origins: Found, writer: Writer) -> None:
        self._module = module
        self._origins = origins
        self._writer = writer
        self._needs: dict[str, None] = {}
        self._maps: set[int] = set()
        self._hashes: set[int] = set()
        self._used: set[Region] = set()

    def may_access(self, origin: Origin, access: Access) -> bool:
        """Tell whether an origin is a map's value that programs may access like that."""
        map_ = self.value_map(origin)
        if map_ is None:
            return False
        return (map_.program_readable or not access.reads) and (map_.program_writable or not access.writes)

    def is_verified(self, at: int, access: Access, origin: Origin) -> bool:
        """Tell whether the program has compared the packet's end with what it accesses before it gets here."""
        if origin.region is not Region.PACKET or origin.exact is None or origin.exact + access.offset < 0:
            return False
        end = origin.exact + access.offset + access.size
        return end <= self._origins.verified[at] and (not access.writes or self._module.packet_writable)

    def map_word(self, index: int, word: int) -> str:
        """Return a word of the reference to a map in native storage."""
        self._maps.add(index)
        return f"%map{index}.{word}"

    def map_tables(self, index: int) -> list[str]:
        """Return the words maps.TABLES of a hash table in native storage."""
        self._maps.add(index)
        self._hashes.add(index)
        return [f"%map{index}.{member_name}" for member_name in maps.TABLES]

    def map_values(self, index: int) -> str:
        """Return where the values of a map in native storage are."""
        self._maps.add(index)
        return f"%map{index}.values"

    def keep_element(self, at: int, found: str, address: str, host: str) -> None:
        """Remember what the look-up at `at` has found: nothing has no room, wherever a program goes from null."""
        size = self._writer.value(f"select i1 {found}, i64 {self._element_map(at).value_size}, i64 0")
        self._writer.line(f"store i64 {address}, ptr %element{at}.first")
        self._writer.line(f"store ptr {host}, ptr %element{at}.data")
        self._writer.line(f"store i64 {size}, ptr %element{at}.size")
        self._forget((Region.ELEMENT, at))

    def _element_map(self, at: int) -> Map:
        return self._module.program.maps[self._origins.lookups[at][0]]

    def value_map(self, origin: Origin) -> Map | None:
        """Return the map whose value an origin is, where the code knows where that is; else None."""
        if origin.region is Region.ELEMENT:
            return self._element_map(origin.which)
        if origin.region is not Region.DATA:
            return None
        map_ = self._module.program.maps[origin.which]
        return None if map_.native is None else map_

    def bounds(self, origin: Origin) -> Bounds:
        """Return where the region of an origin is now."""
        region = origin.region
        if region is Region.STACK:
            return Bounds("%stack.first", "%stack")
        if region is Region.DATA:
            return Bounds(self.map_word(origin.which, native.REFERENCE_FIRST), self.map_values(origin.which))
        if region is Region.ELEMENT:
            first = self._writer.value(f"load i64, ptr %element{origin.which}.first")
            return Bounds(first, self._writer.value(f"load ptr, ptr %element{origin.which}.data"))
        self._used.add(region)
        name = region.value
        if not self._module.moves_packet or region is Region.CONTEXT:
            return Bounds(f"%{name}.first", f"%{name}.data")
        first = self._writer.value(f"load i64, ptr %{name}.first.v")
        return Bounds(first, self._writer.value(f"load ptr, ptr %{name}.data.v"))

    def room(self, origin: Origin, span: int, *, write: bool) -> str:
        """Return below which distance from the region's start an access of `span` bytes has to begin."""
        region, map_ = origin.region, self.value_map(origin)
        if region is Region.STACK or map_ is not None:
            if region is Region.ELEMENT:
                found = self._writer.value(f"load i64, ptr %element{origin.which}.size")
                return self._writer.value(f"call i64 @llvm.usub.sat.i64(i64 {found}, i64 {span - 1})")
            size = STACK_SIZE if map_ is None else map_.value_size
            return str(max(size - span + 1, 0))
        name = f"%{region.value}.{'write' if write else 'read'}"
        if self._module.moves_packet and region is Region.PACKET:
            now = self._writer.value(f"load i64, ptr {name}.v")
            return self._writer.value(f"call i64 @llvm.usub.sat.i64(i64 {now}, i64 {span - 1})")
        self._needs[f"{name}.{span} = call i64 @llvm.usub.sat.i64(i64 {name}, i64 {span - 1})"] = None
        return f"{name}.{span}"

    def forget_packet(self) -> None:
        """Take note that the packet may have moved."""
        self._forget((Region.PACKET, 0))

    def _forget(self, place: tuple[Region, int]) -> None:
        values = self._writer.values
        values.proven = {key: known for key, known in values.proven.items() if key[1] != place}
        values.distances = {key: known for key, known in values.distances.items() if key[1] != place}

    def _current(self) -> Iterator[str]:
        for region in sorted(self._used, key=lambda region: region.value):
            name = f"%{region.value}"
            yield f"{name}.p = getelementptr i8, ptr %m, i64 {member(_WORDS[region])}"
            if region is Region.PACKET and self._module.moves_packet:
                yield from (f"{name}.{v}.v = alloca {'ptr' if v == 'data' else 'i64'}" for v in _VARIABLES)
                yield from self.load_bounds(region, "")
                yield from self.keep_bounds(region, "")
            else:
                yield from self.load_bounds(region, "")

    def load_bounds(self, region: Region, suffix: str) -> Iterator[str]:
        """Return the lines that load a region's bounds from the machine into values with a suffix."""
        name, new = f"%{region.value}", f"%{region.value}{suffix}"
        yield f"{new}.place = load ptr, ptr {name}.p"
        yield f"{new}.first = load i64, ptr {new}.place"
        for member_name, offset in (("data", REGION_DATA), ("read", REGION_READ), ("write", REGION_WRITE)):
            yield f"{new}.{member_name}.p = getelementptr i8, ptr {new}.place, i64 {offset}"
        yield f"{new}.data = load ptr, ptr {new}.data.p"
        for member_name in ("read", "write"):
            yield f"{new}.{member_name}.n = load i32, ptr {new}.{member_name}.p"
            yield f"{new}.{member_name} = zext i32 {new}.{member_name}.n to i64"

    def keep_bounds(self, region: Region, suffix: str) -> Iterator[str]:
        """Return the lines that store loaded bounds into their variables."""
        for variable in _VARIABLES:
            kind = "ptr" if variable == "data" else "i64"
            yield f"store {kind} %{region.value}{suffix}.{variable}, ptr %{region.value}.{variable}.v"

    def moved(self) -> None:
        """Write the reloading of the packet's bounds after something that may have moved it."""
        if self._module.moves_packet:
            self._used.add(Region.PACKET)
            suffix = f".{self._writer.label('again')}"
            self._writer.lines.extend(self.load_bounds(Region.PACKET, suffix))
            self._writer.lines.extend(self.keep_bounds(Region.PACKET, suffix))
            self.forget_packet()

    def prologue(self) -> Iterator[str]:
        """Return the lines at the beginning of the function."""
        for at in self._origins.lookups:
            yield f"%element{at}.first = alloca i64"
            yield f"%element{at}.data = alloca ptr"
            yield f"%element{at}.size = alloca i64"
            yield f"store i64 0, ptr %element{at}.first"
            yield f"store ptr null, ptr %element{at}.data"
            yield f"store i64 0, ptr %element{at}.size"
        yield from maps.pointers(sorted(self._maps), self._hashes)
        yield from self._current()
        yield from self._needs
