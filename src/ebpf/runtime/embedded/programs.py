"""PROG_LOAD (kernel/bpf/syscall.c bpf_prog_load)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

from ebpf.abi import types
from ebpf.abi.linux import E2BIG, EFAULT, EINVAL
from ebpf.abi.linux.contexts import PLAIN_CONTEXTS, TRANSLATED
from ebpf.abi.types import ProgramType
from ebpf.errors import BtfError
from ebpf.runtime.attrs import text_of
from ebpf.runtime.embedded.buffers import object_name, take
from ebpf.runtime.embedded.objects import BtfObject, KernelObject, MapObject, ProgramObject
from ebpf.vm.fault import Rejected
from ebpf.vm.lower import MAX_MAPS
from ebpf.vm.program import LoadRequest, Log, Program, load_program

if TYPE_CHECKING:
    from ebpf.btf import Btf
    from ebpf.runtime.attrs import ProgLoad
    from ebpf.runtime.embedded.state import State
    from ebpf.vm.maps import Map

_KNOWN_FLAGS = 0xFF
"""Those that ProgramFlag names."""
_ATTACH_TYPES = {ProgramType.CGROUP_SKB: frozenset({0, 1}), ProgramType.SYSCALL: frozenset({0})}
"""What bpf_prog_load_check_attach allows (0 and 1: CGROUP_INET_INGRESS, CGROUP_INET_EGRESS); other types take anything.
"""
_MAX_RECORD = 252
_MAX_ARRAY = 0xFFFFFFFF // 4
_FUNC_INFO = 8
_LINE_INFO = 16


class ProgramCommands:
    """Loading programs."""

    def __init__(self, state: State) -> None:
        self._state = state

    def load(self, attr: ProgLoad) -> int:
        """PROG_LOAD."""
        kind = self._check(attr)
        if attr.log_level or attr.log_size or attr.log_buf is not None:
            obj = self._load_with_log(attr, kind)
        else:
            attr.log_true_size = 0
            obj = self._load(attr, kind, _no_log)
        self._state.registry.add(obj)
        return self._state.open_new(obj)

    def _load_with_log(self, attr: ProgLoad, kind: ProgramType) -> ProgramObject:
        from ebpf.runtime.embedded.log import LoadLog

        log = LoadLog(attr.log_level, attr.log_size, attr.log_buf)
        try:
            obj = self._load(attr, kind, log.add)
            refusal = None
        except Rejected as error:
            obj, refusal = None, error
        log.add(f"processed {attr.insn_cnt} insns (limit {self._state.limits.insns})")
        attr.log_true_size, full = log.finish()
        if full is not None and obj is not None:
            self._state.registry.end(obj)
        if full is not None or obj is None:
            raise full or refusal  # type: ignore[misc]  # one of them is set
        return obj

    def _check(self, attr: ProgLoad) -> ProgramType:
        kind = ProgramType(attr.number("prog_type", runtime="embedded"))
        attach = attr.number("expected_attach_type", runtime="embedded")
        if attr.prog_flags & ~_KNOWN_FLAGS:
            raise Rejected(EINVAL, f"prog_flags {attr.prog_flags:#x} are not known")
        if attr.license is None:
            raise Rejected(EFAULT, "the license is missing")
        if not 0 < attr.insn_cnt <= self._state.limits.insns:
            raise Rejected(E2BIG, f"a program has 1 to {self._state.limits.insns} instructions, not {attr.insn_cnt}")
        if attach not in _ATTACH_TYPES.get(kind, frozenset({attach})):
            raise Rejected(EINVAL, f"a {kind.label} program can't be loaded for {types.AttachType(attach).name}")
        if attr.prog_ifindex:
            raise Rejected(EINVAL, "there are no devices to offload programs to")
        if kind not in TRANSLATED and kind not in PLAIN_CONTEXTS:
            raise Rejected(EINVAL, f"the embedded kernel has no programs of type {kind.label}")
        return kind

    def _load(self, attr: ProgLoad, kind: ProgramType, log: Log) -> ProgramObject:
        name = object_name(attr.prog_name)
        insns = take(attr.insns, attr.insn_cnt * 8, "insns")
        btf = self._types(attr)
        func_info = _records(attr.func_info, attr.func_info_cnt, attr.func_info_rec_size, _FUNC_INFO, "func_info")
        line_info = _records(attr.line_info, attr.line_info_cnt, attr.line_info_rec_size, _LINE_INFO, "line_info")
        _check_order(line_info, attr.insn_cnt)
        attach = attr.number("expected_attach_type", runtime="embedded")
        counted = self._counted(attr)
        request = LoadRequest(
            type=kind,
            insns=insns,
            attach_type=types.AttachType(attach) if attach or kind in _ATTACH_TYPES else None,
            license=text_of(attr.license),
            flags=attr.prog_flags,
            name=name,
            map_by_fd=self._map,
            map_by_index=lambda index: self._map_at(attr, index),
            source_line=_source_lines(btf.btf, line_info) if btf is not None else _no_source,
            limit=self._state.limits.insns,
        )
        program = load_program(request, log)
        self._check_arrays(program)
        obj = ProgramObject(program, holds=self._held(program, counted, btf))
        obj.btf, obj.func_info, obj.line_info = btf, func_info, line_info
        obj.load_time = self._state.boot_ns()
        obj.uid = self._state.uid_gid() & 0xFFFFFFFF
        return obj

    def _types(self, attr: ProgLoad) -> BtfObject | None:
        if not attr.func_info_cnt and not attr.line_info_cnt:
            return None
        if not attr.prog_btf_fd:
            raise Rejected(EINVAL, "func_info and line_info need prog_btf_fd")
        return self._state.handles.btf(attr.prog_btf_fd)

    def _map(self, number: int) -> Map | None:
        try:
            return self._state.handles.map_file(number)[1].map
        except Rejected:
            return None

    def _map_at(self, attr: ProgLoad, index: int) -> Map | None:
        entry = _entry(attr, index)
        return None if entry is None else self._map(entry)

    def _counted(self, attr: ProgLoad) -> list[KernelObject]:
        """Return the maps and types of an fd_array whose length is given (process_fd_array)."""
        if attr.fd_array_cnt >= _MAX_ARRAY:
            raise Rejected(EINVAL, f"fd_array_cnt is too big ({attr.fd_array_cnt})")
        found: dict[KernelObject, None] = {}
        maps = 0
        for index in range(attr.fd_array_cnt):
            number = _entry(attr, index)
            if number is None:
                raise Rejected(EFAULT, "fd_array is missing or shorter than fd_array_cnt")
            obj = self._state.handles.file(number).obj
            if not isinstance(obj, MapObject | BtfObject):
                raise Rejected(EINVAL, f"fd {number} is not pointing to valid bpf_map or btf")
            maps += obj not in found and isinstance(obj, MapObject)
            if maps > MAX_MAPS:
                raise Rejected(E2BIG, f"The total number of maps per program has reached the limit of {MAX_MAPS}")
            found[obj] = None
        return list(found)

    def _check_arrays(self, program: Program) -> None:
        if all(map_.type is not types.MapType.PROG_ARRAY for map_ in program.maps):
            return
        from ebpf.vm.maps import ProgramArrayMap

        for map_ in program.maps:
            if isinstance(map_, ProgramArrayMap) and not map_.accepts(program.type):
                raise Rejected(EINVAL, f"{map_!r} holds programs of another type than {program.type.label}")

    def _held(self, program: Program, counted: list[KernelObject], btf: BtfObject | None) -> list[KernelObject]:
        """Retain what the program keeps alive: what fd_array counts, its maps, its types."""
        registry = self._state.registry
        used = [registry.find(MapObject, map_.id) for map_ in program.maps]
        held = list(dict.fromkeys([*counted, *(obj for obj in (*used, btf) if obj is not None)]))
        for obj in held:
            registry.retain(obj)
        return held


def _no_log(line: str) -> None:
    """Drop a line of the log."""


def _entry(attr: ProgLoad, index: int) -> int | None:
    """Return an entry of fd_array, None behind its end."""
    if attr.fd_array is None:
        return None
    entry = memoryview(attr.fd_array).cast("B")[index * 4 : index * 4 + 4]
    return int.from_bytes(entry, "little") if len(entry) == 4 else None


def _records(buffer: object, count: int, size: int, least: int, what: str) -> list[bytes]:
    """Cut func_info or line_info into records; what is beyond the part that this kernel knows must be zero."""
    if not count:
        return []
    if size < least or size > _MAX_RECORD or size % 4:
        raise Rejected(EINVAL, f"{what}_rec_size is {size}, expected {least} to {_MAX_RECORD}")
    data = take(buffer, count * size, what)  # type: ignore[arg-type]  # members of the record are buffers or None
    records = [data[at : at + size] for at in range(0, len(data), size)]
    if any(any(record[least:]) for record in records):
        raise Rejected(E2BIG, f"{what} has members that this kernel does not know")
    return [record[:least] for record in records]


def _check_order(line_info: list[bytes], insn_count: int) -> None:
    slots = [int.from_bytes(record[:4], "little") for record in line_info]
    if any(a >= b for a, b in pairwise(slots)) or any(slot >= insn_count for slot in slots):
        raise Rejected(EINVAL, "line_info is not in the order of the instructions")


def _source_lines(btf: Btf, line_info: list[bytes]) -> Callable[[int], str | None]:
    from bisect import bisect_right

    rows = [struct.unpack("=IIII", record) for record in line_info]
    slots = [row[0] for row in rows]

    def source(slot: int) -> str | None:
        at = bisect_right(slots, slot) - 1
        if at < 0:
            return None
        _, file, text, position = rows[at]
        try:
            return f"{btf.string(file)}:{position >> 10}: {btf.string(text).strip()}"
        except BtfError:
            return None

    return source


def _no_source(_slot: int) -> str | None:
    return None
