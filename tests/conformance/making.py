"""Maps and programs of one runtime, made by bpf() alone."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from ebpf.abi.types import AttachType, Cmd, MapFlag, MapType, ProgramType
from ebpf.asm import Insn, Instructions
from ebpf.runtime import MapFacts, ProgramFacts, Runtime
from ebpf.runtime.attrs import MapCreate, ProgLoad

RETURN_ZERO = "r0 = 0\nexit"


@contextmanager
def a_map(
    runtime: Runtime,
    kind: MapType = MapType.HASH,
    *,
    key_size: int = 4,
    value_size: int = 8,
    max_entries: int = 16,
    flags: MapFlag = MapFlag(0),  # noqa: B008 - a flag is an immutable int
    inner: int = 0,
) -> Iterator[MapFacts]:
    """Make a map and close it."""
    attr = MapCreate(
        map_type=kind, key_size=key_size, value_size=value_size, max_entries=max_entries, map_flags=flags,
        map_name=b"test", inner_map_fd=inner,
    )  # fmt: skip
    handle = runtime.own(runtime.bpf(Cmd.MAP_CREATE, attr))
    try:
        yield MapFacts(handle, kind, key_size, value_size, max_entries, flags)
    finally:
        handle.close()


def code(text: str, fds: tuple[int, ...] = ()) -> bytes:
    """Assemble; the immediate of the nth ldimm64 becomes the nth map's descriptor."""
    numbers = iter(fds)
    insns = [
        Insn(0x18, insn.dst, 1, 0, next(numbers)) if insn.opcode == 0x18 else insn
        for insn in Instructions.from_asm(text)
    ]
    return Instructions(insns).encode()


@contextmanager
def a_program(
    runtime: Runtime,
    text: str = RETURN_ZERO,
    *,
    kind: ProgramType = ProgramType.SOCKET_FILTER,
    maps: tuple[MapFacts, ...] = (),
    attach_type: AttachType | int = 0,
    flags: int = 0,
) -> Iterator[ProgramFacts]:
    """Load a program and close it."""
    fds = tuple(map_.handle._borrowed.number for map_ in maps)
    insns = code(text, fds)
    attr = ProgLoad(
        prog_type=kind, insns=insns, insn_cnt=len(insns) // 8, license=b"GPL", prog_name=b"test",
        expected_attach_type=attach_type, prog_flags=flags,
    )  # fmt: skip
    handle = runtime.own(runtime.bpf(Cmd.PROG_LOAD, attr))
    try:
        yield ProgramFacts(handle, kind, "test")
    finally:
        handle.close()


def u32(number: int) -> bytes:
    return struct.pack("=I", number)


def u64(number: int) -> bytes:
    return struct.pack("=Q", number)
