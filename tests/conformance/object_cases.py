"""What the object tests do, topic by topic, at the level of bpf(): each step leaves "ok" or an errno's name."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import Any

from ebpf.abi.types import AttachType, Cmd, ProgramType
from ebpf.errors import SystemCallError
from ebpf.runtime import Runtime
from ebpf.runtime.attrs import (
    Attr,
    BtfLoad,
    EnableStats,
    GetId,
    LinkCreate,
    LinkDetach,
    LinkUpdate,
    MapCreate,
    MapElem,
    ObjInfo,
    ObjPin,
    ProgAttach,
    ProgBindMap,
    ProgLoad,
    ProgQuery,
    ProgTestRun,
    RawTracepointOpen,
)

A = AttachType
P = ProgramType
TWO = bytes.fromhex("b7000000020000009500000000000000")
"""r0 = 2; exit"""
ONE = bytes.fromhex("b7000000010000009500000000000000")
NO_NUMBER = 99_999
REPLACE, BEFORE, AFTER, BY_ID = 4, 8, 16, 32


class Steps:
    """Makes calls and notes their outcome; closes what they opened."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.results: dict[str, str] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in reversed(self._handles):
            handle.close()

    def call(self, step: str, cmd: Cmd, attr: Attr, show: Callable[[Any], object] | None = None) -> int:
        try:
            number = self.runtime.bpf(cmd, attr)
        except SystemCallError as error:
            number, result = NO_NUMBER, error.errno_name
        else:
            result = "ok"
            if number > 0:
                self._handles.append(self.runtime.own(number))
        self.results[step] = result if show is None else f"{result} {show(attr)}"
        return number

    def load(self, step: str, **changes: Any) -> int:
        members = {"prog_type": P.XDP, "insn_cnt": 2, "insns": TWO, "license": b"GPL", **changes}
        return self.call(step, Cmd.PROG_LOAD, ProgLoad(**members), lambda attr: attr.log_true_size > 0)

    def map(self) -> int:
        return self.call("map", Cmd.MAP_CREATE, MapCreate(map_type=1, key_size=4, value_size=4, max_entries=1))

    def info(self, step: str, number: int, size: int, buffer: bytes | None = None) -> None:
        attr = ObjInfo(bpf_fd=number, info=bytearray(bytes(size) if buffer is None else buffer), info_len=size)
        self.call(step, Cmd.OBJ_GET_INFO_BY_FD, attr, lambda attr: attr.info_len)

    def link(self, step: str, program: int, **members: Any) -> int:
        return self.call(step, Cmd.LINK_CREATE, LinkCreate(prog_fd=program, **members))

    def attach(self, step: str, program: int, target: int, point: int, flags: int = 0, **members: Any) -> None:
        attr = ProgAttach(
            target_fd=target, attach_bpf_fd=program, attach_type=point, attach_flags=flags, **members
        )  # fmt: skip
        self.call(step, Cmd.PROG_ATTACH, attr)

    def detach(self, step: str, program: int, target: int, point: int) -> None:
        self.call(step, Cmd.PROG_DETACH, ProgAttach(target_fd=target, attach_bpf_fd=program, attach_type=point))

    def query(self, step: str, target: int, point: int, room: int) -> None:
        attr = ProgQuery(
            target_fd=target, attach_type=point, prog_ids=bytearray(4 * room) if room else None, count=room
        )
        self.call(step, Cmd.PROG_QUERY, attr, lambda attr: (attr.count, attr.revision))


def programs(s: Steps) -> None:
    """PROG_LOAD's checks and its log."""
    s.load("plain")
    s.load("no instructions", insn_cnt=0)
    s.load("no license", license=None)
    s.load("unknown flag", prog_flags=1 << 20)
    s.load("unknown type", prog_type=99)
    s.load("type 0", prog_type=0)
    s.load("name with a blank", prog_name=b"a b")
    s.load("cgroup_skb for sock_create", prog_type=P.CGROUP_SKB, expected_attach_type=A.CGROUP_DEVICE - 1)
    s.load("syscall for egress", prog_type=P.SYSCALL, expected_attach_type=1, prog_flags=16)
    s.load("buffer without level", log_buf=bytearray(100), log_size=100)
    s.load("level without buffer", log_level=1)
    s.load("size without buffer", log_level=1, log_size=100)
    s.load("unknown level", log_level=16, log_buf=bytearray(100), log_size=100)
    s.load("short buffer", log_level=1, log_buf=bytearray(2), log_size=2)
    s.load("short buffer, fixed", log_level=9, log_buf=bytearray(2), log_size=2)
    s.load("long buffer", log_level=1, log_buf=bytearray(10_000), log_size=10_000)
    s.load("statistics only", log_level=4, log_buf=bytearray(10_000), log_size=10_000)
    bad = {"insns": bytes.fromhex("ff00000000000000"), "insn_cnt": 1}
    s.load("bad instruction, logged", log_level=1, log_buf=bytearray(10_000), log_size=10_000, **bad)
    s.load("bad instruction, short log", log_level=1, log_buf=bytearray(4), log_size=4, **bad)
    s.load("line info without types", line_info_cnt=1, line_info_rec_size=16, line_info=bytes(16))


def ids(s: Steps) -> None:
    """Ids that don't exist, and flags."""
    for name in ("PROG", "MAP", "LINK", "BTF"):
        s.call(f"{name} next of the highest", Cmd[f"{name}_GET_NEXT_ID"], GetId(start_id=0x7FFFFFFF))
        s.call(f"{name} next of a negative", Cmd[f"{name}_GET_NEXT_ID"], GetId(start_id=0x80000000))
        for flags in (0, 8, 24, 3):
            attr = GetId(start_id=0x7FFFFFF, open_flags=flags)
            s.call(f"{name} open, flags {flags}", Cmd[f"{name}_GET_FD_BY_ID"], attr)


def info(s: Steps) -> None:
    """OBJ_GET_INFO_BY_FD's sizes, and numbers of the wrong kind."""
    map_, program = s.map(), s.load("program")
    s.info("map", map_, 200)
    s.info("map, 8 bytes", map_, 8)
    s.info("map, nothing", map_, 0)
    s.info("map, unknown members", map_, 300, bytes(299) + b"1")
    s.info("map, more than a page", map_, 5000)
    s.info("program", program, 300)
    s.info("no number", NO_NUMBER, 80)
    s.call("no buffer", Cmd.OBJ_GET_INFO_BY_FD, ObjInfo(bpf_fd=map_, info_len=80))
    s.call("freeze a program", Cmd.MAP_FREEZE, MapElem(map_fd=program))
    lookup = {"key": bytes(4), "value": bytearray(4)}
    s.call("look up in a program", Cmd.MAP_LOOKUP_ELEM, MapElem(map_fd=program, **lookup))
    s.call("look up in nothing", Cmd.MAP_LOOKUP_ELEM, MapElem(map_fd=NO_NUMBER, **lookup))
    s.call("bind", Cmd.PROG_BIND_MAP, ProgBindMap(prog_fd=program, map_fd=map_))
    s.call("bind again", Cmd.PROG_BIND_MAP, ProgBindMap(prog_fd=program, map_fd=map_))
    s.call("bind with flags", Cmd.PROG_BIND_MAP, ProgBindMap(prog_fd=program, map_fd=map_, flags=1))
    s.call("bind the wrong way", Cmd.PROG_BIND_MAP, ProgBindMap(prog_fd=map_, map_fd=program))


def runs(s: Steps) -> None:
    """PROG_TEST_RUN's buffers and the statistics."""
    map_, program = s.map(), s.load("program")

    def run(step: str, size: int = 64, number: int = program, **members: Any) -> None:
        attr = ProgTestRun(prog_fd=number, data_in=bytes(size), data_size_in=size, **members)
        s.call(step, Cmd.PROG_TEST_RUN, attr, lambda a: (a.retval, a.data_size_out, bytes(a.data_out or b"")[-1:]))

    run("a map", number=map_)
    run("no output")
    run("short output", data_out=bytearray(10), data_size_out=10)
    run("output of unsaid size", data_out=bytearray(b"x" * 100))
    run("size hint alone", data_size_out=10)
    run("less than a header", size=10)
    s.call("statistics", Cmd.ENABLE_STATS, EnableStats(type=0))
    s.call("unknown statistics", Cmd.ENABLE_STATS, EnableStats(type=1))
    run("three times", repeat=3)
    buffer = bytearray(232)
    s.runtime.bpf(Cmd.OBJ_GET_INFO_BY_FD, ObjInfo(bpf_fd=program, info=buffer, info_len=232))
    s.results["runs counted"] = str(struct.unpack_from("=Q", buffer, 200)[0])


def xdp(s: Steps) -> None:
    """XDP links."""
    program, other, tc = s.load("program"), s.load("other"), s.load("tc", prog_type=P.SCHED_CLS)
    map_ = s.map()
    at = {"target_ifindex": 1, "attach_type": A.XDP}
    link = s.link("link", program, **at)
    s.link("second link", program, **at)
    s.link("no interface", program, target_ifindex=9999, attach_type=A.XDP)
    s.link("update-if-noexist flag", program, flags=1, **at)
    s.link("two modes", program, flags=6, **at)
    s.link("for tcx", program, target_ifindex=1, attach_type=A.TCX_INGRESS)
    s.info("info", link, 200)

    def update(step: str, number: int = link, **members: int) -> None:
        s.call(step, Cmd.LINK_UPDATE, LinkUpdate(link_fd=number, **members))

    update("update", new_prog_fd=other)
    update("update of another", new_prog_fd=program, old_prog_fd=program, flags=REPLACE)
    update("update of this", new_prog_fd=program, old_prog_fd=other, flags=REPLACE)
    update("old without the flag", new_prog_fd=program, old_prog_fd=other)
    update("another type", new_prog_fd=tc)
    update("unknown flag", new_prog_fd=tc, flags=1)
    update("a map", new_prog_fd=map_)
    update("no link", number=program, new_prog_fd=other)
    s.call("detach", Cmd.LINK_DETACH, LinkDetach(link_fd=link))
    s.call("detach again", Cmd.LINK_DETACH, LinkDetach(link_fd=link))
    update("update detached", new_prog_fd=other)
    s.call("detach a program", Cmd.LINK_DETACH, LinkDetach(link_fd=program))


def tcx(s: Steps) -> None:
    """TCX: order, anchors, revisions."""
    first, second, third, fourth = (s.load(f"program {i}", prog_type=P.SCHED_CLS) for i in range(4))
    foreign = s.load("xdp program")
    at = {"target_ifindex": 1, "attach_type": A.TCX_INGRESS}
    s.link("link", first, **at)
    s.link("the same program", first, **at)
    s.link("before all", second, flags=BEFORE, **at)
    s.link("after the second", third, flags=AFTER, tcx_relative_fd=second, **at)
    s.link("after a foreign program", fourth, flags=AFTER, tcx_relative_fd=foreign, **at)
    s.link("after one that is not here", fourth, flags=AFTER, tcx_relative_fd=fourth, **at)
    s.link("wrong revision", fourth, tcx_expected_revision=77, **at)
    s.link("unknown flag", fourth, flags=1, **at)
    s.link("replace", fourth, flags=REPLACE, **at)
    s.link("before and after", fourth, flags=BEFORE | AFTER, **at)
    s.link("id without an id", fourth, flags=BY_ID, **at)
    s.link("no interface", fourth, target_ifindex=999, attach_type=A.TCX_INGRESS)
    for room in (10, 1, 0):
        s.query(f"query, room for {room}", 1, A.TCX_INGRESS, room)
    s.query("query the other side", 1, A.TCX_EGRESS, 10)
    s.attach("attach", fourth, 1, A.TCX_EGRESS)
    s.attach("attach again", fourth, 1, A.TCX_EGRESS)
    s.detach("detach another", first, 1, A.TCX_EGRESS)
    s.detach("detach", fourth, 1, A.TCX_EGRESS)
    s.detach("detach again", fourth, 1, A.TCX_EGRESS)
    s.detach("detach a link's", 0, 1, A.TCX_INGRESS)


def raw_tracepoint(s: Steps) -> None:
    """Raw tracepoints."""
    program, other = s.load("program", prog_type=P.RAW_TRACEPOINT), s.load("xdp")
    link = s.call("open", Cmd.RAW_TRACEPOINT_OPEN, RawTracepointOpen(name=b"sys_enter", prog_fd=program))
    s.call("unknown name", Cmd.RAW_TRACEPOINT_OPEN, RawTracepointOpen(name=b"no_such", prog_fd=program))
    s.call("xdp program", Cmd.RAW_TRACEPOINT_OPEN, RawTracepointOpen(name=b"sys_enter", prog_fd=other))
    s.call("no name", Cmd.RAW_TRACEPOINT_OPEN, RawTracepointOpen(prog_fd=program))
    s.call("detach", Cmd.LINK_DETACH, LinkDetach(link_fd=link))
    s.call("update", Cmd.LINK_UPDATE, LinkUpdate(link_fd=link, new_prog_fd=program))
    s.link("link_create", program, attach_type=A.TRACE_RAW_TP)


def btf(s: Steps) -> None:
    """BTF_LOAD, and maps with types."""

    def load(step: str, types: bytes, strings: bytes = b"\0int\0", **members: Any) -> int:
        header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
        raw = header + types + strings
        attr = BtfLoad(btf=raw, btf_size=len(raw), **members)
        return s.call(step, Cmd.BTF_LOAD, attr, lambda attr: attr.btf_log_true_size > 0)

    integer = struct.pack("=IIII", 1, 1 << 24, 4, 32)
    s.call("zeroes", Cmd.BTF_LOAD, BtfLoad(btf=bytes(24), btf_size=24))
    s.call("nothing", Cmd.BTF_LOAD, BtfLoad())
    s.call("four bytes", Cmd.BTF_LOAD, BtfLoad(btf=bytes(4), btf_size=4))
    load("no types", b"", b"\0")
    good = load("one type", integer)
    dangling = integer + struct.pack("=III", 1, 8 << 24, 77)
    load("dangling", dangling, btf_log_level=1, btf_log_buf=bytearray(1000), btf_log_size=1000)
    s.info("info", good, 100)
    map_ = {"map_type": 1, "key_size": 4, "value_size": 4, "max_entries": 1}
    typed = {"btf_key_type_id": 1, "btf_value_type_id": 1}
    program = s.load("program")
    s.call("map with types", Cmd.MAP_CREATE, MapCreate(**map_, **typed, btf_fd=good))
    s.call("map with a program's types", Cmd.MAP_CREATE, MapCreate(**map_, **typed, btf_fd=program))
    s.call("map with nobody's types", Cmd.MAP_CREATE, MapCreate(**map_, **typed, btf_fd=NO_NUMBER))
    s.call("key type alone", Cmd.MAP_CREATE, MapCreate(**map_, btf_fd=good, btf_key_type_id=1))
    wrong = {**map_, "value_size": 8}
    s.call("value of another size", Cmd.MAP_CREATE, MapCreate(**wrong, **typed, btf_fd=good))


def pins(s: Steps) -> None:
    """OBJ_PIN and OBJ_GET."""
    root = ("/sys/fs/bpf" if s.runtime.name == "linux" else "") + f"/ebpf_test_{os.getpid()}"
    map_, program = s.map(), s.load("program")
    raw = s.load("raw program", prog_type=P.RAW_TRACEPOINT)
    link = s.call("link", Cmd.RAW_TRACEPOINT_OPEN, RawTracepointOpen(name=b"sys_enter", prog_fd=raw))
    types = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 16, 16, 5) + struct.pack("=IIII", 1, 1 << 24, 4, 32)
    types += b"\0int\0"
    btf_fd = s.call("btf", Cmd.BTF_LOAD, BtfLoad(btf=types, btf_size=len(types)))

    def pin(step: str, path: str | None, number: int, flags: int = 0) -> None:
        pathname = None if path is None else f"{root}{path}".encode()
        s.call(step, Cmd.OBJ_PIN, ObjPin(pathname=pathname, bpf_fd=number, file_flags=flags))

    def get(step: str, path: str | None, flags: int = 0) -> None:
        pathname = None if path is None else f"{root}{path}".encode()
        s.call(step, Cmd.OBJ_GET, ObjPin(pathname=pathname, file_flags=flags))

    s.runtime.pins.make_directory(root)
    try:
        pin("map", "/m", map_)
        pin("the same name", "/m", map_)
        pin("program", "/p", program)
        pin("link", "/l", link)
        pin("types", "/b", btf_fd)
        pin("no number", "/n", NO_NUMBER)
        pin("no directory", "/no/m", map_)
        pin("below a pin", "/m/x", map_)
        pin("the directory", "", map_)
        pin("no path", None, map_)
        pin("name with a dot", "/a.b", map_)
        pin("flags", "/f", map_, 8)
        for name in ("/m", "/p", "/l"):
            get(f"get {name}", name)
            get(f"get {name} read-only", name, 8)
        get("get both ways", "/m", 24)
        get("get with unknown flag", "/m", 3)
        get("get what is not there", "/none")
        get("get below a pin", "/m/x")
        get("get the directory", "")
        get("get without path", None)
        s.results["list"] = " ".join(s.runtime.pins.list(root))
    finally:
        for name in s.runtime.pins.list(root):
            s.runtime.pins.remove(f"{root}/{name}")
        s.runtime.pins.remove(root)
    s.results["exists"] = str(s.runtime.pins.exists(root))


def cgroup(s: Steps, directory: int) -> None:
    """Programs of a cgroup, by link and by themselves."""
    at_in, at_out = A.CGROUP_INET_INGRESS, A.CGROUP_INET_EGRESS
    first = s.load("program", prog_type=P.CGROUP_SKB, insns=ONE)
    egress = s.load("egress program", prog_type=P.CGROUP_SKB, insns=ONE, expected_attach_type=at_out)
    third = s.load("third program", prog_type=P.CGROUP_SKB, insns=ONE)
    foreign = s.load("xdp program")
    s.link("link", first, target_fd=directory, attach_type=at_in)
    s.link("the same program", first, target_fd=directory, attach_type=at_in)
    s.link("nobody's directory", first, target_fd=NO_NUMBER, attach_type=at_in)
    s.link("loaded for the other side", egress, target_fd=directory, attach_type=at_in)
    s.link("flags", first, target_fd=directory, attach_type=at_in, flags=2)
    s.attach("alone, beside a link", first, directory, at_in)
    s.attach("beside a link", first, directory, at_in, 2)
    s.attach("again", first, directory, at_in, 2)
    s.attach("another", third, directory, at_in, 2)
    s.query("query", directory, at_in, 10)
    s.query("query, room for 1", directory, at_in, 1)
    s.query("query the other side", directory, at_out, 10)
    s.attach("alone", egress, directory, at_out)
    s.attach("alone again", egress, directory, at_out)
    s.attach("beside one that is alone", first, directory, at_out, 2)
    s.attach("override and multi", first, directory, at_out, 3)
    s.link("link beside one that is alone", first, target_fd=directory, attach_type=at_out)
    s.detach("detach the only one", 0, directory, at_out)
    s.detach("detach the only one again", 0, directory, at_out)
    s.detach("detach one of many, unnamed", 0, directory, at_in)
    s.detach("detach", third, directory, at_in)
    s.detach("detach again", third, directory, at_in)
    s.attach("xdp program there", foreign, directory, at_in)
    s.attach("unknown point", first, directory, 999)
    s.attach("replace", third, directory, at_in, 2 | REPLACE, replace_bpf_fd=first)
    s.attach("replace without multi", third, directory, at_in, REPLACE, replace_bpf_fd=third)
    s.attach("replace what is not here", first, directory, at_in, 2 | REPLACE, replace_bpf_fd=egress)
    s.detach("detach the last", third, directory, at_in)


TOPICS: dict[str, Callable[[Steps], None]] = {
    topic.__name__: topic for topic in (programs, ids, info, runs, xdp, tcx, raw_tracepoint, btf, pins)
}
