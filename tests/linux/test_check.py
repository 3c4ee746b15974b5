"""What the check and the lowering refuse, the kernel refuses with the same errno."""

from __future__ import annotations

import os
import random

import pytest

from ebpf.abi.linux.contexts import PLAIN_CONTEXTS, TRANSLATED
from ebpf.abi.types import ProgramType
from ebpf.asm.instructions import Instructions
from ebpf.vm.fault import Rejected
from ebpf.vm.program import LoadRequest, load_program
from tests.isa import context_flow, malformed
from tests.isa.case import EXIT, slot
from tests.isa.context_flow import Passing
from tests.isa.malformed import ZERO, Malformed
from tests.linux.raw import SLEEPABLE, load


def kernel_errno(code: bytes, type_: ProgramType, license: str = "GPL") -> tuple[int, str]:
    flags = SLEEPABLE if type_ is ProgramType.SYSCALL else 0
    fd, log = load(code, int(type_), license=license.encode(), flags=flags)
    if fd >= 0:
        os.close(fd)
    return max(-fd, 0), log


def our_errno(code: bytes, type_: ProgramType) -> tuple[int, str]:
    log: list[str] = []
    try:
        load_program(LoadRequest(type=type_, insns=code, license="GPL"), log.append)
    except Rejected as error:
        return error.errno, "\n".join(log)
    return 0, ""


@pytest.mark.parametrize("case", malformed.CASES, ids=str)
def test_errno(case: Malformed) -> None:
    errno, log = kernel_errno(case.code, case.type, case.license)
    assert errno == case.errno, log


@pytest.mark.parametrize("type_", [*TRANSLATED, *PLAIN_CONTEXTS], ids=lambda type_: type_.label)
@pytest.mark.parametrize("opcode", [0x61, 0x81, 0x62, 0x63], ids=["load", "signed", "constant", "store"])
def test_every_context_access(type_: ProgramType, opcode: int) -> None:
    differ = []
    for bits in (0x10, 0x08, 0x00, 0x18) if opcode != 0x81 else (0x10, 0x08, 0x00):
        for offset in range(-8, 200):
            load_it = opcode & 7 == 1
            access = slot(opcode | bits, 0 if load_it else 1, 1 if load_it else 0, offset)
            code = ZERO + access + ZERO + EXIT
            ours, _ = our_errno(code, type_)
            theirs, log = kernel_errno(code, type_)
            if ours != theirs:
                differ.append((hex(opcode | bits), offset, ours, theirs, log.splitlines()[-2:]))
    assert not differ


def _mutated(seed: int) -> bytes:
    choose = random.Random(seed)
    accepted = [case.code for case in malformed.CASES if case.errno == 0 and case.type is ProgramType.SOCKET_FILTER]
    code = bytearray(choose.choice(accepted) + choose.choice(accepted))
    for _ in range(choose.randrange(1, 4)):
        code[choose.randrange(len(code))] = choose.choice([0, 1, 2, 5, 0x10, 0x85, 0x95, 0xFF, choose.randrange(256)])
    return bytes(code)


def test_nothing_is_refused_that_the_kernel_takes() -> None:
    refused = 0
    for seed in range(1500):
        code = _mutated(seed)
        ours, why = our_errno(code, ProgramType.SOCKET_FILTER)
        if ours:
            refused += 1
            assert kernel_errno(code, ProgramType.SOCKET_FILTER)[0] != 0, f"seed {seed}: {why}"
    assert refused > 500


@pytest.mark.parametrize("case", [c for c in context_flow.CASES if c.kernel_errno is not None], ids=str)
def test_context_flow(case: Passing) -> None:
    errno, log = kernel_errno(Instructions.from_asm(case.text).encode(), case.type)
    assert errno == case.kernel_errno, log
