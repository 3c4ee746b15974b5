"""run_many(): packets in all their forms, their order, errors in the middle; and functions beside it."""

from __future__ import annotations

import io
from array import array
from pathlib import Path
from typing import Any

import pytest

from ebpf.errors import ClosedError, NotSupportedError, SystemCallError
from ebpf.link.pcap import CaptureWriter
from ebpf.objects.batch import Batch
from ebpf.runtime import Runtime
from tests.conformance.specs import REWRITE, collection, constant, counter_collection, program, u64

PACKETS = [bytes([n]) * (14 + n) for n in range(2, 40)]
LEFT = [b"\xff" + packet[1:] for packet in PACKETS]


def edges() -> array[int]:
    found, end = array("Q", [0]), 0
    for packet in PACKETS:
        end += len(packet)
        found.append(end)
    return found


def test_what_run_takes(runtime: Runtime) -> None:
    with collection(constant(1)).load(runtime=runtime) as loaded:
        one = loaded.programs["program"]
        assert [one.run(PACKETS[0], repeat=repeat).retval for repeat in (0, 1, 3)] == [1, 1, 1]
        for repeat in (-1, 1 << 32):
            with pytest.raises(ValueError, match=f"repeat is 1 to 4294967295, or 0 for once, got {repeat}"):
                one.run(PACKETS[0], repeat=repeat)
        wrong: Any
        for wrong in (64, "x" * 64, [0] * 64, None):
            with pytest.raises(TypeError):  # bytes() would take the number and the list
                one.run(wrong)
        with pytest.raises(TypeError):
            one.run(PACKETS[0], repeat=wrong)


def test_every_form_of_packets_gives_the_same(runtime: Runtime, tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    capture = tmp_path / "packets.pcap"
    with CaptureWriter(capture) as writer:
        for packet in PACKETS:
            writer.write(packet, 1.0)
    joined = b"".join(PACKETS)
    gaps = Batch(array("Q", [5 + at for at in edges()[:-1]]), array("Q", map(len, PACKETS)), b"?????" + joined + b"!")
    sources = {
        "list": PACKETS,
        "iterator": iter(PACKETS),
        "buffers": [memoryview(bytearray(packet)) for packet in PACKETS],
        "offsets": (joined, edges()),
        "offsets of 4 bytes": (bytearray(joined), array("I", edges())),
        "offsets as a list": (joined, list(edges())),
        "numpy": (numpy.frombuffer(joined, dtype="u1"), numpy.array(edges())),
        "numpy of 4 bytes": (joined, numpy.array(edges(), dtype="i4")),
        "numpy of 2 bytes": (b"?" + joined, numpy.array([1 + edge for edge in edges()], dtype="u2")),
        "every second of numpy": (joined, numpy.repeat(numpy.array(edges(), dtype="u8"), 2)[::2]),
        "batch": gaps,
        "capture": capture,
        "path as text": str(capture),
        "file": io.BytesIO(capture.read_bytes()),
    }
    with collection(program(REWRITE)).load(runtime=runtime) as loaded:
        for name, source in sources.items():
            result = loaded.programs["program"].run_many(source)
            assert list(result.retvals) == [2] * len(PACKETS), name
            assert list(result.lengths) == [len(packet) for packet in PACKETS], name
            assert [bytes(left) for left in result.data] == LEFT, name
    assert gaps.data == b"?????" + joined + b"!"


def test_packets_that_lie_over_each_other_are_run_over_apart(runtime: Runtime) -> None:
    data = bytes(range(1, 65))
    same = Batch(array("Q", [0, 0, 8, 0]), array("Q", [64, 32, 32, 64]), data)
    with collection(program(REWRITE)).load(runtime=runtime) as loaded:
        left = [bytes(packet) for packet in loaded.programs["program"].run_many(same).data]
    assert left == [b"\xff" + data[1:], b"\xff" + data[1:32], b"\xff" + data[9:40], b"\xff" + data[1:]]


def test_no_packets_are_no_runs(runtime: Runtime) -> None:
    with counter_collection().load(runtime=runtime) as loaded:
        for nothing in ([], (b"", [0]), Batch(array("Q"), array("Q"), b"")):
            result = loaded.programs["program"].run_many(nothing)
            assert (len(result.retvals), len(result.lengths), len(result.data)) == (0, 0, 0)
        assert loaded.maps["counter"].lookup(0) == u64(0)


def test_every_packet_is_one_run(runtime: Runtime) -> None:
    with counter_collection().load(runtime=runtime) as loaded:
        loaded.programs["program"].run_many([bytes(64)] * 500)
        assert loaded.maps["counter"].lookup(0) == u64(500)


def test_a_packet_that_is_refused_ends_the_batch(runtime: Runtime) -> None:
    with counter_collection().load(runtime=runtime) as loaded:
        with pytest.raises(SystemCallError) as caught:
            loaded.programs["program"].run_many([bytes(64), bytes(64), bytes(13), bytes(64)])
        assert caught.value.errno_name == "EINVAL"
        assert caught.value.__notes__ == ["packet 2 of the batch"]
        assert loaded.maps["counter"].lookup(0) == u64(2)


def test_what_is_no_packets_is_refused(runtime: Runtime) -> None:
    numpy = pytest.importorskip("numpy")
    with collection(constant(2)).load(runtime=runtime) as loaded:
        run_many = loaded.programs["program"].run_many
        for wrong in (bytes(64), bytearray(64), 5, None):
            with pytest.raises(TypeError, match=f"run_many takes packets, got {type(wrong).__name__}"):
                run_many(wrong)
        with pytest.raises(TypeError, match="packet 1 is no buffer but int"):
            run_many([bytes(64), 7])
        with pytest.raises(ValueError, match="offsets have to rise"):
            run_many((bytes(64), [0, 40, 20]))
        for make in (list, lambda numbers: array("q", numbers), numpy.array):
            with pytest.raises(ValueError, match="offsets have to rise"):
                run_many((bytes(64), make([0, 40, 20])))
            with pytest.raises(ValueError, match="packet 1 is bytes 20 to 65 of 64"):
                run_many((bytes(64), make([0, 20, 65])))
            with pytest.raises(ValueError, match=r"not negative|have to rise"):
                run_many((bytes(64), make([-14, 20])))
        with pytest.raises(ValueError, match="one more than there are packets"):
            run_many((bytes(64), array("Q")))
        with pytest.raises(ValueError, match="packet 0 is bytes 18446744073709551615 to 18446744073709551635 of 64"):
            run_many(Batch(array("Q", [(1 << 64) - 1]), array("Q", [20]), bytes(64)))
        with pytest.raises(ValueError, match="packet 0 is bytes 0 to 18446744073709551615"):
            run_many(Batch(array("Q", [0]), array("Q", [(1 << 64) - 1]), bytes(64)))
        with pytest.raises(ValueError, match="1 offsets and 2 lengths"):
            run_many(Batch(array("Q", [0]), array("Q", [20, 20]), bytes(64)))
        with pytest.raises(FileNotFoundError):
            run_many("/no/such/capture.pcap")


def test_more_threads_than_there_are_cpus_for_are_refused(runtime: Runtime) -> None:
    with collection(constant(2)).load(runtime=runtime) as loaded:
        run_many = loaded.programs["program"].run_many
        with pytest.raises(NotSupportedError, match="running on 2 threads"):
            run_many([bytes(64)] * 4, threads=2)
        with pytest.raises(ValueError, match="threads is 1 or more, got 0"):
            run_many([bytes(64)] * 4, threads=0)


def test_a_closed_program_says_so(runtime: Runtime) -> None:
    loaded = collection(constant(2)).load(runtime=runtime)
    closed = loaded.programs["program"]
    function = closed.function() if runtime.name == "embedded" else closed.run
    loaded.close()
    with pytest.raises(ClosedError):
        closed.run_many([bytes(64)])
    with pytest.raises(ClosedError):
        function(bytearray(64))
