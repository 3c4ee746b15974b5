"""Program tags and legacy packet loads, as the kernel has them."""

from __future__ import annotations

import os
from typing import cast

import pytest

from ebpf.abi.linux.contexts import ContextField, layout_of
from ebpf.abi.types import MapType, ProgramType
from ebpf.vm import testrun
from ebpf.vm.engines import choose_engine
from ebpf.vm.kernel import Kernel
from ebpf.vm.maps import MapShape, create_map
from ebpf.vm.program import LoadRequest, load_program
from tests.isa.case import EXIT, slot, wide
from tests.linux.raw import array_map, loaded, program_tag, run_with_packet

pytestmark = pytest.mark.usefixtures("engine")

# Ethernet, IPv4 and UDP headers, then 22 bytes
PACKET = bytes.fromhex(
    "020000000002 020000000001 0800 4500003200010000401166b70a0000010a000002 04d2162e001e0000"
) + bytes(range(0x80, 0x96))


def run_here(code: bytes, type_: ProgramType) -> int:
    program = load_program(LoadRequest(type=type_, insns=code), print)
    request = testrun.TestRequest(data=PACKET, repeat=1)
    return testrun.test_run(
        program, cast("Kernel", None), request, on_cpu=0, cpus=1, budget=1000, engine=choose_engine()
    ).retval


def test_tag() -> None:
    code = slot(0xB7, imm=5) + wide(1, 0x9_0000_0003) + slot(0xB7) + EXIT
    with loaded(code, int(ProgramType.SOCKET_FILTER)) as fd:
        theirs = program_tag(fd)
    assert load_program(LoadRequest(type=ProgramType.SOCKET_FILTER, insns=code), print).tag == theirs


def test_tag_leaves_map_numbers_out() -> None:
    map_fd = array_map(16)
    code = slot(0x18, 1, 2, imm=map_fd) + slot(0, imm=8) + slot(0xB7) + EXIT
    try:
        with loaded(code, int(ProgramType.SOCKET_FILTER)) as fd:
            theirs = program_tag(fd)
    finally:
        os.close(map_fd)
    map_ = create_map(MapShape(MapType.ARRAY, 4, 16, 1))
    request = LoadRequest(type=ProgramType.SOCKET_FILTER, insns=code, map_by_fd={map_fd: map_}.get)
    assert load_program(request, print).tag == theirs


LEGACY = [0x30, 0x28, 0x20]
OFFSETS = [0, 1, 12, 14, 23, 40, 60, 61, 62, 63, 64, -1, -0x1000, -0x100000, -0xFFFF0, -0x100000 + 9, -0x100000 + 60]
OFFSETS += [-0x200000, -0x200000 + 12, -0x200000 + 70, -0x200001, 0x7FFFFFFF, -0x80000000]


@pytest.mark.parametrize("type_", [ProgramType.SOCKET_FILTER, ProgramType.SCHED_CLS], ids=lambda type_: type_.label)
@pytest.mark.parametrize("indirect", [False, True], ids=["abs", "ind"])
@pytest.mark.parametrize("opcode", LEGACY)
def test_legacy_loads(type_: ProgramType, indirect: bool, opcode: int) -> None:
    differ = []
    for offset in OFFSETS:
        # 0x55 tells a program that went on from one that ended; a function shows what it ends.
        load = slot(opcode, imm=offset)
        if indirect:
            load = slot(0xB7, 7, imm=offset - 3) + slot(opcode + 0x20, 0, 7, 0, 3)
        code = slot(0xBF, 6, 1) + load + slot(0x67, imm=8) + slot(0x47, imm=0x55) + EXIT
        with loaded(code, int(type_)) as fd:
            theirs = run_with_packet(fd, PACKET)
        ours = run_here(code, type_)
        if ours != theirs:
            differ.append((offset, hex(ours), hex(theirs)))
    assert not differ


WRITABLE = [
    (type_, field)
    for type_ in (ProgramType.SOCKET_FILTER, ProgramType.SCHED_CLS, ProgramType.CGROUP_SKB)
    for field in layout_of(type_).fields  # type: ignore[union-attr]  # these types have one
    if field.writable
]
VALUES = [
    0,
    1,
    0x80,
    0xFFFE,
    0xFFFF,
    0x10000,
    0x12345,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    0x1_0000_0005,
    (1 << 64) - 1,
]


@pytest.mark.parametrize(("type_", "field"), WRITABLE, ids=lambda value: getattr(value, "label", "") or value.name)
def test_what_a_store_leaves(type_: ProgramType, field: ContextField) -> None:
    size = 8 if field.size == 8 else 4
    store, load = (0x7B, 0x79) if size == 8 else (0x63, 0x61)
    differ = []
    for value in VALUES:
        for constant in (False, True):
            put = slot(store & 0xF8 | 2, 6, 0, field.offset, value) if constant else slot(store, 6, 7, field.offset)
            # Both halves of what is read count.
            fold = slot(0xBF, 1, 0) + slot(0x77, 1, imm=32) + slot(0xAF, 0, 1)
            if type_ is ProgramType.CGROUP_SKB:
                fold += slot(0x57, imm=1)  # more would be refused
            code = slot(0xBF, 6, 1) + wide(7, value) + put + slot(load, 0, 6, field.offset) + fold + EXIT
            with loaded(code, int(type_)) as fd:
                theirs = run_with_packet(fd, PACKET)
            ours = run_here(code, type_)
            if ours != theirs:
                differ.append((hex(value), constant, hex(ours), hex(theirs)))
    assert not differ
