"""Object info: the answering side and the asking side, against each other."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import pytest

from ebpf.abi.linux import EFAULT
from ebpf.abi.linux.info import BTF_INFO, LINK_DETAILS, LINK_INFO, MAP_INFO, PROG_INFO, Layout
from ebpf.abi.types import Cmd, LinkType, MapFlag, MapType, ProgramType
from ebpf.runtime.attrs import Attr, ObjInfo
from ebpf.runtime.handle import Handle
from ebpf.runtime.info import answer_info, btf_info, encode_info, link_info, map_info, program_info

Values = Mapping[str, int | str | bytes]


class Answering:
    """A runtime that knows one object."""

    personality = "linux"

    def __init__(self, layout: Layout, values: Values, arrays: Mapping[str, bytes] | None = None) -> None:
        self.layout, self.values, self.arrays = layout, values, arrays or {}
        self.calls = 0

    def bpf(self, cmd: Cmd, attr: Attr) -> int:
        assert cmd == Cmd.OBJ_GET_INFO_BY_FD
        assert isinstance(attr, ObjInfo)
        self.calls += 1
        return answer_info(attr, self.layout, self.values, self.arrays)


def _handle() -> Handle:
    return Handle(lambda _: None, 5)


def test_a_map() -> None:
    values: Values = {
        "type": 9, "id": 3, "name": "flows", "key_size": 8, "value_size": 16, "max_entries": 100, "map_flags": 2,
        "btf_id": 7, "btf_key_type_id": 1, "btf_value_type_id": 2, "map_extra": 1 << 40,
    }  # fmt: skip
    handle = _handle()
    info = map_info(Answering(MAP_INFO, values), handle)  # type: ignore[arg-type]  # only what is asked of it
    handle.close()
    assert (info.type, info.id, info.name) == (MapType.LRU_HASH, 3, "flows")
    assert (info.key_size, info.value_size, info.max_entries) == (8, 16, 100)
    assert (info.flags, info.map_extra) == (MapFlag.NO_COMMON_LRU, 1 << 40)
    assert (info.btf_id, info.btf_key_type_id, info.btf_value_type_id) == (7, 1, 2)


def test_a_program_with_arrays() -> None:
    insns, lines = bytes(range(24)), bytes(32)
    arrays = {"map_ids": struct.pack("=III", 4, 5, 6), "xlated_prog_insns": insns, "line_info": lines}
    values: Values = {"type": 6, "id": 8, "name": "main", "tag": b"12345678", "line_info_rec_size": 16}
    handle = _handle()
    runtime = Answering(PROG_INFO, values, arrays)
    info = program_info(runtime, handle, arrays=("xlated_prog_insns", "line_info", "func_info"))  # type: ignore[arg-type]  # see above
    handle.close()
    assert (info.type, info.name, info.tag) == (ProgramType.XDP, "main", b"12345678")
    assert info.map_ids == (4, 5, 6)
    assert info.arrays == {"xlated_prog_insns": insns, "line_info": lines}
    assert info.xlated_size == 24
    assert runtime.calls == 2


def test_a_btf_object() -> None:
    handle = _handle()
    runtime = Answering(BTF_INFO, {"id": 2, "kernel_btf": 1}, {"btf": b"x" * 50, "name": b"vmlinux\0"})
    info = btf_info(runtime, handle, data=True)  # type: ignore[arg-type]  # see above
    handle.close()
    assert (info.id, info.name, info.size, info.kernel, info.data) == (2, "vmlinux", 50, True, b"x" * 50)


def test_a_link() -> None:
    layout = LINK_INFO + LINK_DETAILS[LinkType.RAW_TRACEPOINT]
    handle = _handle()
    runtime = Answering(layout, {"type": 1, "id": 9, "prog_id": 4, "cookie": 77}, {"tp_name": b"sys_enter\0"})
    info = link_info(runtime, handle)  # type: ignore[arg-type]  # see above
    handle.close()
    assert (info.type, info.id, info.prog_id) == (LinkType.RAW_TRACEPOINT, 9, 4)
    assert info.details == {"tp_name": "sys_enter", "tp_name_len": 10, "cookie": 77}


def test_an_unknown_link_has_no_details() -> None:
    handle = _handle()
    info = link_info(Answering(LINK_INFO, {"type": 99, "id": 1}), handle)  # type: ignore[arg-type]  # see above
    handle.close()
    assert (info.type.name, info.details) == ("UNKNOWN_99", {})


def test_a_smaller_buffer_gets_the_beginning() -> None:
    whole = encode_info(MAP_INFO, {"type": 1, "id": 2, "max_entries": 3})
    room = bytearray(12)
    attr = ObjInfo(info=room, info_len=12)
    assert answer_info(attr, MAP_INFO, {"type": 1, "id": 2, "max_entries": 3}, {}) == 0
    assert (room, attr.info_len) == (whole[:12], 12)


def test_a_larger_buffer_says_how_much_there_is() -> None:
    attr = ObjInfo(info=bytearray(500), info_len=500)
    assert answer_info(attr, MAP_INFO, {}, {}) == 0
    assert attr.info_len == len(encode_info(MAP_INFO, {}))


@pytest.mark.parametrize("info", [None, bytearray(3), bytes(64)])
def test_a_bad_buffer_is_efault(info: bytes | bytearray | None) -> None:
    assert answer_info(ObjInfo(info=info, info_len=64), MAP_INFO, {}, {}) == -EFAULT


def test_a_short_array_gets_what_fits_and_the_whole_count() -> None:
    room = bytearray(encode_info(PROG_INFO, {"nr_map_ids": 2}))
    ids = bytearray(8)
    attr = ObjInfo(info=room, info_len=len(room), pointers={56: ids})
    assert answer_info(attr, PROG_INFO, {}, {"map_ids": struct.pack("=III", 1, 2, 3)}) == 0
    assert struct.unpack("=II", ids) == (1, 2)
    assert struct.unpack_from("=I", room, 52) == (3,)


def test_text_is_cut_to_its_room() -> None:
    encoded = encode_info(MAP_INFO, {"name": "a_name_that_is_long", "type": 1})
    assert encoded[24:40] == b"a_name_that_is_l"
