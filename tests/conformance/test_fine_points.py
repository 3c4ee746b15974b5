"""What a careless kernel gets wrong without anybody noticing for long; each was a seeded fault that once survived."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest

from ebpf.abi.types import Cmd, MapType, ProgramType
from ebpf.errors import SystemCallError
from ebpf.runtime import Runtime
from ebpf.runtime.attrs import GetId, MapBatch, MapCreate, MapElem, ObjInfo, ObjPin, ProgLoad, ProgTestRun
from tests.conformance.specs import u32, u64
from tests.testrun.case import Case, on
from tests.testrun.packets import UDP4

EBADF, E2BIG, EFAULT, EINVAL, ENOENT, ENOSPC = 9, 7, 14, 22, 2, 28
PASS = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 2, 0x95, 0, 0, 0)


class Opened:
    """Numbers of one runtime, closed at the end."""

    def __init__(self, runtime: Runtime, stack: ExitStack) -> None:
        self.runtime = runtime
        self._stack = stack

    def own(self, number: int) -> int:
        """Own a number for the length of the test."""
        self._stack.enter_context(closing(self.runtime.own(number)))
        return number

    def map(self, kind: MapType = MapType.HASH, entries: int = 1024) -> int:
        return self.own(self.runtime.bpf(Cmd.MAP_CREATE, _shape(kind, entries)))

    def program(self, **members: Any) -> int:
        attr = ProgLoad(prog_type=ProgramType.XDP, insns=PASS, insn_cnt=2, license=b"GPL", **members)
        return self.own(self.runtime.bpf(Cmd.PROG_LOAD, attr))


def _shape(kind: MapType, entries: int) -> MapCreate:
    return MapCreate(map_type=kind, key_size=4, value_size=8, max_entries=entries)


@pytest.fixture
def opened(runtime: Runtime) -> Iterator[Opened]:
    with ExitStack() as stack:
        yield Opened(runtime, stack)


def errno_of(call: Callable[[], object]) -> int:
    try:
        call()
    except SystemCallError as error:
        return error.linux_errno
    return 0


def test_batches_meet_each_element_once(opened: Opened) -> None:
    number = opened.map()
    for key in range(40):
        opened.runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=number, key=u32(key), value=u64(key)))
    seen: list[int] = []
    position: bytes | None = None
    errno = 0
    while not errno:
        attr = MapBatch(map_fd=number, in_batch=position, out_batch=bytearray(4), count=9)
        attr.keys, attr.values = bytearray(36), bytearray(72)
        errno = errno_of(lambda attr=attr: opened.runtime.bpf(Cmd.MAP_LOOKUP_BATCH, attr))  # type: ignore[misc]  # bound
        assert struct.unpack("<9Q", attr.values) == struct.unpack("<9I", attr.keys)
        seen += struct.unpack("<9I", attr.keys)[: attr.count]
        position = bytes(attr.out_batch or b"")
    assert errno == ENOENT
    assert sorted(seen) == list(range(40))


def test_a_frame_grows_by_zeroes(runtime: Runtime) -> None:
    text = """
        r6 = r1
        r2 = -20
        call bpf_xdp_adjust_tail
        r1 = r6
        r2 = 30
        call bpf_xdp_adjust_tail
        exit
    """
    outcome = on(runtime, Case(name="grow", type=ProgramType.XDP, text=text, data=b"\xff" * 60))
    assert outcome.data == b"\xff" * 40 + bytes(30)


@pytest.mark.parametrize(
    ("words", "seed", "folded"),
    [((0xFFFF0001, 0x0001FFFF), 0, 2), ((0x00010000, 0x0000FFFF), 0, 1), ((0x12345678,), 0xFFFFFFFF, 0x68AC)],
)
def test_checksum_differences_are_folded(runtime: Runtime, words: Sequence[int], seed: int, folded: int) -> None:
    stores = "".join(f"*(u32 *)(r10 - {8 - 4 * i}) = {word:#x}; " for i, word in enumerate(words))
    text = f"""
        {stores}
        r1 = 0; r2 = 0; r3 = r10; r3 += -8; r4 = {4 * len(words)}; w5 = {seed:#x}
        call bpf_csum_diff
        exit
    """
    outcome = on(runtime, Case(name="fold", type=ProgramType.SCHED_CLS, text=text))
    assert outcome.retval == folded


@pytest.mark.parametrize(("room", "errno"), [(20, ENOSPC), (59, ENOSPC), (60, 0), (61, 0)])
def test_size_of_a_result_that_does_not_fit(opened: Opened, room: int, errno: int) -> None:
    out = bytearray(room)
    attr = ProgTestRun(
        prog_fd=opened.program(), data_in=UDP4, data_size_in=len(UDP4), data_out=out, data_size_out=room
    )  # fmt: skip
    assert len(UDP4) == 60
    assert errno_of(lambda: opened.runtime.bpf(Cmd.PROG_TEST_RUN, attr)) == errno
    assert attr.data_size_out == 60
    assert out[:60] == UDP4[:room]


def _id(runtime: Runtime, number: int) -> int:
    info = bytearray(80)
    runtime.bpf(Cmd.OBJ_GET_INFO_BY_FD, ObjInfo(bpf_fd=number, info=info, info_len=80))
    return int.from_bytes(info[4:8], "little")


def test_ids_are_not_used_again(runtime: Runtime) -> None:
    seen = []
    for _ in range(3):
        handle = runtime.own(runtime.bpf(Cmd.MAP_CREATE, _shape(MapType.ARRAY, 1)))
        with handle.borrow() as number:
            seen.append(_id(runtime, number))
        handle.close()
    assert sorted(set(seen)) == seen


def test_a_pin_alone_keeps_a_map_and_what_is_in_it(opened: Opened) -> None:
    runtime = opened.runtime
    path = "/sys/fs/bpf/test_fine_points"
    if not runtime.pins.exists("/sys/fs/bpf"):
        runtime.pins.make_directory("/sys/fs/bpf")
    handle = runtime.own(runtime.bpf(Cmd.MAP_CREATE, _shape(MapType.HASH, 4)))
    with handle.borrow() as number:
        runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=number, key=u32(1), value=u64(7)))
        runtime.bpf(Cmd.OBJ_PIN, ObjPin(pathname=path.encode(), bpf_fd=number))
        identity = _id(runtime, number)
    handle.close()
    try:
        found = opened.own(runtime.bpf(Cmd.OBJ_GET, ObjPin(pathname=path.encode())))
        value = bytearray(8)
        runtime.bpf(Cmd.MAP_LOOKUP_ELEM, MapElem(map_fd=found, key=u32(1), value=value))
        assert (bytes(value), _id(runtime, found)) == (u64(7), identity)
        opened.own(runtime.bpf(Cmd.MAP_GET_FD_BY_ID, GetId(map_id=identity)))
    finally:
        runtime.pins.remove(path)


def test_a_counted_array_of_maps_is_held(opened: Opened) -> None:
    numbers = [opened.map(entries=1) for _ in range(3)]
    program = opened.program(fd_array=b"".join(map(u32, [*numbers, numbers[0]])), fd_array_cnt=4)
    ids = bytearray(16)
    info = bytearray(232)
    info[52:56] = u32(4)  # nr_map_ids: how many fit
    runtime = opened.runtime
    runtime.bpf(Cmd.OBJ_GET_INFO_BY_FD, ObjInfo(bpf_fd=program, info=info, info_len=232, pointers={56: ids}))
    assert int.from_bytes(info[52:56], "little") == 3
    assert list(struct.unpack("<4I", ids)) == [*(_id(runtime, number) for number in numbers), 0]


def test_what_a_counted_array_refuses(opened: Opened) -> None:
    good, program = opened.map(entries=1), opened.program()
    many = [opened.map(entries=1) for _ in range(65)]

    def refusal(numbers: Sequence[int], count: int | None = None, **members: Any) -> int:
        array = b"".join(map(u32, numbers)) if numbers else None
        count = len(numbers) if count is None else count
        return errno_of(lambda: opened.program(fd_array=array, fd_array_cnt=count))

    assert refusal([good]) == 0
    assert refusal([good] * 100) == 0
    assert refusal([good, 0x0FFFFFFF]) == EBADF
    assert refusal([good, program]) == EINVAL
    assert refusal(many[:64]) == 0
    assert refusal(many) == E2BIG
    assert refusal([], 2) == EFAULT
    assert refusal([], 0x3FFFFFFE) == EFAULT
    assert refusal([], 0xFFFFFFFF) == EINVAL


@pytest.mark.parametrize(("width", "length"), [(70_000, 70_001), (9_999_999, 1 << 23), (9_999_999_999, 1 << 23)])
def test_wide_fields_are_cut(runtime: Runtime, width: int, length: int) -> None:
    text = """
        *(u64 *)(r10 - 8) = 5
        r1 = r10; r1 += -40; r2 = 16; r3 = map[ro][0] ll; r4 = r10; r4 += -8; r5 = 8
        call bpf_snprintf
        exit
    """
    form = f"%{width}d\0".encode().ljust(16, b"\0")
    case = Case(name="wide", type=ProgramType.SYSCALL, text=text, data=b"", wants_data=False, constants=form)
    assert on(runtime, case).retval == length
