"""What a kernel tells about an object: OBJ_GET_INFO_BY_FD, asked and answered.

The answering side (`encode_info`, `answer_info`) is for runtimes that are kernels themselves.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ebpf.abi.linux import EFAULT
from ebpf.abi.linux.info import (
    BTF_INFO,
    LINK_DETAILS,
    LINK_INFO,
    LINK_INFO_SIZE,
    MAP_INFO,
    PERF_EVENT_DETAILS,
    PROG_INFO,
    InfoField,
    Layout,
)
from ebpf.abi.platform import Platform
from ebpf.abi.types import Cmd, LinkType, MapFlag, MapType, ProgramType
from ebpf.runtime.attrs import ObjInfo, text_of

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.runtime.base import Runtime
    from ebpf.runtime.handle import Handle

_CODES = {4: "I", 8: "Q"}
_STRING_ROOM = 4096
# Where compilers put the first bit-field of a u32.
_FIRST_BIT = 1 if sys.byteorder == "little" else 1 << 31
Value = int | str | bytes


@dataclass(frozen=True, slots=True)
class MapInfo:
    """A map as its kernel describes it; sizes in bytes, ids 0 where there is none."""

    type: MapType
    id: int
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: MapFlag
    map_extra: int
    ifindex: int
    btf_id: int
    btf_key_type_id: int
    btf_value_type_id: int
    btf_vmlinux_value_type_id: int


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """A program as its kernel describes it.

    `tag` is the kernel's hash of the instructions, `load_time` nanoseconds since boot, `run_time_ns` and `run_count`
    count while statistics are enabled. `arrays` holds what was asked for: raw bytes in this machine's byte order
    under the kernel's names (`xlated_prog_insns`, `func_info`, …), absent where the kernel does not show it.
    """

    type: ProgramType
    id: int
    name: str
    tag: bytes
    load_time: int
    uid: int
    gpl_compatible: bool
    ifindex: int
    btf_id: int
    attach_btf_obj_id: int
    attach_btf_id: int
    verified_insns: int
    xlated_size: int
    jited_size: int
    run_time_ns: int
    run_count: int
    recursion_misses: int
    map_ids: tuple[int, ...] = ()
    arrays: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class BtfInfo:
    """A loaded BTF object; `data` is its bytes where they were asked for, `kernel` says that it is the kernel's own."""

    id: int
    name: str
    size: int
    kernel: bool
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """A link; `details` are the members of its type under the kernel's names, strings as text."""

    type: LinkType
    id: int
    prog_id: int
    details: Mapping[str, Value] = field(default_factory=dict)


def map_info(runtime: Runtime, map_: Handle) -> MapInfo:
    """Ask what a map is."""
    info = _Question(runtime, map_, MAP_INFO).ask()
    return MapInfo(
        type=MapType.for_platform(_platform(runtime), info.number("type")),
        id=info.number("id"),
        name=info.text("name"),
        key_size=info.number("key_size"),
        value_size=info.number("value_size"),
        max_entries=info.number("max_entries"),
        flags=MapFlag(info.number("map_flags")),
        map_extra=info.number("map_extra"),
        ifindex=info.number("ifindex"),
        btf_id=info.number("btf_id"),
        btf_key_type_id=info.number("btf_key_type_id"),
        btf_value_type_id=info.number("btf_value_type_id"),
        btf_vmlinux_value_type_id=info.number("btf_vmlinux_value_type_id"),
    )


def program_info(runtime: Runtime, program: Handle, *, arrays: Iterable[str] = ()) -> ProgramInfo:
    """Ask what a program is; `arrays` names further arrays of the kernel's struct, `map_ids` always comes."""
    info = _Question(runtime, program, PROG_INFO).ask("map_ids", *arrays)
    maps = info.arrays.pop("map_ids", b"")
    return ProgramInfo(
        type=ProgramType.for_platform(_platform(runtime), info.number("type")),
        id=info.number("id"),
        name=info.text("name"),
        tag=info.raw("tag"),
        load_time=info.number("load_time"),
        uid=info.number("created_by_uid"),
        gpl_compatible=bool(info.number("gpl_compatible") & _FIRST_BIT),
        ifindex=info.number("ifindex"),
        btf_id=info.number("btf_id"),
        attach_btf_obj_id=info.number("attach_btf_obj_id"),
        attach_btf_id=info.number("attach_btf_id"),
        verified_insns=info.number("verified_insns"),
        xlated_size=info.number("xlated_prog_len"),
        jited_size=info.number("jited_prog_len"),
        run_time_ns=info.number("run_time_ns"),
        run_count=info.number("run_cnt"),
        recursion_misses=info.number("recursion_misses"),
        map_ids=struct.unpack(f"={len(maps) // 4}I", maps),
        arrays=info.arrays,
    )


def btf_info(runtime: Runtime, btf: Handle, *, data: bool = False) -> BtfInfo:
    """Ask what a BTF object is; with `data` its bytes come too."""
    info = _Question(runtime, btf, BTF_INFO).ask("name", *(("btf",) if data else ()))
    return BtfInfo(
        id=info.number("id"),
        name=text_of(info.arrays.get("name")),
        size=info.number("btf_size"),
        kernel=bool(info.number("kernel_btf")),
        data=info.arrays.get("btf", b""),
    )


def link_info(runtime: Runtime, link: Handle) -> LinkInfo:
    """Ask what a link is, and on what."""
    common = _Question(runtime, link, LINK_INFO, size=LINK_INFO_SIZE).ask()
    kind = LinkType.for_platform(_platform(runtime), common.number("type"))
    layout = LINK_DETAILS.get(kind, ())
    if kind == LinkType.PERF_EVENT:
        event = struct.unpack_from("=I", common.buffer, 16)[0]
        layout = PERF_EVENT_DETAILS.get(event, ("", ()))[1]
    details: dict[str, Value] = {}
    if layout:
        info = _Question(runtime, link, layout, size=LINK_INFO_SIZE).ask(*_pointers(layout))
        details = {entry.name: info.value(entry) for entry in layout}
    return LinkInfo(type=kind, id=common.number("id"), prog_id=common.number("prog_id"), details=details)


def encode_info(layout: Layout, values: Mapping[str, Value]) -> bytes:
    """Encode a struct in this machine's byte order: ints, text and bytes by name; what is not given is 0."""
    out = bytearray(max(entry.offset + entry.size for entry in layout))
    for entry in layout:
        value = values.get(entry.name)
        if value is None:
            continue
        if isinstance(value, int):
            struct.pack_into(f"={_CODES[entry.size]}", out, entry.offset, value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out[entry.offset : entry.offset + entry.size] = data[: entry.size].ljust(entry.size, b"\0")
    return bytes(out)


def answer_info(attr: ObjInfo, layout: Layout, values: Mapping[str, Value], arrays: Mapping[str, bytes]) -> int:
    """Fill the caller's buffers as a kernel does; return 0 or -errno.

    As much of the struct is copied as the caller has room for. Each array is copied up to the count the caller gave,
    then the count becomes the whole one. `info_len` becomes the length copied.
    """
    if attr.info is None or attr.info_len == 0:
        return -EFAULT
    room = memoryview(attr.info).cast("B")
    if room.readonly or room.nbytes < attr.info_len:
        return -EFAULT
    out = bytearray(encode_info(layout, values))
    asked = bytes(room[: attr.info_len]).ljust(len(out), b"\0")
    for entry in layout:
        if entry.kind in ("pointer", "string") and entry.name in arrays:
            _answer_array(attr, layout, entry, arrays[entry.name], asked, out)
    length = min(attr.info_len, len(out))
    room[:length] = out[:length]
    attr.info_len = length
    return 0


def _answer_array(attr: ObjInfo, layout: Layout, entry: InfoField, data: bytes, asked: bytes, out: bytearray) -> None:
    fields = {other.name: other for other in layout}
    item = entry.item if isinstance(entry.item, int) else _unpack(fields[entry.item], out)
    count = fields[entry.count]
    room = min(_unpack(count, asked) * max(item, 1), len(data))
    target = (attr.pointers or {}).get(entry.offset)
    if target is not None:
        view = memoryview(target).cast("B")
        room = min(room, view.nbytes)
        view[:room] = data[:room]
        # A pointer that stays set says that the array is there.
        out[entry.offset : entry.offset + 8] = b"\x01".ljust(8, b"\0")
    struct.pack_into(f"={_CODES[count.size]}", out, count.offset, len(data) // max(item, 1))


def _unpack(entry: InfoField, data: Buffer) -> int:
    number: int = struct.unpack_from(f"={_CODES[entry.size]}", data, entry.offset)[0]
    return number


def _pointers(layout: Layout) -> list[str]:
    return [entry.name for entry in layout if entry.kind in ("pointer", "string")]


def _platform(runtime: Runtime) -> Platform:
    return Platform.WINDOWS if runtime.personality == "windows" else Platform.LINUX


class _Question:
    """One struct asked for, twice where arrays are wanted: once for their lengths, once with room for them."""

    def __init__(self, runtime: Runtime, handle: Handle, layout: Layout, *, size: int = 0) -> None:
        self._runtime, self._handle, self._layout = runtime, handle, layout
        self._fields = {entry.name: entry for entry in layout}
        self._size = size or max(entry.offset + entry.size for entry in layout)
        self.buffer = bytearray(self._size)
        self.arrays: dict[str, bytes] = {}

    def ask(self, *arrays: str) -> _Question:
        self._call({})
        wanted = [self._fields[name] for name in dict.fromkeys(arrays)]
        rooms = {entry: bytearray(self._room(entry)) for entry in wanted}
        rooms = {entry: room for entry, room in rooms.items() if room}
        if not rooms:
            return self
        first, self.buffer = self.buffer, bytearray(self._size)
        for entry, room in rooms.items():
            self._announce(entry, room, first)
        self._call({entry.offset: room for entry, room in rooms.items()})
        for entry, room in rooms.items():
            # The kernel clears the pointer of what this user may not see.
            if any(self.buffer[entry.offset : entry.offset + 8]):
                self.arrays[entry.name] = bytes(room[: self._length(entry)])
        return self

    def _call(self, pointers: dict[int, Buffer]) -> None:
        with self._handle.borrow() as fd:
            attr = ObjInfo(bpf_fd=fd, info=self.buffer, info_len=self._size, pointers=pointers or None)
            self._runtime.bpf(Cmd.OBJ_GET_INFO_BY_FD, attr)

    def _room(self, entry: InfoField) -> int:
        # Some kernels say how long a string is only when they have copied it.
        return _STRING_ROOM if entry.kind == "string" else self._length(entry)

    def _item(self, entry: InfoField) -> int:
        return entry.item if isinstance(entry.item, int) else self.number(entry.item)

    def _length(self, entry: InfoField) -> int:
        return self.number(entry.count) * self._item(entry)

    def _announce(self, entry: InfoField, room: bytearray, first: bytearray) -> None:
        """Write how much room there is, and the size of an element as the kernel gave it."""
        item = 1
        if isinstance(entry.item, str):
            size = self._fields[entry.item]
            item = _unpack(size, first)
            struct.pack_into("=I", self.buffer, size.offset, item)
        else:
            item = entry.item
        struct.pack_into("=I", self.buffer, self._fields[entry.count].offset, len(room) // item)

    def number(self, name: str) -> int:
        return _unpack(self._fields[name], self.buffer)

    def raw(self, name: str) -> bytes:
        entry = self._fields[name]
        return bytes(self.buffer[entry.offset : entry.offset + entry.size])

    def text(self, name: str) -> str:
        return text_of(self.raw(name))

    def value(self, entry: InfoField) -> Value:
        if entry.kind == "int":
            return self.number(entry.name)
        found = self.arrays.get(entry.name, b"")
        return text_of(found) if entry.kind == "string" else found
