"""Every kind of access at both ends of every kind of region: the byte that is allowed, and the one that is not."""

from __future__ import annotations

from typing import cast

import pytest

from ebpf.errors import ProgramFault
from ebpf.vm.conformance import program_of
from ebpf.vm.engines import Engine
from ebpf.vm.kernel import Kernel
from ebpf.vm.machine import Run
from tests.isa.case import EXIT, slot, wide

SIZE, START, END = 40, 8, 29
SIZES = {4: 0, 2: 1, 1: 2, 8: 3}
ATOMICS = [0x00, 0x01, 0x41, 0x51, 0xA1, 0xE1, 0xF1]

Access = tuple[bytes, int, bool, bool, bool]
"""Instruction at offset 0 of r1, size, whether it reads, writes, is atomic."""


def accesses() -> list[Access]:
    found: list[Access] = []
    for size, bits in SIZES.items():
        opcode = bits << 3
        found.append((slot(0x61 | opcode, 0, 1), size, True, False, False))
        found.append((slot(0x62 | opcode, 1, 0, imm=-1), size, False, True, False))
        found.append((slot(0x63 | opcode, 1, 2), size, False, True, False))
        found.append((slot(0xC3 | opcode, 0, 1, imm=0x100), size, True, False, True))
        found.append((slot(0xC3 | opcode, 1, 2, imm=0x110), size, False, True, True))
        if size != 8:
            found.append((slot(0x81 | opcode, 0, 1), size, True, False, False))
        if size >= 4:
            found += [(slot(0xC3 | opcode, 1, 2, imm=operation), size, True, True, True) for operation in ATOMICS]
    return found


def outcome_at(
    engine: Engine, code: bytes, offset: int, size: int, *, readable: bool = True, writable: bool = True
) -> str | None:
    """Run `code` with an address in r1; return the kind of its fault, or what else is wrong with it."""
    data = bytearray(range(100, 100 + SIZE))
    run = Run(program_of(code), cast("Kernel", None))
    run.memory.limit(run.memory.add(data, "data", readable=readable, writable=writable), START, END)
    before = bytes(data)
    try:
        engine.execute(run, (1 << 32) + offset)
    except ProgramFault as fault:
        return fault.kind if data == before and fault.address == (1 << 32) + offset else "not as it was"
    untouched = data[:offset] == before[:offset] and data[offset + size :] == before[offset + size :]
    return None if untouched else "wrote elsewhere"


OFFSETS = (*range(10), *range(END - 9, END + 3), SIZE - 1, SIZE)


@pytest.mark.parametrize("readable", [True, False], ids=["readable", "unreadable"])
@pytest.mark.parametrize("writable", [True, False], ids=["writable", "unwritable"])
def test_window(engine: Engine, readable: bool, writable: bool) -> None:
    wrong = []
    for code, size, reads, writes, atomic in accesses():
        for offset in OFFSETS:
            inside = offset >= START and offset + size <= END
            allowed = inside and (readable or not reads) and (writable or not writes)
            expected = None if allowed else "memory"
            if atomic and offset % size:
                expected = "alignment"
            whole = slot(0xB7, 2, imm=-1) + code + EXIT
            found = outcome_at(engine, whole, offset, size, readable=readable, writable=writable)
            if found != expected:
                wrong.append((code.hex(), offset, found, expected))
    assert not wrong


@pytest.mark.parametrize("size", SIZES)
def test_window_at_an_address_that_the_program_names(engine: Engine, size: int) -> None:
    opcode = SIZES[size] << 3
    for offset in (START - 1, START, END - size, END - size + 1):
        expected = None if START <= offset <= END - size else "memory"
        for code in (slot(0x61 | opcode, 0, 1), slot(0x62 | opcode, 1, 0, imm=-1)):
            named = wide(1, (1 << 32) + offset) + code + slot(0xB7) + EXIT
            assert outcome_at(engine, named, offset, size) == expected


def test_stack(engine: Engine) -> None:
    wrong = []
    for code, size, *_, atomic in accesses():
        for offset in (*range(-520, -503, 2), -513, -511, *range(-9, 3, 2), -8, -4, -2, 0):
            start = slot(0xBF, 1, 10) + slot(0x07, 1, imm=offset)
            try:
                engine.execute(Run(program_of(start + code + EXIT), cast("Kernel", None)))
                kind = None
            except ProgramFault as fault:
                kind = fault.kind
            expected = None if offset >= -512 and offset + size <= 0 else "memory"
            if atomic and offset % size:
                expected = "alignment"
            if kind != expected:
                wrong.append((code.hex(), offset, kind, expected))
    assert not wrong
