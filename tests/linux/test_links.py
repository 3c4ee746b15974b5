"""Links at real hooks: interfaces of a namespace of our own, sockets, cgroups, tracepoints."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import ebpf.runtime
from ebpf import link
from ebpf.abi.types import AttachType, LinkType, MapType, ProgramType
from ebpf.errors import NotSupportedError, SystemCallError
from ebpf.objects import Collection
from ebpf.spec import MapSpec, ProgramSpec
from tests.conformance.specs import COUNT, RING, RING_SIZE, collection, constant, program
from tests.linux.making import mounted
from tests.mounts import cgroup_root
from tests.namespaces import network_namespace
from tests.reading import count_to_the_end, reader_of

RUNTIME = ebpf.runtime.linux()
ETH_P_ALL = 3
FRAME = b"\xff" * 6 + bytes(6) + b"\x88\xb5" + bytes(46)  # an EtherType for experiments


@pytest.fixture
def pair() -> Iterator[tuple[str, str]]:
    """Two interfaces joined by a cable, in a namespace of their own."""
    with network_namespace():
        subprocess.run(["ip", "link", "add", "one", "type", "veth", "peer", "name", "two"], check=True)
        for name in ("one", "two"):
            Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield "one", "two"


def counting(verdict: int, kind: ProgramType, **changes: object) -> Collection:
    text = COUNT.replace("r0 = 2", f"r0 = {verdict}")
    counter = MapSpec("counter", MapType.ARRAY, 4, 8, 1)
    spec: ProgramSpec = program(text, kind=kind, **changes)  # type: ignore[arg-type]  # passed on as they are
    return collection(counter, spec).load(runtime=RUNTIME)


def count(loaded: Collection) -> int:
    return int.from_bytes(loaded.maps["counter"].lookup(0), sys.byteorder)


def send(interface: str, times: int = 1) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        for _ in range(times):
            sock.send(FRAME)


def receives(interface: str, sender: str) -> bool:
    """Say whether a frame sent at one end comes out of the other."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as sock:
        sock.bind((interface, ETH_P_ALL))
        sock.settimeout(0.3)
        send(sender)
        try:
            return sock.recv(100) == FRAME
        except TimeoutError:
            return False


@pytest.mark.parametrize("mode", ["auto", "generic", "native"])
def test_xdp_drops_what_comes_in(pair: tuple[str, str], mode: str) -> None:
    assert receives("two", "one")
    with counting(1, ProgramType.XDP, section="xdp") as loaded:
        with link.xdp(loaded.programs["program"], "two", mode=mode) as attached:  # type: ignore[arg-type]  # one of them
            assert not receives("two", "one")
            send("one", 9)
            assert count(loaded) == 10
            assert attached.info().details["ifindex"] == socket.if_nametoindex("two")
        assert receives("two", "one")


def test_tcx_sees_both_directions(pair: tuple[str, str]) -> None:
    for attach_type, seen_at in ((AttachType.TCX_INGRESS, "two"), (AttachType.TCX_EGRESS, "one")):
        with counting(-1, ProgramType.SCHED_CLS, section="tc", attach_type=attach_type) as loaded:
            with loaded.attach(targets={"program": seen_at}) as links:
                send("one", 5)
                deadline = time.monotonic() + 5
                while count(loaded) < 5 and time.monotonic() < deadline:
                    time.sleep(0.01)
                assert count(loaded) == 5
                assert links[0].info().details["attach_type"] == attach_type
            send("one")
            assert count(loaded) == 5


def test_a_pinned_link_stays_attached(pair: tuple[str, str]) -> None:
    path = f"/sys/fs/bpf/ebpf-link-{os.getpid()}"
    with counting(1, ProgramType.XDP) as loaded:
        attached = link.xdp(loaded.programs["program"], "two")
        attached.pin(path)
        attached.close()
        send("one")
        assert count(loaded) == 1
        with link.Link.open_pinned(path, runtime=RUNTIME) as again:
            RUNTIME.pins.remove(path)
            assert again.info().type is LinkType.XDP
            again.detach()
        send("one")
        assert count(loaded) == 1


def test_a_socket_filter_cuts_and_drops() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right, counting(3, ProgramType.SOCKET_FILTER, section="socket") as loaded:
        right.settimeout(1)
        with loaded.attach(targets={"program": right}) as links:
            left.send(b"abcdef")
            assert right.recv(10) == b"abc"
            assert count(loaded) == 1
            with pytest.raises(NotSupportedError):
                links[0].info()
            with pytest.raises(NotSupportedError):
                links[0].pin("/sys/fs/bpf/never")
        left.send(b"abcdef")
        assert right.recv(10) == b"abcdef"
        assert count(loaded) == 1


def test_a_cgroup_program_sees_its_processes() -> None:
    root = cgroup_root()
    assert root is not None
    directory = root / f"ebpf-test-{os.getpid()}"
    directory.mkdir()
    script = (
        "import os, socket, sys\n"
        f"open('{directory}/cgroup.procs', 'w').write(str(os.getpid()))\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for _ in range(3): s.sendto(b'x', ('127.0.0.1', 9))\n"
    )
    changes = {"attach_type": AttachType.CGROUP_INET_EGRESS, "section": "cgroup_skb/egress"}
    try:
        with counting(1, ProgramType.CGROUP_SKB, **changes) as loaded:
            with loaded.attach(targets={"program": directory}) as links, network_namespace():
                subprocess.run([sys.executable, "-c", script], check=True)
                assert count(loaded) == 3
                info = links[0].info()
                assert info.type is LinkType.CGROUP
                assert info.details["cgroup_id"] == directory.stat().st_ino
            with pytest.raises(FileNotFoundError):
                link.cgroup(loaded.programs["program"], directory / "missing")
    finally:
        directory.rmdir()


def test_a_tracepoint_by_its_section(tmp_path: Path) -> None:
    changes = {"section": "tracepoint/syscalls/sys_enter_getpgid", "attach_to": "syscalls/sys_enter_getpgid"}
    with (
        mounted("tracefs", tmp_path / "tracefs"),
        counting(0, ProgramType.TRACEPOINT, **changes) as loaded,
    ):
        with loaded.attach() as links:
            os.getpgid(0)
            assert count(loaded) >= 1
            assert links[0].info().type is LinkType.PERF_EVENT
        before = count(loaded)
        os.getpgid(0)
        assert count(loaded) == before
        with pytest.raises(SystemCallError, match="no tracepoint syscalls:nothing"):
            link.tracepoint(loaded.programs["program"], "syscalls:nothing")
        with pytest.raises(ValueError, match="group:name"):
            link.tracepoint(loaded.programs["program"], "sys_enter_getpgid")


def test_a_raw_tracepoint(tmp_path: Path) -> None:
    with counting(0, ProgramType.RAW_TRACEPOINT) as loaded:
        with link.raw_tracepoint(loaded.programs["program"], "sys_enter") as attached:
            os.getpgid(0)
            assert count(loaded) >= 1
            assert attached.info().details["tp_name"] == "sys_enter"
        with pytest.raises(SystemCallError) as caught:
            link.raw_tracepoint(loaded.programs["program"], "no_such_tracepoint")
        assert caught.value.errno_name == "ENOENT"


def test_an_interface_that_is_not_there_is_named() -> None:
    with (
        collection(constant(2, section="xdp")).load(runtime=RUNTIME) as loaded,
        pytest.raises(OSError, match="no network interface named 'moon0'") as caught,
    ):
        link.xdp(loaded.programs["program"], "moon0")
    assert caught.value.errno == errno.ENODEV


def test_a_source_wakes_readers_whom_the_program_does_not() -> None:
    no_wakeup = program(RING.replace("r4 = 0", "r4 = 1"))
    spec, frames = collection(MapSpec("events", MapType.RINGBUF, 0, 0, RING_SIZE), no_wakeup), [bytes(64)] * 1000
    with (
        spec.load(runtime=RUNTIME) as loaded,
        reader_of(loaded) as reader,
        link.packets(loaded.programs["program"], frames),
    ):
        assert count_to_the_end(reader) == 1000
