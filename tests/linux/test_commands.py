"""Every bpf() command against the running kernel: a real effect, or the errno that this kernel documents."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ebpf.abi.linux import EBADF, EINVAL, ENOENT, EOPNOTSUPP
from ebpf.abi.types import AttachType, Cmd, LinkType, MapFlag, MapType, ProgramType
from ebpf.errors import KeyExistsError, KeyNotFoundError, MapFullError, SystemCallError
from ebpf.runtime.attrs import (
    BtfLoad,
    EnableStats,
    GetId,
    IterCreate,
    LinkCreate,
    LinkDetach,
    LinkUpdate,
    MapBatch,
    MapElem,
    ObjPin,
    ProgAssocStructOps,
    ProgAttach,
    ProgBindMap,
    ProgQuery,
    ProgStreamRead,
    ProgTestRun,
    RawTracepointOpen,
    TaskFdQuery,
    TokenCreate,
)
from ebpf.runtime.handle import Handle
from ebpf.runtime.info import btf_info, link_info, map_info, program_info
from tests.linux.making import KERNEL, a_map, a_program, mounted, u32, u64

Case = Callable[[Path], None]
CASES: dict[Cmd, Case] = {}


def case(*cmds: Cmd) -> Callable[[Case], Case]:
    def keep(function: Case) -> Case:
        CASES.update(dict.fromkeys(cmds, function))
        return function

    return keep


def _own(cmd: Cmd, attr: object) -> Handle:
    return KERNEL.own(KERNEL.bpf(cmd, attr))  # type: ignore[arg-type]  # the caller pairs them


@case(Cmd.MAP_CREATE, Cmd.MAP_UPDATE_ELEM, Cmd.MAP_LOOKUP_ELEM, Cmd.MAP_DELETE_ELEM, Cmd.MAP_GET_NEXT_KEY)
def elements(_: Path) -> None:
    with a_map(max_entries=2) as map_, map_.handle.borrow() as fd:
        KERNEL.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=u32(1), value=u64(11)))
        with pytest.raises(KeyExistsError):
            KERNEL.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=u32(1), value=u64(11), flags=1))
        with pytest.raises(KeyNotFoundError):
            KERNEL.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=u32(2), value=u64(11), flags=2))
        KERNEL.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=u32(2), value=u64(22)))
        with pytest.raises(MapFullError):
            KERNEL.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=u32(3), value=u64(33)))
        value = bytearray(8)
        KERNEL.bpf(Cmd.MAP_LOOKUP_ELEM, MapElem(map_fd=fd, key=u32(2), value=value))
        assert value == u64(22)
        key = bytearray(4)
        KERNEL.bpf(Cmd.MAP_GET_NEXT_KEY, MapElem(map_fd=fd, next_key=key))
        assert key in (u32(1), u32(2))
        KERNEL.bpf(Cmd.MAP_DELETE_ELEM, MapElem(map_fd=fd, key=key))
        with pytest.raises(KeyNotFoundError):
            KERNEL.bpf(Cmd.MAP_LOOKUP_ELEM, MapElem(map_fd=fd, key=key, value=value))


@case(Cmd.MAP_LOOKUP_AND_DELETE_ELEM)
def take(_: Path) -> None:
    with a_map(MapType.QUEUE, key_size=0) as map_, map_.handle.borrow() as fd:
        KERNEL.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, value=u64(5)))
        value = bytearray(8)
        KERNEL.bpf(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, MapElem(map_fd=fd, value=value))
        assert value == u64(5)
        with pytest.raises(KeyNotFoundError):
            KERNEL.bpf(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, MapElem(map_fd=fd, value=value))


@case(Cmd.MAP_FREEZE)
def freeze(_: Path) -> None:
    with a_map(MapType.ARRAY) as map_, map_.handle.borrow() as fd:
        KERNEL.bpf(Cmd.MAP_FREEZE, MapElem(map_fd=fd))
        with pytest.raises(SystemCallError, match="EPERM") as caught:
            KERNEL.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=u32(0), value=u64(1)))
        assert type(caught.value) is SystemCallError


@case(Cmd.MAP_UPDATE_BATCH, Cmd.MAP_LOOKUP_BATCH, Cmd.MAP_LOOKUP_AND_DELETE_BATCH, Cmd.MAP_DELETE_BATCH)
def batches(_: Path) -> None:
    with a_map() as map_, map_.handle.borrow() as fd:
        keys, values = b"".join(map(u32, range(8))), b"".join(map(u64, range(8)))
        attr = MapBatch(map_fd=fd, keys=keys, values=values, count=8)
        KERNEL.bpf(Cmd.MAP_UPDATE_BATCH, attr)
        assert attr.count == 8
        found = MapBatch(map_fd=fd, keys=bytearray(64), values=bytearray(128), count=16, out_batch=bytearray(4))
        with pytest.raises(KeyNotFoundError):  # the end
            KERNEL.bpf(Cmd.MAP_LOOKUP_BATCH, found)
        assert found.count == 8
        attr = MapBatch(map_fd=fd, keys=u32(3) + u32(99), count=2)
        with pytest.raises(KeyNotFoundError):
            KERNEL.bpf(Cmd.MAP_DELETE_BATCH, attr)
        assert attr.count == 1
        found.count = 16
        with pytest.raises(KeyNotFoundError):
            KERNEL.bpf(Cmd.MAP_LOOKUP_AND_DELETE_BATCH, found)
        assert found.count == 7
        with pytest.raises(KeyNotFoundError):
            KERNEL.bpf(Cmd.MAP_GET_NEXT_KEY, MapElem(map_fd=fd, next_key=bytearray(4)))


@case(Cmd.PROG_LOAD, Cmd.PROG_TEST_RUN)
def run(_: Path) -> None:
    with a_program("r0 = 7\nexit", kind=ProgramType.XDP) as program, program.handle.borrow() as fd:
        attr = ProgTestRun(
            prog_fd=fd, data_in=bytes(20), data_size_in=20, data_out=bytearray(30), data_size_out=30, repeat=3
        )
        KERNEL.bpf(Cmd.PROG_TEST_RUN, attr)
        assert (attr.retval, attr.data_size_out) == (7, 20)


@case(Cmd.OBJ_PIN, Cmd.OBJ_GET)
def pin_and_get(directory: Path) -> None:
    with mounted("bpf", directory / "bpffs") as bpffs, a_map() as map_:
        path = os.fsencode(bpffs / "m")
        with map_.handle.borrow() as fd:
            KERNEL.bpf(Cmd.OBJ_PIN, ObjPin(pathname=path, bpf_fd=fd))
            with pytest.raises(SystemCallError, match="EEXIST"):
                KERNEL.bpf(Cmd.OBJ_PIN, ObjPin(pathname=path, bpf_fd=fd))
        again = _own(Cmd.OBJ_GET, ObjPin(pathname=path))
        assert map_info(KERNEL, again).id == map_info(KERNEL, map_.handle).id
        again.close()
        with pytest.raises(SystemCallError, match=f"ENOENT: no such file or directory: {bpffs}/none"):
            KERNEL.bpf(Cmd.OBJ_GET, ObjPin(pathname=os.fsencode(bpffs / "none")))


@case(Cmd.PROG_ATTACH, Cmd.PROG_QUERY, Cmd.PROG_DETACH)
def sockmap_programs(_: Path) -> None:
    with (
        a_map(MapType.SOCKMAP, value_size=4) as map_,
        a_program("r0 = 1\nexit", kind=ProgramType.SK_SKB) as program,
        map_.handle.borrow() as target,
        program.handle.borrow() as fd,
    ):
        point = {"target_fd": target, "attach_type": AttachType.SK_SKB_STREAM_VERDICT}
        KERNEL.bpf(Cmd.PROG_ATTACH, ProgAttach(attach_bpf_fd=fd, **point))
        ids = bytearray(16)
        query = ProgQuery(prog_ids=ids, count=4, **point)
        KERNEL.bpf(Cmd.PROG_QUERY, query)
        assert (query.count, struct.unpack_from("=I", ids)[0]) == (1, program_info(KERNEL, program.handle).id)
        KERNEL.bpf(Cmd.PROG_DETACH, ProgAttach(attach_bpf_fd=fd, **point))
        query.count = 4
        KERNEL.bpf(Cmd.PROG_QUERY, query)
        assert query.count == 0


@case(Cmd.PROG_GET_NEXT_ID, Cmd.MAP_GET_NEXT_ID, Cmd.PROG_GET_FD_BY_ID, Cmd.MAP_GET_FD_BY_ID, Cmd.OBJ_GET_INFO_BY_FD)
def ids(_: Path) -> None:
    with a_map() as map_, a_program(maps=(map_,), text="r1 = 0 ll\nr0 = 0\nexit") as program:
        map_id, program_id = map_info(KERNEL, map_.handle).id, program_info(KERNEL, program.handle).id
        for cmd, wanted in ((Cmd.MAP_GET_NEXT_ID, map_id), (Cmd.PROG_GET_NEXT_ID, program_id)):
            attr = GetId(start_id=wanted - 1)
            KERNEL.bpf(cmd, attr)
            assert attr.next_id == wanted
        again = _own(Cmd.MAP_GET_FD_BY_ID, GetId(map_id=map_id))
        assert map_info(KERNEL, again).name == "test"
        again.close()
        again = _own(Cmd.PROG_GET_FD_BY_ID, GetId(prog_id=program_id))
        info = program_info(KERNEL, again, arrays=("xlated_prog_insns",))
        assert (info.map_ids, info.type, info.name) == ((map_id,), ProgramType.SOCKET_FILTER, "test")
        assert len(info.arrays["xlated_prog_insns"]) == info.xlated_size >= 32
        again.close()
        with pytest.raises(SystemCallError) as caught:
            KERNEL.bpf(Cmd.MAP_GET_NEXT_ID, GetId(start_id=1 << 30))
        assert caught.value.errno == ENOENT


@case(Cmd.RAW_TRACEPOINT_OPEN, Cmd.LINK_DETACH, Cmd.LINK_GET_NEXT_ID, Cmd.LINK_GET_FD_BY_ID)
def raw_tracepoint(_: Path) -> None:
    with a_program(kind=ProgramType.RAW_TRACEPOINT) as program:
        with program.handle.borrow() as fd:
            link = _own(Cmd.RAW_TRACEPOINT_OPEN, RawTracepointOpen(name=b"sys_enter", prog_fd=fd))
        info = link_info(KERNEL, link)
        assert (info.type, info.details["tp_name"]) == (LinkType.RAW_TRACEPOINT, "sys_enter")
        attr = GetId(start_id=info.id - 1)
        KERNEL.bpf(Cmd.LINK_GET_NEXT_ID, attr)
        assert attr.next_id == info.id
        again = _own(Cmd.LINK_GET_FD_BY_ID, GetId(link_id=info.id))
        assert link_info(KERNEL, again) == info
        with again.borrow() as fd, pytest.raises(SystemCallError) as caught:
            KERNEL.bpf(Cmd.LINK_DETACH, LinkDetach(link_fd=fd))
        assert caught.value.errno == EOPNOTSUPP  # only links of devices, cgroups and the like detach
        again.close()
        link.close()


_BTF = (
    struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 16, 16, 5)
    + struct.pack("=IIII", 1, 1 << 24, 4, 1 << 24 | 32)
    + b"\0int\0"
)


@case(Cmd.BTF_LOAD, Cmd.BTF_GET_NEXT_ID, Cmd.BTF_GET_FD_BY_ID)
def btf(_: Path) -> None:
    handle = _own(Cmd.BTF_LOAD, BtfLoad(btf=_BTF, btf_size=len(_BTF)))
    info = btf_info(KERNEL, handle, data=True)
    assert (info.data, info.size, info.kernel, info.name) == (_BTF, len(_BTF), False, "")
    attr = GetId(start_id=info.id - 1)
    KERNEL.bpf(Cmd.BTF_GET_NEXT_ID, attr)
    assert attr.next_id == info.id
    again = _own(Cmd.BTF_GET_FD_BY_ID, GetId(btf_id=info.id))
    assert btf_info(KERNEL, again).id == info.id
    again.close()
    handle.close()
    vmlinux = _own(Cmd.BTF_GET_FD_BY_ID, GetId(btf_id=1))
    assert btf_info(KERNEL, vmlinux).name == "vmlinux"
    assert btf_info(KERNEL, vmlinux).kernel
    vmlinux.close()
    bad = bytearray(_BTF)
    bad[24 + 15] = 9  # an encoding that integers don't have
    attr = BtfLoad(btf=bad, btf_size=len(bad), btf_log_buf=bytearray(1024), btf_log_size=1024, btf_log_level=1)
    with pytest.raises(SystemCallError, match="ENOTSUPP"):
        KERNEL.bpf(Cmd.BTF_LOAD, attr)
    assert attr.btf_log_true_size > 10
    assert b"int" in bytes(attr.btf_log_buf or b"")


@case(Cmd.TASK_FD_QUERY)
def task_fd(_: Path) -> None:
    with a_program(kind=ProgramType.RAW_TRACEPOINT) as program:
        with program.handle.borrow() as fd:
            link = _own(Cmd.RAW_TRACEPOINT_OPEN, RawTracepointOpen(name=b"sys_enter", prog_fd=fd))
        with link.borrow() as fd:
            attr = TaskFdQuery(pid=os.getpid(), fd=fd, buf=bytearray(32), buf_len=32)
            KERNEL.bpf(Cmd.TASK_FD_QUERY, attr)
        assert bytes(attr.buf or b"")[: attr.buf_len] == b"sys_enter"
        assert attr.prog_id == program_info(KERNEL, program.handle).id
        link.close()


@case(Cmd.LINK_CREATE, Cmd.LINK_UPDATE)
def links(_: Path) -> None:
    loopback = socket.if_nametoindex("lo")
    with a_program("r0 = 2\nexit", kind=ProgramType.XDP, attach_type=AttachType.XDP) as program:
        with program.handle.borrow() as fd:
            attr = LinkCreate(prog_fd=fd, target_ifindex=loopback, attach_type=AttachType.XDP, flags=2)
            link = _own(Cmd.LINK_CREATE, attr)
        assert link_info(KERNEL, link).details == {"ifindex": loopback}
        with a_program("r0 = 2\nr1 = 0\nexit", kind=ProgramType.XDP, attach_type=AttachType.XDP) as other:
            with link.borrow() as link_fd, other.handle.borrow() as fd:
                KERNEL.bpf(Cmd.LINK_UPDATE, LinkUpdate(link_fd=link_fd, new_prog_fd=fd))
            assert link_info(KERNEL, link).prog_id == program_info(KERNEL, other.handle).id
        with link.borrow() as link_fd:
            KERNEL.bpf(Cmd.LINK_DETACH, LinkDetach(link_fd=link_fd))
        assert link_info(KERNEL, link).details == {"ifindex": 0}
        link.close()


@case(Cmd.ENABLE_STATS)
def stats(_: Path) -> None:
    enabled = _own(Cmd.ENABLE_STATS, EnableStats(type=0))
    with a_program() as program:
        KERNEL.runner(program).run(bytes(20), repeat=5)
        info = program_info(KERNEL, program.handle)
        assert info.run_count == 5
        assert info.run_time_ns > 0
    enabled.close()


@case(Cmd.ITER_CREATE)
def iterators(_: Path) -> None:
    """A link that is no iterator is refused; iterators themselves need BTF of an object."""
    with a_program(kind=ProgramType.RAW_TRACEPOINT) as program:
        with program.handle.borrow() as fd:
            link = _own(Cmd.RAW_TRACEPOINT_OPEN, RawTracepointOpen(name=b"sys_enter", prog_fd=fd))
        with link.borrow() as fd, pytest.raises(SystemCallError) as caught:
            KERNEL.bpf(Cmd.ITER_CREATE, IterCreate(link_fd=fd))
        assert caught.value.errno == EINVAL
        link.close()


@case(Cmd.PROG_BIND_MAP)
def bind(_: Path) -> None:
    with a_map(MapType.ARRAY) as map_, a_program() as program:
        with map_.handle.borrow() as map_fd, program.handle.borrow() as fd:
            KERNEL.bpf(Cmd.PROG_BIND_MAP, ProgBindMap(prog_fd=fd, map_fd=map_fd))
        assert program_info(KERNEL, program.handle).map_ids == (map_info(KERNEL, map_.handle).id,)


@case(Cmd.TOKEN_CREATE)
def token(directory: Path) -> None:
    """The initial user namespace gets no token: EOPNOTSUPP for its bpffs; EBADF without one."""
    with mounted("bpf", directory / "bpffs") as bpffs:
        fd = os.open(bpffs, os.O_RDONLY | os.O_DIRECTORY)
        with pytest.raises(SystemCallError) as caught:
            KERNEL.bpf(Cmd.TOKEN_CREATE, TokenCreate(bpffs_fd=fd))
        os.close(fd)
    assert caught.value.errno == EOPNOTSUPP
    with pytest.raises(SystemCallError) as caught:
        KERNEL.bpf(Cmd.TOKEN_CREATE, TokenCreate(bpffs_fd=fd))
    assert caught.value.errno == EBADF


@case(Cmd.PROG_STREAM_READ_BY_FD)
def stream(_: Path) -> None:
    with a_program() as program, program.handle.borrow() as fd:
        attr = ProgStreamRead(stream_buf=bytearray(64), stream_buf_len=64, stream_id=1, prog_fd=fd)
        assert KERNEL.bpf(Cmd.PROG_STREAM_READ_BY_FD, attr) == 0
        attr.stream_id = 9
        with pytest.raises(SystemCallError) as caught:
            KERNEL.bpf(Cmd.PROG_STREAM_READ_BY_FD, attr)
        assert caught.value.errno == ENOENT


@case(Cmd.PROG_ASSOC_STRUCT_OPS)
def assoc(_: Path) -> None:
    """Linux 7.0; before that the command is unknown: EINVAL, as for a map that is no struct_ops map."""
    with a_map() as map_, a_program() as program:
        with map_.handle.borrow() as map_fd, program.handle.borrow() as fd, pytest.raises(SystemCallError) as caught:
            KERNEL.bpf(Cmd.PROG_ASSOC_STRUCT_OPS, ProgAssocStructOps(map_fd=map_fd, prog_fd=fd))
        assert caught.value.errno == EINVAL


@pytest.mark.parametrize("cmd", list(Cmd), ids=lambda cmd: cmd.name)
def test_the_command(cmd: Cmd, tmp_path: Path) -> None:
    CASES[cmd](tmp_path)


def test_a_bad_number_is_ebadf() -> None:
    with pytest.raises(SystemCallError) as caught:
        KERNEL.bpf(Cmd.MAP_LOOKUP_ELEM, MapElem(map_fd=9999, key=u32(0), value=bytearray(8)))
    assert caught.value.errno == EBADF


def test_read_only_maps_are_refused_without_blaming_privileges() -> None:
    with a_map(flags=MapFlag.RDONLY) as map_:
        with pytest.raises(SystemCallError, match="EPERM") as caught:
            KERNEL.map_io(map_).update(u32(0), u64(0))
        assert type(caught.value) is SystemCallError


def test_inner_maps() -> None:
    with (
        a_map() as inner,
        inner.handle.borrow() as fd,
        a_map(MapType.ARRAY_OF_MAPS, value_size=4, inner=fd) as outer,
    ):
        io = KERNEL.map_io(outer)
        io.update(u32(0), u32(fd))
        assert struct.unpack("=I", io.lookup(u32(0)))[0] == map_info(KERNEL, inner.handle).id


def test_facts_of_a_map() -> None:
    with a_map(MapType.LRU_HASH, key_size=8, value_size=16, max_entries=32) as map_:
        info = map_info(KERNEL, map_.handle)
        assert (info.type, info.key_size, info.value_size, info.max_entries) == (MapType.LRU_HASH, 8, 16, 32)
