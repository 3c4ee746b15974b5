"""Sources of packets: their end is always told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dpkt
import pytest

from ebpf import link
from ebpf.errors import ClosedError
from ebpf.link.pcap import CaptureReader, CaptureWriter
from ebpf.objects import Collection, Reader, RingBuffer
from tests.conformance.specs import ring_collection

PACKET = bytes(64)
PATIENCE = 20
"""Seconds after which a test fails that would wait for ever."""


@pytest.fixture
def loaded() -> Iterator[Collection]:
    with ring_collection().load(runtime="embedded") as collection:
        yield collection


def reader_of(loaded: Collection) -> Reader:
    events = loaded.maps["events"]
    assert isinstance(events, RingBuffer)
    return events.reader()


def count_to_the_end(reader: Reader) -> int:
    """Read until the sources are exhausted; DeadlineExceeded where that never comes."""
    count = 0
    while True:
        try:
            reader.read(PATIENCE)
        except ClosedError:
            return count
        count += 1


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
