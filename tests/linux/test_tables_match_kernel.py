"""The tables of contexts and prototypes against what the running kernel's verifier accepts."""

from __future__ import annotations

import os
import platform
from functools import cache

import pytest

from ebpf.abi.helpers import Helper
from ebpf.abi.linux.contexts import PLAIN_CONTEXTS, TRANSLATED, layout_of
from ebpf.abi.linux.prototypes import PROTOTYPES, REFUSED
from ebpf.abi.types import AttachType, ProgramType
from ebpf.asm import assemble
from tests.linux import raw

pytestmark = pytest.mark.skipif(
    not platform.release().startswith("6.18."), reason="needs Linux 6.18, whose behaviour the embedded kernel has"
)
UNITS = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}
TYPES = [*TRANSLATED, *PLAIN_CONTEXTS]
DIFFERENT = {(ProgramType.SYSCALL, Helper.XDP_GET_BUFF_LEN)}
"""Linux lets tracing programs ask for the length of an xdp_buff that they got by BTF."""


def load(text: str, type_: ProgramType, *, attach_type: int = 0, license: bytes = b"GPL") -> tuple[int, str]:
    flags = raw.SLEEPABLE if type_ == ProgramType.SYSCALL else 0
    fd, log = raw.load(assemble(text).encode(), type_, flags=flags, license=license, attach_type=attach_type)
    if fd >= 0:
        os.close(fd)
    return fd, log


def accepted(type_: ProgramType, attach_type: int, offset: int, size: int, *, write: bool) -> bool:
    access = f"*({UNITS[size]} *)(r1 + {offset})"
    text = f"{access} = 0; r0 = 0; exit" if write else f"r0 = {access}; r0 = 0; exit"
    return load(text, type_, attach_type=attach_type)[0] >= 0


@pytest.mark.parametrize(
    ("type_", "attach_type"), [*((type_, None) for type_ in TRANSLATED), (ProgramType.XDP, AttachType.XDP_DEVMAP)]
)
def test_fields_of_contexts(type_: ProgramType, attach_type: AttachType | None) -> None:
    layout = layout_of(type_, attach_type)
    assert layout is not None
    accesses = [(at, size, write) for at in range(layout.size + 8) for size in UNITS for write in (False, True)]
    # Accesses that are not aligned are refused for all fields alike; a few of them are enough.
    accesses = [access for access in accesses if access[0] % access[1] == 0 or access[0] % 16 == 3]
    for at, size, write in accesses:
        field = layout.field_at(at)
        ours = field is not None and field.allows(at, size, write=write)
        assert ours == accepted(type_, attach_type or 0, at, size, write=write), (at, size, write)


@pytest.mark.parametrize("type_", PLAIN_CONTEXTS)
def test_plain_contexts(type_: ProgramType) -> None:
    context = PLAIN_CONTEXTS[type_]
    places = [*range(17), *range(80, 100), 4096, 32752, 32759, 32760]
    for at, size, write in ((at, size, write) for at in places for size in UNITS for write in (False, True)):
        assert context.allows(at, size, write=write) == accepted(type_, 0, at, size, write=write), (at, size, write)


@cache
def answer(helper: Helper, type_: ProgramType, license: bytes) -> str:
    return load(f"call {int(helper)}; r0 = 0; exit", type_, license=license)[1]


@pytest.mark.parametrize("type_", TYPES)
def test_who_may_call(type_: ProgramType) -> None:
    for helper, prototype in ((Helper(number), prototype) for number, prototype in PROTOTYPES.items()):
        if (type_, helper) not in DIFFERENT:
            log = answer(helper, type_, b"GPL")
            allowed = "unknown func" not in log and "cannot use helper" not in log
            assert prototype.allowed_for(type_) == allowed, helper.name


@pytest.mark.parametrize("type_", TYPES)
def test_who_needs_the_gpl(type_: ProgramType) -> None:
    for helper, prototype in ((Helper(number), prototype) for number, prototype in PROTOTYPES.items()):
        if prototype.allowed_for(type_):
            assert prototype.gpl_only == ("GPL" in answer(helper, type_, b"Proprietary")), helper.name


def test_refused_helpers_are_not_implemented() -> None:
    assert not REFUSED.keys() & PROTOTYPES.keys()
