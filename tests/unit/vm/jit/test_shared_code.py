"""Code that two functions share, by jumps from one into the other: Linux refuses it, and bare code may have it."""

from __future__ import annotations

import pytest

from ebpf.abi.types import ProgramType
from ebpf.asm.instructions import Instructions
from ebpf.errors import NotSupportedError, ProgramFault
from ebpf.vm import flow
from ebpf.vm.conformance import run_instructions
from ebpf.vm.engines import choose_engine
from tests.conftest import ENGINES
from tests.unit.vm.jit.alike import same_end

P = ProgramType
SHARED = """
    shared:
        r0 = *(u64 *)(r1 + 0)
        exit
"""
F = f"""
    f:
        *(u64 *)(r10 - 8) = 7
        r1 = r10
        r1 += -8
    {SHARED}
"""
LOOKUP = """
    *(u32 *)(r10 - 4) = 1
    r2 = r10; r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = r0
"""


def end_of(text: str, engine: str) -> object:
    try:
        choose_engine(engine)
        return run_instructions(Instructions.from_asm(text).encode(), bytes(range(1, 17)), engine=engine, budget=20_000)
    except NotSupportedError as error:
        pytest.skip(str(error))
    except ProgramFault as fault:
        return fault.kind, fault.insn


@pytest.fixture
def jumps_between_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "_check_bounds", lambda *_: False)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("text", "end"),
    [
        (f"r6 = r1; call f; r1 = r6; goto shared; {F}", 0x0807060504030201),
        (f"call f; r1 = 16; goto shared; {F}", ("memory", 6)),
        (f"*(u64 *)(r10 - 16) = 5; call f; r1 = r10; r1 += -16; goto shared; {F}", 5),
        ("r6 = r1; call f; r1 = r10; shared: r0 = *(u64 *)(r1 - 8); exit; f: r1 = r6; r1 += 8; goto shared", 0),
    ],
)
def test_pointers_are_what_they_are_on_either_way(engine: str, text: str, end: object) -> None:
    assert end_of(text, engine) == end


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dead", ["r0 = 1", "goto +50", "r0 = 5 ll; r0 = 6"])
def test_a_function_that_nothing_calls_may_run_into_the_end(engine: str, dead: str) -> None:
    assert end_of(f"r0 = 3; exit; call f; exit; f: {dead}", engine) == 3


@pytest.mark.usefixtures("jumps_between_functions")
@pytest.mark.parametrize("map_", ["array", "hash", "cpus"])
def test_element_that_one_of_them_looks_up(map_: str) -> None:
    program = f"""
        call f
        *(u64 *)(r10 - 8) = 7
        r1 = r10
        r1 += -8
    {SHARED}
    f:
        r1 = map[{map_}] ll
        {LOOKUP}
        goto shared
    out:
        r0 = 9
        exit
    """
    assert same_end(program).r0 == 7


@pytest.mark.usefixtures("jumps_between_functions")
def test_element_that_either_looks_up() -> None:
    program = """
        call f
        r1 = map[one] ll
        *(u32 *)(r10 - 4) = 0
        r2 = r10; r2 += -4
        goto look
    f:
        r1 = map[array] ll
        *(u64 *)(r10 - 16) = 0
        r2 = r10; r2 += -16
    look:
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r1 = r0
        r0 = *(u64 *)(r1 + 56)
        *(u64 *)(r1 + 56) = 77
        r0 = *(u64 *)(r1 + 57)
    out:
        exit
    """
    fault = same_end(program).fault
    assert fault is not None
    assert fault[0] == "memory"


@pytest.mark.usefixtures("jumps_between_functions")
@pytest.mark.parametrize("length", [14, 60])
def test_packet_that_only_one_of_them_has_measured(length: int) -> None:
    program = """
        r6 = r1
        r7 = *(u32 *)(r1 + 0); r8 = *(u32 *)(r1 + 4)
        r1 = r7
        if r9 == 0 goto shared
        r1 = r6
        call f
        exit
    f:
        r2 = *(u32 *)(r1 + 0); r3 = *(u32 *)(r1 + 4)
        r1 = r2
        r2 += 40
        if r2 > r3 goto out
    shared:
        r0 = *(u32 *)(r1 + 36)
        exit
    out:
        r0 = 2
        exit
    """
    end = same_end(program, P.XDP, data=bytes(length))
    assert (end.r0 == 0) if length == 60 else (end.fault is not None and end.fault[0] == "memory")
