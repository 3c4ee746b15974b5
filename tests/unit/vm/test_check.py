"""PROG_LOAD refuses malformed programs with Linux's errno, and says where and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.abi.linux import E2BIG, EINVAL
from ebpf.abi.types import ProgramType
from ebpf.vm.encoding import check_fields, suspects
from ebpf.vm.fault import Rejected
from ebpf.vm.program import LoadRequest, Slot, decode_slots, load_program
from tests.isa import malformed
from tests.isa.case import EXIT, slot
from tests.isa.malformed import END, ZERO, Malformed


def errno_of(code: bytes, log: list[str], **options: object) -> int:
    try:
        load_program(LoadRequest(insns=code, **{"type": ProgramType.SOCKET_FILTER, **options}), log.append)
    except Rejected as error:
        return error.errno if log[-1] == error.message else -1
    return 0


@pytest.mark.parametrize("case", malformed.CASES, ids=str)
def test_refused_like_linux(case: Malformed) -> None:
    log: list[str] = []
    assert errno_of(case.code, log, type=case.type, license=case.license) == case.errno
    assert case.reason in (log[-1] if log else "")


def test_log_shows_the_instruction() -> None:
    log: list[str] = []
    assert errno_of(ZERO + slot(0x67, imm=64) + EXIT, log) == EINVAL
    assert log == ["1: (67) r0 <<= 64", "invalid shift 64"]


def test_length() -> None:
    assert errno_of(END + b"\0", []) == EINVAL
    assert errno_of(END, [], limit=1) == E2BIG
    assert errno_of(END, [], limit=2) == 0


@pytest.mark.parametrize("license", ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL"])
def test_license_that_allows_gpl_helpers(license: str) -> None:
    assert errno_of(slot(0x85, imm=6) + EXIT, [], license=license) == 0


@pytest.mark.parametrize(("off", "imm"), [(0, 0), (0, 1), (1, 0), (-1, -1)])
@pytest.mark.parametrize("strict", [True, False])
def test_no_wrong_instruction_escapes_a_closer_look(off: int, imm: int, strict: bool) -> None:
    code = b"".join(slot(opcode, dst, src, off, imm) for opcode in range(256) for dst in range(16) for src in range(16))

    def is_wrong(one: Slot) -> bool:
        try:
            check_fields(one, strict=strict)
        except Rejected:
            return True
        return False

    wrong = {at for at, one in enumerate(decode_slots(code)) if is_wrong(one)}

    assert len(wrong) > 50_000
    assert wrong <= suspects(code)


@given(st.binary(min_size=8, max_size=160))
def test_any_bytes_are_loaded_or_refused(code: bytes) -> None:
    log: list[str] = []
    assert errno_of(code, log) in (0, 1, 7, 9, 13, 22, 524)


SLOTS = st.builds(
    slot,
    st.sampled_from([0xB7, 0xBF, 0x07, 0x0F, 0x79, 0x61, 0x7B, 0x62, 0x15, 0x05, 0x85, 0x95, 0x18, 0x00, 0xDB, 0x20]),
    st.integers(0, 11),
    st.integers(0, 11),
    st.integers(-6, 6),
    st.integers(-6, 20),
)


@given(st.lists(SLOTS, min_size=1, max_size=12), st.sampled_from([ProgramType.XDP, ProgramType.SCHED_CLS]))
def test_random_instructions_are_loaded_or_refused(slots: list[bytes], type_: ProgramType) -> None:
    log: list[str] = []
    assert errno_of(b"".join(slots) + EXIT, log, type=type_) in (0, 7, 9, 13, 22)
