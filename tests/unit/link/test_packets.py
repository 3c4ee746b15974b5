"""Sources of packets: their end is always told, and they wait for readers that nobody else wakes."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import struct
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import dpkt
import pytest

from ebpf import link
from ebpf.abi.types import MapType
from ebpf.errors import ObjectFileError
from ebpf.link.pcap import CaptureReader, CaptureWriter
from ebpf.objects import Collection
from ebpf.runtime import PacketsHook
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.facts import ProgramFacts
from ebpf.runtime.handle import Handle
from ebpf.runtime.hooks import Hook
from ebpf.spec import MapSpec
from tests.command import TALK
from tests.conformance.specs import RING, RING_SIZE, collection, program, ring_collection
from tests.conformance.waits import until
from tests.reading import PATIENCE, count_to_the_end, reader_of

PACKET = bytes(64)


@pytest.fixture
def loaded() -> Iterator[Collection]:
    with ring_collection().load(runtime="embedded") as collection:
        yield collection


def pipe_of(data: bytes) -> BinaryIO:
    """A pipe that gives these bytes, a few at a time, and ends."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as end, contextlib.suppress(BrokenPipeError):
            for at in range(0, len(data), 999):
                end.write(data[at : at + 999])

    threading.Thread(target=write, daemon=True).start()
    return os.fdopen(reading, "rb")


def pcapng() -> bytes:
    file = io.BytesIO()
    writer = dpkt.pcapng.Writer(file)
    for number in range(100):
        writer.writepkt(bytes([number]) * 1000, number)
    return file.getvalue()


@pytest.mark.parametrize("data", [Path(TALK).read_bytes(), pcapng()], ids=["pcap", "pcapng"])
def test_a_pipe_is_read_like_a_file(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(data)
    with closing(CaptureReader(pipe_of(data))) as pipe, closing(CaptureReader(path)) as file:
        assert (pipe.size, pipe.progress) == (None, None)
        assert (file.size, file.progress is not None and 0 < file.progress < 1) == (len(data), True)
        assert list(pipe) == list(file)
        assert (pipe.progress, file.progress) == (None, 1.0)


@pytest.mark.parametrize("left", [0, 3, 23, 24 + 15, 24 + 16 + 1])
def test_a_pipe_that_is_cut_off(left: int) -> None:
    def read() -> None:
        with closing(CaptureReader(pipe_of(Path(TALK).read_bytes()[:left]))) as pipe:
            list(pipe)

    with pytest.raises(ObjectFileError, match=r"it ends \d+ bytes too early|not a pcap or pcapng file"):
        read()


def test_a_length_without_bytes_takes_no_memory() -> None:
    data = Path(TALK).read_bytes()[:24] + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 0xFFFFFFFF) + bytes(100)
    tracemalloc.start()
    try:
        with (
            closing(CaptureReader(pipe_of(data))) as pipe,
            pytest.raises(ObjectFileError, match="4294967195 bytes too"),
        ):
            list(pipe)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_block_shorter_than_its_header_is_damage() -> None:
    data = pcapng() + struct.pack("<II", 6, 4) + bytes(100)
    with (
        closing(CaptureReader(io.BytesIO(data))) as reader,
        pytest.raises(ObjectFileError, match="shorter than its own"),
    ):
        list(reader)


def test_survivors_of_a_pipe_are_in_the_file_at_once(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    data, out = Path(TALK).read_bytes(), tmp_path / "out.pcap"
    first = 24 + 16 + struct.unpack_from("<I", data, 32)[0]
    os.write(writing, data[:first])
    with (
        collection(program("r0 = 2; exit")).load(runtime="embedded") as loaded,
        link.packets(loaded.programs["program"], os.fdopen(reading, "rb"), sink=out) as source,
    ):
        until(lambda: out.read_bytes()[24:] == data[24:first])
        assert not source.finished
        os.close(writing)
        source.wait(PATIENCE)


def test_a_capture_is_not_its_own_sink(loaded: Collection, tmp_path: Path) -> None:
    capture, other = tmp_path / "talk.pcap", tmp_path / "other.pcap"
    shutil.copy(TALK, capture)
    other.hardlink_to(capture)
    for sink in (capture, str(other)):
        with pytest.raises(ValueError, match="is the capture itself, which would be lost: name another file"):
            link.packets(loaded.programs["program"], capture, sink=sink)
    assert capture.read_bytes() == Path(TALK).read_bytes()


def fail_to_close(monkeypatch: pytest.MonkeyPatch, kind: type[CaptureReader | CaptureWriter], text: str) -> None:
    close = kind.close

    def closed(file: CaptureReader | CaptureWriter) -> None:
        close(file)  # type: ignore[arg-type]  # it is of that kind
        raise OSError(text)

    monkeypatch.setattr(kind, "close", closed)


def test_a_sink_that_can_not_be_closed_is_the_failure(
    loaded: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_close(monkeypatch, CaptureWriter, "no space left")
    packets = link.packets(loaded.programs["program"], [PACKET] * 3, sink=tmp_path / "out.pcap")
    with reader_of(loaded) as reader, packets:
        assert count_to_the_end(reader) == 3
        with pytest.raises(OSError, match="no space left"):
            packets.wait(PATIENCE)
    assert packets.finished


def test_what_ended_the_feeding_comes_before_files_that_can_not_be_closed(
    loaded: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def source() -> Iterator[bytes]:
        yield PACKET
        raise LookupError("no more packets")

    fail_to_close(monkeypatch, CaptureWriter, "no space left")
    with link.packets(loaded.programs["program"], source(), sink=tmp_path / "out.pcap") as packets:
        with pytest.raises(LookupError, match="no more packets") as caught:
            packets.wait(PATIENCE)
        assert caught.value.__notes__ == ["then closing a file failed: no space left"]


def test_a_source_that_can_not_be_closed_leaves_the_sink_whole(
    loaded: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture, sink = tmp_path / "in.pcap", tmp_path / "out.pcap"
    with CaptureWriter(capture) as writer:
        writer.write(PACKET, 1.0)
    fail_to_close(monkeypatch, CaptureReader, "the disk is gone")
    packets = link.packets(loaded.programs["program"], capture, sink=sink)
    with packets, pytest.raises(OSError, match="the disk is gone"):
        packets.wait(PATIENCE)
    with sink.open("rb") as file:
        assert [data for _, data in dpkt.pcap.Reader(file)] == [PACKET]


def test_closing_a_source_that_never_started_tells_of_its_sink(
    loaded: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_close(monkeypatch, CaptureWriter, "no space left")
    packets = link.packets(loaded.programs["program"], [PACKET], sink=tmp_path / "out.pcap")
    packets.close()
    with pytest.raises(OSError, match="no space left"):
        packets.wait(PATIENCE)


class DroppingRuntime(EmbeddedRuntime):
    """A kernel that drops records where a ring is full, so that the source has to wait, as on linux."""

    name = "dropping"

    def attach(self, program: ProgramFacts, hook: Hook) -> Handle:
        assert isinstance(hook, PacketsHook)
        return super().attach(program, replace(hook, lossless=False))


def test_a_source_that_waits_for_room_wakes_readers() -> None:
    no_wakeup = program(RING.replace("r4 = 0", "r4 = 1"))
    spec, frames = collection(MapSpec("events", MapType.RINGBUF, 0, 0, RING_SIZE), no_wakeup), [PACKET] * 1000
    with (
        closing(DroppingRuntime()) as runtime,
        spec.load(runtime=runtime) as loaded,
        reader_of(loaded) as reader,
        link.packets(loaded.programs["program"], frames),
    ):
        assert count_to_the_end(reader) == 1000


def test_waking_readers_ends_no_call_of_theirs(loaded: Collection) -> None:
    with reader_of(loaded) as reader:
        found: list[bytes] = []
        thread = threading.Thread(target=lambda: found.append(reader.read(PATIENCE)))
        thread.start()
        for _ in range(100):
            loaded.sources.wake()
        loaded.programs["program"].run(PACKET)
        thread.join(PATIENCE)
        assert len(found) == 1


FORKED = """
import os, signal, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork beside threads
from ebpf import link
from ebpf.errors import ClosedError
from tests.conformance.specs import ring_collection
from tests.reading import count_to_the_end, reader_of

go_on = threading.Event()

def source():
    yield bytes(64)
    go_on.wait()

def look():
    for _ in range(2):
        with reader_of(loaded) as reader, link.packets(loaded.programs["program"], [bytes(64)] * 5):
            print(count_to_the_end(reader))
    try:
        inherited.wait(30)
    except ClosedError as error:
        print(error)
    inherited.close()
    print(inherited.finished, loaded.sources.exhausted, flush=True)

with ring_collection().load(runtime="embedded") as loaded:
    inherited = link.packets(loaded.programs["program"], source())
    inherited.start()
    with reader_of(loaded) as reader:
        reader.read()
    with loaded.sources._lock, inherited._lock:  # as another thread may hold them
        child = os.fork()
    if not child:
        signal.alarm(90)
        look()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert not inherited.finished
    assert not loaded.sources.exhausted
    go_on.set()
    inherited.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_no_source_of_the_parent_runs_in_the_child_of_a_fork() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=100)
    shown = "5\n5\nthe source belongs to the parent process; make one of its own in the child\nTrue True\n"
    assert (done.stdout, done.returncode) == (shown, 0), done.stderr
