"""Records of `union bpf_attr`: construction, packing, unpacking."""

from __future__ import annotations

import ctypes
import itertools
import struct

import pytest

from ebpf.abi.types import AttachType, Cmd, MapFlag, MapType, ProgramType
from ebpf.errors import NotSupportedError, SystemCallError
from ebpf.runtime.attrs import (
    RECORDS,
    Attr,
    BtfLoad,
    GetId,
    LinkCreate,
    MapBatch,
    MapCreate,
    MapElem,
    ObjInfo,
    ObjPin,
    ProgLoad,
    ProgQuery,
    ProgTestRun,
    text_of,
)


def _address(buffer: bytearray, offset: int) -> int:
    number: int = struct.unpack_from("=Q", buffer, offset)[0]
    return number


def test_every_command_has_a_record() -> None:
    assert set(RECORDS) == set(Cmd)


def test_members_are_zero_or_none_by_default() -> None:
    attr = ProgLoad()
    assert (attr.insn_cnt, attr.insns, attr.prog_name, attr.license) == (0, None, b"", None)


def test_an_unknown_member_is_refused() -> None:
    with pytest.raises(TypeError, match="MapCreate has no member 'key_sise'"):
        MapCreate(key_sise=4)  # type: ignore[call-arg]  # the mistake under test


def test_an_unknown_attribute_is_refused() -> None:
    with pytest.raises(AttributeError):
        MapCreate().key_sise = 4  # type: ignore[attr-defined]  # the mistake under test


@pytest.mark.parametrize("record", sorted(set(RECORDS.values()), key=lambda record: record.__name__))
def test_members_do_not_run_into_each_other(record: type[Attr]) -> None:
    """Outside of LINK_CREATE's union, where overlapping is the point."""
    members = [m for m in record.MEMBERS.values() if m.size and not (record is LinkCreate and m.offset >= 16)]
    for before, after in itertools.pairwise(members):
        assert before.end <= after.offset, (before.name, after.name)
        assert after.offset % min(after.size, 8) in (0, 4)


@pytest.mark.parametrize(
    ("cmd", "attr", "size"),
    [
        (Cmd.MAP_CREATE, MapCreate(map_type=MapType.HASH, key_size=4, value_size=8, max_entries=1), 16),
        (Cmd.MAP_CREATE, MapCreate(map_type=MapType.HASH, map_name=b"m"), 44),
        (Cmd.MAP_CREATE, MapCreate(map_token_fd=-1), 80),
        (Cmd.MAP_DELETE_ELEM, MapElem(map_fd=3, key=b"1234"), 16),
        # What the kernel writes is inside, even when nothing behind it is set.
        (Cmd.PROG_LOAD, ProgLoad(prog_type=1), 144),
        (Cmd.BTF_LOAD, BtfLoad(btf_size=0), 32),
        (Cmd.MAP_GET_NEXT_ID, GetId(start_id=1), 8),
        (Cmd.PROG_TEST_RUN, ProgTestRun(prog_fd=1), 48),
        (Cmd.OBJ_PIN, ObjPin(pathname=b"/x", bpf_fd=4), 12),
    ],
)
def test_the_size_ends_with_the_last_member_in_use(cmd: Cmd, attr: Attr, size: int) -> None:
    assert attr.pack(cmd).size == size


def test_numbers_land_at_their_offsets() -> None:
    buffer = MapCreate(
        map_type=MapType.ARRAY,
        key_size=4,
        max_entries=7,
        map_flags=MapFlag.MMAPABLE,
        map_extra=1 << 40,
        map_token_fd=-2,
    ).pack(Cmd.MAP_CREATE)[0]
    assert struct.unpack_from("=IIIII", buffer) == (2, 4, 0, 7, 1 << 10)
    assert struct.unpack_from("=Q", buffer, 64) == (1 << 40,)
    assert struct.unpack_from("=i", buffer, 76) == (-2,)


def test_a_name_leaves_room_for_its_nul() -> None:
    buffer = MapCreate(map_name=b"abcdefghijklmnopqrst").pack(Cmd.MAP_CREATE).buffer
    assert bytes(buffer[28:44]) == b"abcdefghijklmno\0"


def test_a_pointer_leads_to_the_caller_s_memory() -> None:
    value = bytearray(8)
    packed = MapElem(map_fd=1, key=b"abcd", value=value).pack(Cmd.MAP_LOOKUP_ELEM)
    assert ctypes.string_at(_address(packed.buffer, 8), 4) == b"abcd"
    ctypes.memmove(_address(packed.buffer, 16), b"12345678", 8)
    assert value == b"12345678"


def test_a_foreign_view_is_read_as_bytes() -> None:
    key = memoryview(struct.pack("=II", 1, 2)).cast("I")
    packed = MapElem(map_fd=1, key=key).pack(Cmd.MAP_DELETE_ELEM)
    assert ctypes.string_at(_address(packed.buffer, 8), 8) == struct.pack("=II", 1, 2)


def test_text_gets_its_nul() -> None:
    packed = ObjPin(pathname=b"/sys/fs/bpf/x").pack(Cmd.OBJ_GET)
    assert ctypes.string_at(_address(packed.buffer, 0)) == b"/sys/fs/bpf/x"
    assert text_of(b"abc\0rest") == "abc"
    assert text_of(None) == ""


def test_a_list_of_names_is_a_table_of_pointers() -> None:
    packed = LinkCreate(kprobe_multi_cnt=2, kprobe_multi_syms=[b"one", b"two"]).pack(Cmd.LINK_CREATE)
    table = ctypes.string_at(_address(packed.buffer, 24), 16)
    assert [ctypes.string_at(address) for address in struct.unpack("=QQ", table)] == [b"one", b"two"]


def test_pointers_inside_an_info_buffer_are_filled_in() -> None:
    info, ids = bytearray(64), bytearray(8)
    packed = ObjInfo(bpf_fd=1, info=info, info_len=64, pointers={56: ids}).pack(Cmd.OBJ_GET_INFO_BY_FD)
    ctypes.memmove(_address(info, 56), b"\1\2\3\4\5\6\7\x08", 8)
    assert ids == b"\1\2\3\4\5\6\7\x08"
    assert packed.size == 16


def test_memory_that_the_kernel_writes_must_be_writable() -> None:
    with pytest.raises(TypeError, match="expected a bytearray"):
        MapElem(map_fd=1, key=b"1234", value=b"12345678").pack(Cmd.MAP_LOOKUP_ELEM)
    MapElem(map_fd=1, key=b"1234", value=b"12345678").pack(Cmd.MAP_UPDATE_ELEM)


def test_memory_in_pieces_is_refused() -> None:
    with pytest.raises(BufferError, match="not contiguous"):
        MapElem(map_fd=1, key=memoryview(b"12345678")[::2]).pack(Cmd.MAP_DELETE_ELEM)


@pytest.mark.parametrize(
    ("cmd", "attr"),
    [
        (Cmd.PROG_LOAD, ProgLoad(insns=bytes(8), insn_cnt=2)),
        (Cmd.PROG_LOAD, ProgLoad(log_buf=bytearray(4), log_size=8)),
        (Cmd.PROG_LOAD, ProgLoad(func_info=bytes(8), func_info_cnt=2, func_info_rec_size=8)),
        (Cmd.PROG_TEST_RUN, ProgTestRun(data_in=bytes(3), data_size_in=4)),
        (Cmd.OBJ_GET_INFO_BY_FD, ObjInfo(info=bytearray(8), info_len=9)),
        (Cmd.PROG_QUERY, ProgQuery(prog_ids=bytearray(4), count=2)),
    ],
)
def test_a_buffer_shorter_than_its_length_is_efault(cmd: Cmd, attr: Attr) -> None:
    with pytest.raises(SystemCallError, match="EFAULT") as caught:
        attr.pack(cmd)
    assert caught.value.cmd == cmd.name


def test_another_platform_s_constant_is_refused_by_name() -> None:
    for attr, cmd, name in [
        (MapCreate(map_type=MapType.WINDOWS_HASH), Cmd.MAP_CREATE, "MapType.WINDOWS_HASH of Windows"),
        (ProgLoad(prog_type=ProgramType.WINDOWS_BIND), Cmd.PROG_LOAD, "ProgramType.WINDOWS_BIND of Windows"),
        (LinkCreate(attach_type=AttachType.WINDOWS_XDP), Cmd.LINK_CREATE, "AttachType.WINDOWS_XDP of Windows"),
    ]:
        with pytest.raises(NotSupportedError, match=name) as caught:
            attr.pack(cmd)
        assert caught.value.runtime == "linux"
        assert "constants of Linux" in str(caught.value)


def test_the_number_of_a_tagged_member_has_no_tag() -> None:
    from ebpf.abi.platform import Platform

    attr = MapCreate(map_type=MapType.WINDOWS_LRU_HASH)
    assert attr.number("map_type", platform=Platform.WINDOWS, runtime="windows") == 8


def test_members_of_two_hook_families_do_not_mix() -> None:
    with pytest.raises(ValueError, match="overlaps"):
        LinkCreate(perf_event_bpf_cookie=1, kprobe_multi_flags=1).pack(Cmd.LINK_CREATE)


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_a_number_that_does_not_fit_is_named(value: int) -> None:
    with pytest.raises(ValueError, match=r"MapCreate.key_size = .* does not fit 4 bytes"):
        MapCreate(key_size=value).pack(Cmd.MAP_CREATE)


def test_two_names_of_a_member_are_one() -> None:
    attr = MapElem(map_fd=1, next_key=bytearray(4))
    assert attr.value is attr.next_key
    query = ProgQuery(prog_cnt=3)
    query.count = 5
    assert query.prog_cnt == 5


def test_outputs_come_back() -> None:
    attr = MapBatch(map_fd=5, count=8)
    buffer = attr.pack(Cmd.MAP_LOOKUP_BATCH).buffer
    struct.pack_into("=I", buffer, 32, 3)
    struct.pack_into("=I", buffer, 36, 77)
    attr.unpack(Cmd.MAP_LOOKUP_BATCH, buffer)
    assert (attr.count, attr.map_fd) == (3, 5)


def test_the_repr_shows_what_is_set() -> None:
    attr = MapCreate(map_type=MapType.LRU_HASH, key_size=4, map_name=b"flows")
    assert repr(attr) == "MapCreate(map_type=LRU_HASH key_size=4 map_name=flows)"
    assert repr(MapElem(map_fd=3, key=bytes(20))) == "MapElem(map_fd=3 key=<20 bytes>)"
