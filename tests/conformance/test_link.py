"""Links: packets from files and iterables, attaching by section, links of the kernel."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import dpkt
import pytest

from ebpf import link
from ebpf.abi.types import AttachType, LinkType, MapType, ProgramFlag, ProgramType
from ebpf.errors import ClosedError, DeadlineExceeded, NotSupportedError, ObjectFileError, SystemCallError
from ebpf.objects import Collection, Map, RingBuffer
from ebpf.runtime import Runtime
from ebpf.spec import CollectionSpec, MapSpec
from tests.conformance.specs import (
    REWRITE,
    RING,
    RING_SIZE,
    collection,
    constant,
    counter_collection,
    program,
    ring_collection,
    u64,
)
from tests.namespaces import network_namespace
from tests.reading import count_to_the_end, reader_of


@pytest.fixture(autouse=True)
def _own_interfaces(runtime: Runtime) -> Iterator[None]:
    """Leave the machine's interfaces alone."""
    with network_namespace() if runtime.name == "linux" else nullcontext():
        yield


ETHERNET = bytes(12) + b"\x08\x00"


def frame(number: int) -> bytes:
    """An IPv4 frame whose last header byte is `number`; REWRITE drops 1."""
    return bytes(13) + bytes([number]) + bytes(40)


def write_pcap(path: Path, frames: list[tuple[bytes, float]], *, linktype: int = 1, ng: bool = False) -> None:
    module = dpkt.pcapng if ng else dpkt.pcap
    with path.open("wb") as file:
        writer = module.Writer(file, linktype=linktype)
        for data, when in frames:
            writer.writepkt(data, when)


@pytest.fixture
def rewriting(runtime: Runtime) -> Iterator[Collection]:
    with collection(program(REWRITE, section="xdp")).load(runtime=runtime) as loaded:
        yield loaded


@pytest.mark.parametrize("ng", [False, True])
def test_a_capture_goes_through_and_survivors_come_out(rewriting: Collection, tmp_path: Path, ng: bool) -> None:
    source, sink = tmp_path / "in.pcap", tmp_path / "out.pcap"
    write_pcap(source, [(frame(n % 2), 1000.25 + n) for n in range(10)], ng=ng)
    with link.packets(rewriting.programs["program"], source, sink=sink) as packets:
        packets.wait(20)
        assert packets.verdicts == {"PASS": 5, "DROP": 5}
        assert (packets.processed, packets.survived, packets.skipped) == (10, 5, 0)
        assert packets.finished
        assert packets.progress == 1.0
    with sink.open("rb") as file:
        out = list(dpkt.pcap.Reader(file))
    assert [when for when, _ in out] == [1000.25 + n for n in range(0, 10, 2)]
    assert {data for _, data in out} == {b"\xff" + frame(0)[1:]}


def test_nanoseconds_are_kept(rewriting: Collection, tmp_path: Path) -> None:
    source, sink = tmp_path / "in.pcap", tmp_path / "out.pcap"
    with source.open("wb") as file:
        writer = dpkt.pcap.Writer(file, nano=True)
        header = dpkt.pcap.LEPktHdr(tv_sec=5, tv_usec=123456789, caplen=54, len=54)
        file.write(bytes(header) + frame(0))
        assert writer is not None
    with link.packets(rewriting.programs["program"], source, sink=sink) as packets:
        packets.wait(20)
    data = sink.read_bytes()
    assert data[:4] == b"\x4d\x3c\xb2\xa1"
    assert int.from_bytes(data[28:32], "little") == 123456789


def test_short_frames_are_passed_over(rewriting: Collection) -> None:
    with link.packets(rewriting.programs["program"], [b"short", frame(0), b""]) as packets:
        packets.wait(20)
        assert (packets.processed, packets.skipped) == (1, 2)


@pytest.mark.parametrize(
    ("kind", "retval", "survives", "name"),
    [
        (ProgramType.XDP, 0, False, "ABORTED"),
        (ProgramType.XDP, 1, False, "DROP"),
        (ProgramType.XDP, 2, True, "PASS"),
        (ProgramType.XDP, 3, True, "TX"),
        (ProgramType.SCHED_CLS, 0, True, "OK"),
        (ProgramType.SCHED_CLS, 2, False, "SHOT"),
        (ProgramType.SCHED_CLS, 3, True, "PIPE"),
        (ProgramType.SCHED_CLS, -1, True, "UNSPEC"),
        (ProgramType.CGROUP_SKB, 0, False, "DROP"),
        (ProgramType.CGROUP_SKB, 1, True, "PASS"),
        (ProgramType.SOCKET_FILTER, 0, False, "DROP"),
        (ProgramType.SOCKET_FILTER, 20, True, "PASS"),
    ],
)
def test_verdicts(runtime: Runtime, tmp_path: Path, kind: ProgramType, retval: int, survives: bool, name: str) -> None:
    packet = ETHERNET + bytes(46)
    sink = tmp_path / "out.pcap"
    spec = collection(constant(retval, kind=kind))
    with spec.load(runtime=runtime) as loaded, link.packets(loaded.programs["program"], [packet], sink=sink) as packets:
        packets.wait(20)
        assert packets.verdicts == {name: 1}
    with sink.open("rb") as file:
        out = [data for _, data in dpkt.pcap.Reader(file)]
    expected = packet[:20] if kind is ProgramType.SOCKET_FILTER else packet
    assert out == ([expected] if survives else [])


def test_readers_drain_and_end_with_the_last_source(runtime: Runtime) -> None:
    spec = collection(
        MapSpec("events", MapType.RINGBUF, 0, 0, 4096),
        program(RING, name="one", section="xdp"),
        program(RING, name="two", section="xdp"),
    )
    with spec.load(runtime=runtime) as loaded:
        events = loaded.maps["events"]
        assert isinstance(events, RingBuffer)
        reader = events.reader()
        targets = {
            "one": link.Packets([frame(0)] * 700),
            "two": link.Packets(frame(0) for _ in range(500)),
        }
        with loaded.attach(targets=targets) as links:
            # 1,200 records are seven times what the ring holds: lossless sources wait for us.
            assert sum(1 for _ in reader) == 1200
            links.wait(20)
            assert links.verdicts == {"one": {"PASS": 700}, "two": {"PASS": 500}}
        with pytest.raises(ClosedError, match="exhausted"):
            reader.read()
        assert len(reader.read_batch()) == 0
        # Another source, another beginning.
        with link.packets(loaded.programs["one"], [frame(0)] * 3):
            assert len(list(reader)) == 3


def test_readers_of_a_given_map_end_with_the_last_source_that_feeds_it(runtime: Runtime) -> None:
    spec = ring_collection()
    with (
        Map.create(spec.maps["events"], runtime=runtime) as given,
        spec.load(runtime=runtime, replace_maps={"events": given}) as one,
        spec.load(runtime=runtime, replace_maps={"events": given}) as two,
    ):
        assert isinstance(given, RingBuffer)
        packets = [link.packets(loaded.programs["program"], [frame(0)] * 400) for loaded in (one, two)]
        with given.reader() as reader, link.Links(packets):
            assert count_to_the_end(reader) == 800
        with reader_of(one) as reader, link.packets(two.programs["program"], [frame(0)] * 300):
            assert count_to_the_end(reader) == 300


def test_a_collection_knows_how_full_a_given_map_is(runtime: Runtime) -> None:
    spec = ring_collection()
    with (
        Map.create(spec.maps["events"], runtime=runtime) as given,
        spec.load(runtime=runtime, replace_maps={"events": given}) as loaded,
    ):
        assert isinstance(given, RingBuffer)
        with given.reader() as reader:
            loaded.programs["program"].run(frame(0), repeat=100)
            assert loaded.sources.backlog == reader.backlog == 100 * 24 / RING_SIZE


def test_a_source_without_loss_ends_even_if_nobody_reads(runtime: Runtime) -> None:
    spec, frames = ring_collection(), [frame(0)] * 500
    with spec.load(runtime=runtime) as loaded, link.packets(loaded.programs["program"], frames) as packets:
        packets.wait(30)
        assert packets.processed == 500


def test_a_failing_source_is_reported(runtime: Runtime) -> None:
    def source() -> Iterator[bytes]:
        yield frame(0)
        raise OSError("the disk is gone")

    with counter_collection().load(runtime=runtime) as loaded:
        packets = link.packets(loaded.programs["program"], source())
        with packets, pytest.raises(OSError, match="the disk is gone"):
            packets.wait(20)
        assert loaded.maps["counter"].lookup(0) == u64(1)


def test_closing_stops_an_endless_source(runtime: Runtime) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield frame(0)

    with counter_collection().load(runtime=runtime) as loaded:
        packets = link.packets(loaded.programs["program"], endless())
        with pytest.raises(ValueError, match="not started"):
            packets.wait(0)
        packets.start()
        packets.start()
        with pytest.raises(DeadlineExceeded):
            packets.wait(0.05)
        packets.close()
        packets.wait(20)
        assert packets.processed > 0
        packets.close()


def test_a_source_that_never_started_just_closes(runtime: Runtime, tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    write_pcap(source, [(frame(0), 1.0)])
    with counter_collection().load(runtime=runtime) as loaded:
        packets = link.packets(loaded.programs["program"], source, sink=tmp_path / "out.pcap")
        packets.close()
        packets.start()  # closed: nothing happens
        packets.wait(1)
        assert loaded.maps["counter"].lookup(0) == u64(0)


def test_files_that_are_no_captures(rewriting: Collection, tmp_path: Path) -> None:
    first = rewriting.programs["program"]
    with pytest.raises(FileNotFoundError):
        link.packets(first, tmp_path / "missing.pcap")
    damaged = tmp_path / "damaged.pcap"
    for content in (b"", b"nothing of the sort, at any length" * 3, b"\x0a\x0d\x0d\x0a"):
        damaged.write_bytes(content)
        with pytest.raises(ObjectFileError, match="not a pcap"):
            link.packets(first, damaged)
    radio = tmp_path / "radio.pcap"
    write_pcap(radio, [(frame(0), 1.0)], linktype=127)
    with pytest.raises(NotSupportedError, match="link type 127"):
        link.packets(first, radio)
    cut = tmp_path / "cut.pcap"
    write_pcap(cut, [(frame(0), 1.0)] * 2)
    cut.write_bytes(cut.read_bytes()[:-50] + b"\xff")
    with link.packets(first, cut) as packets, pytest.raises(ObjectFileError, match="damaged capture"):
        packets.wait(20)


def test_other_programs_take_no_packets(runtime: Runtime) -> None:
    spec = collection(constant(0, kind=ProgramType.RAW_TRACEPOINT))
    with spec.load(runtime=runtime) as loaded, pytest.raises(NotSupportedError, match="RawTracepoint"):
        link.packets(loaded.programs["program"], [])


def test_attach_says_what_is_missing(runtime: Runtime) -> None:
    with collection(constant(2, section="xdp")).load(runtime=runtime) as loaded:
        with pytest.raises(ValueError, match=r"program program \(section 'xdp'\) needs a network interface"):
            loaded.attach()
        with pytest.raises(ValueError, match="has no such program"):
            loaded.attach(targets={"nothing": "lo"})
    with (
        collection(constant(0, kind=ProgramType.SYSCALL, section="syscall", flags=ProgramFlag.SLEEPABLE)).load(
            runtime=runtime
        ) as loaded,
        pytest.raises(NotSupportedError, match=r"Program\.run"),
    ):
        loaded.attach()


def test_xdp_on_the_loopback(runtime: Runtime) -> None:
    spec = collection(constant(2, section="xdp"), constant(2, name="other"))
    with spec.load(runtime=runtime) as loaded:
        first, other = loaded.programs["program"], loaded.programs["other"]
        with link.xdp(first, "lo", mode="generic") as attached:
            info = attached.info()
            assert (info.type, info.prog_id, info.details["ifindex"]) == (LinkType.XDP, first.id, 1)
            with pytest.raises(SystemCallError) as busy:
                link.xdp(other, 1, mode="generic")
            assert busy.value.errno_name == "EBUSY"
            attached.update(other)
            assert attached.info().prog_id == other.id
            with pytest.raises(SystemCallError):
                attached.update(first, old=first)
            attached.update(first, old=other)
            with link.Link.open_id(attached.id, runtime=runtime) as again:
                assert again.info() == attached.info()
            assert attached.id in _ids(runtime)
            attached.detach()
            assert attached.closed
        with pytest.raises(ClosedError):
            attached.info()
        with pytest.raises(ValueError, match="mode is one of"):
            link.xdp(first, "lo", mode="fast")  # type: ignore[arg-type]  # what is tested
        with pytest.raises((OSError, NotSupportedError), match="no-such-device"):
            link.xdp(first, "no-such-device")


def _ids(runtime: Runtime) -> set[int]:
    found = set()
    for one in link.Link.iter_all(runtime=runtime):
        with one:
            found.add(one.id)
    return found


def test_tcx_keeps_an_order(runtime: Runtime) -> None:
    spec = collection(
        constant(-1, name="one", kind=ProgramType.SCHED_CLS, attach_type=AttachType.TCX_INGRESS, section="tcx/ingress"),
        constant(-1, name="two", kind=ProgramType.SCHED_CLS),
    )
    with spec.load(runtime=runtime) as loaded:
        with link.tcx(loaded.programs["one"], "lo") as first:
            assert first.info().type is LinkType.TCX
            with link.tcx(loaded.programs["two"], "lo", direction="ingress", before=first) as second:
                assert second.info().details["attach_type"] == AttachType.TCX_INGRESS
        with pytest.raises(ValueError, match="give direction"):
            link.tcx(loaded.programs["two"], "lo")


def test_links_close_together(runtime: Runtime) -> None:
    spec = collection(constant(2, section="xdp"), constant(-1, name="two", kind=ProgramType.SCHED_CLS, section="tc",
                      attach_type=AttachType.TCX_EGRESS))  # fmt: skip
    with spec.load(runtime=runtime) as loaded:
        links = loaded.attach(targets={"program": "lo", "two": "lo"})
        assert len(links) == 2
        assert [one.program for one in links] == list(loaded.programs.values())
        links.wait(0)  # links of a kernel have no end
        assert links.verdicts == {}
        with links:
            assert not links[0].closed
        assert all(one.closed for one in links)


def test_a_failed_attach_leaves_nothing_attached(runtime: Runtime) -> None:
    spec = collection(constant(2, section="xdp"), constant(2, name="second", section="xdp"))
    with spec.load(runtime=runtime) as loaded:
        with pytest.raises(ValueError, match="second"):
            loaded.attach(targets={"program": "lo"})
        with link.xdp(loaded.programs["program"], "lo"):
            pass  # the interface is free


def test_close_from_another_thread(runtime: Runtime) -> None:
    with collection(constant(2, section="xdp")).load(runtime=runtime) as loaded:
        attached = link.xdp(loaded.programs["program"], "lo", mode="generic")
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                while True:
                    attached.info()
            except ClosedError:
                return
            except BaseException as error:  # noqa: BLE001 - shown by the assertion below
                errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        attached.close()
        for thread in threads:
            thread.join(10)
        assert not errors
        assert not any(thread.is_alive() for thread in threads)


def test_what_sections_say(runtime: Runtime) -> None:
    spec = collection(constant(0, kind=ProgramType.RAW_TRACEPOINT, section="raw_tp/sys_enter", attach_to="sys_enter"))
    with spec.load(runtime=runtime) as loaded, loaded.attach() as links:
        info = links[0].info()
        assert info.type is LinkType.RAW_TRACEPOINT
        assert info.details["tp_name"] == "sys_enter"


def test_a_spec_of_an_object_attaches_to_packets(runtime: Runtime) -> None:
    firewall = Path(__file__).parents[2] / "src/ebpf/cli/data/firewall.o"
    with CollectionSpec.from_file(firewall).load(runtime=runtime) as loaded:
        with loaded.attach(targets={"firewall": link.Packets([frame(0)] * 20)}) as links:
            links.wait(20)
        assert links.verdicts == {"firewall": {"PASS": 20}}
        assert loaded.variables["packets"].value == 20
