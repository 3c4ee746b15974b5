"""Lowering: accesses to the context, references to maps, pointers to functions."""

from __future__ import annotations

import pytest

from ebpf.abi.linux import E2BIG, EBADF, EINVAL, ENOTSUPP
from ebpf.abi.types import AttachType, MapType, ProgramType
from ebpf.asm.instructions import Instructions
from ebpf.vm.check import spelled
from ebpf.vm.fault import Rejected
from ebpf.vm.maps import Map, MapShape, create_map
from ebpf.vm.program import LoadRequest, Program, Slot, load_program
from tests.isa import context_flow
from tests.isa.case import EXIT, slot
from tests.isa.context_flow import Passing


def load(text: str, type_: ProgramType = ProgramType.XDP, **options: object) -> Program:
    request = LoadRequest(type=type_, insns=Instructions.from_asm(text).encode(), license="GPL", **options)
    return load_program(request, lambda line: None)


@pytest.mark.parametrize("case", [c for c in context_flow.CASES if not c.errno], ids=str)
def test_context_access(case: Passing) -> None:
    lowered = load(case.text, case.type).lowered
    assert {at: spelled(lowered, at) for at in case.becomes} == case.becomes


@pytest.mark.parametrize("case", [c for c in context_flow.CASES if c.errno], ids=str)
def test_refused_access(case: Passing) -> None:
    log: list[str] = []
    request = LoadRequest(type=case.type, insns=Instructions.from_asm(case.text).encode(), license="GPL")
    with pytest.raises(Rejected) as caught:
        load_program(request, log.append)
    assert caught.value.errno == case.errno
    assert case.reason in log[-1]


def test_everything_but_context_and_references_stays() -> None:
    program = load("r2 = *(u32 *)(r1 + 0)\nr3 = 0x123456789abc ll\nr0 = 1\nif r0 > 0 goto +0\nexit")
    changed = [at for at in range(len(program.lowered)) if program.xlated[8 * at :][:8] != program.insns[8 * at :][:8]]
    assert changed == [0]


def test_devmap_programs_see_the_egress_device() -> None:
    text = "r0 = *(u32 *)(r1 + 20)\nexit"
    with pytest.raises(Rejected):
        load(text)
    assert load(text, attach_type=AttachType.XDP_DEVMAP).lowered[0] == Slot(0x61, 0, 1, 20, 0)


def test_plain_contexts_are_left_alone() -> None:
    program = load("r6 = r1\nr0 = *(u64 *)(r6 + 16)\nr0 = *(u32 *)(r6 + 0)\nexit", ProgramType.RAW_TRACEPOINT)
    assert program.xlated == program.insns
    assert program.max_context_offset == 24


def test_function_pointer_becomes_its_slot() -> None:
    program = load("r2 = func[f] ll\nr0 = 0\nexit\nf:\nr0 = 0\nexit")
    assert program.lowered[0] == Slot(0x18, 2, 4, 0, 4)
    assert program.functions == (0, 4)


def new_map(type_: MapType = MapType.ARRAY, *, entries: int = 1, value_size: int = 16) -> Map:
    return create_map(MapShape(type_, 4, value_size, entries, name="m"))


def test_maps_become_indices() -> None:
    maps = {7: new_map(), 9: new_map(MapType.HASH, entries=8)}
    text = "r1 = map_fd[9] ll\nr2 = map_fd[7][12] ll\nr3 = map_fd[9] ll\nr4 = map_idx[1] ll\nr0 = 0\nexit"
    program = load(text, map_by_fd=maps.get, map_by_index=[maps[7], maps[9]].__getitem__)
    assert program.maps == (maps[9], maps[7])
    assert [program.lowered[at][1:] for at in (0, 2, 4, 6)] == [(1, 5, 0, 0), (2, 6, 0, 1), (3, 5, 0, 0), (4, 5, 0, 0)]
    assert program.lowered[3].imm == 12


@pytest.mark.parametrize(
    ("map_", "offset", "errno"),
    [
        (new_map(), 15, 0),
        (new_map(), 16, EINVAL),
        (new_map(entries=2), 0, ENOTSUPP),
        (new_map(MapType.HASH), 0, EINVAL),
        (None, 0, EBADF),
    ],
)
def test_direct_value(map_: Map | None, offset: int, errno: int) -> None:
    text = f"r1 = map_fd[3][{offset}] ll\nr0 = 0\nexit"
    if not errno:
        assert load(text, map_by_fd={3: map_}.get).maps == (map_,)
        return
    with pytest.raises(Rejected) as caught:
        load(text, map_by_fd={3: map_}.get)
    assert caught.value.errno == errno


def test_number_of_maps() -> None:
    maps = [new_map() for _ in range(65)]
    code = b"".join(slot(0x18, 1, 1, 0, fd) + slot(0) for fd in range(65)) + slot(0xB7) + EXIT
    with pytest.raises(Rejected) as caught:
        load_program(LoadRequest(type=ProgramType.XDP, insns=code, map_by_fd=maps.__getitem__), lambda line: None)
    assert caught.value.errno == E2BIG


def test_guarded_store_moves_the_rest() -> None:
    text = (
        "r6 = r1\nr2 = func[f] ll\nr3 = *(u32 *)(r6 + 8)\nif r3 == 0 goto skip\nback:\n*(u32 *)(r6 + 12) = r3\n"
        "skip:\ncall f\nif r0 == 5 goto back\nr0 = 0x100000001 ll\nexit\nf:\nr0 = 1\nexit"
    )
    program = load(text, ProgramType.SCHED_CLS, source_line=str)
    assert [spelled(program.lowered, at) for at in (1, 4, 5, 6, 7, 8)] == [
        "r2 = func[+12] ll",
        "if r3 == 0 goto +2",
        "if r3 >= 65535 goto +1",
        "*(u16 *)(r6 + 12) = r3",
        "call pc+4",
        "if r0 == 5 goto -4",
    ]
    assert program.functions == (0, 12)
    assert list(program.origins) == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11, 12]
    assert [program.source(at) for at in (5, 6, 7)] == ["5", "5", "6"]


def test_source_lines_keep_their_slots() -> None:
    program = load("r2 = *(u32 *)(r1 + 0)\nr0 = 0\nexit", source_line={1: "x.c:3: return 0;"}.get)
    assert [program.source(at) for at in range(3)] == [None, "x.c:3: return 0;", None]
