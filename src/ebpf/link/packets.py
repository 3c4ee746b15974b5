"""Feed packets from a capture file or any iterable to a program: no network device is involved."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Self, TypeGuard

from ebpf.errors import ClosedError, DeadlineExceeded, NotSupportedError, SystemCallError
from ebpf.lean import in_forked_children
from ebpf.link.link import Link
from ebpf.link.pcap import CaptureReader, CaptureWriter, Packet
from ebpf.link.verdicts import PACKET_TYPES, survivor, verdict
from ebpf.runtime.facts import RunResult
from ebpf.runtime.handle import Handle
from ebpf.runtime.hooks import PacketsHook

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpf.objects import Program
    from ebpf.runtime.info import LinkInfo

Source = str | os.PathLike[str] | BinaryIO | Iterable[bytes]
SHORTEST = 14
"""Bytes of an Ethernet header: kernels refuse to run over less."""
_HALF_FULL = 0.5
_PAUSE = 0.001
"""Seconds between looks at rings that are too full for another packet."""


def packets(
    program: Program, source: Source, *, sink: str | os.PathLike[str] | None = None, lossless: bool = True
) -> PacketsLink:
    """Feed each packet of `source` to the program: an XDP, tc, cgroup_skb or socket filter program.

    `source` is the path of a pcap or pcapng file of Ethernet frames, or such a file (a pipe, say), which is read as it
    goes and then closed, or an iterable of frames as bytes. It runs on a thread of its own from `start()` or `with`
    on. `sink` is the path of a pcap that gets the packets that survive, as the program left them, with their original
    times: XDP PASS and TX; tc OK, UNSPEC and PIPE; cgroup_skb 1; for a socket filter the return value is the length
    that survives. Redirected packets don't.

    With `lossless` the source waits for readers of the collection that fall behind, so that no record is dropped but
    those that no reader can make room for: larger than their ring, or behind one that the same run has reserved. A
    run that waits keeps its virtual CPU: a reader that runs programs itself needs a runtime with more of them. On
    linux it waits while a ring is more than half full, and packets go through PROG_TEST_RUN: redirects have no
    effect, and there is no device behind the context. Kernels refuse frames of more than about 3,700 bytes for all but
    XDP programs (EINVAL, which ends the source).

    When the last source of a collection is exhausted, its readers drain and end, and so do those of a map that it was
    given by `replace_maps`, unless another source feeds that. Raises NotSupportedError for other types of program,
    ValueError where `sink` is the capture itself, OSError and ObjectFileError for the file.
    """
    if program.type not in PACKET_TYPES:
        raise NotSupportedError(
            f"feeding packets to {program.name}, a program of type {program.type.label},",
            runtime=program.runtime.name,
            alternative="packets are for XDP, tc, cgroup_skb and socket filter programs",
        )
    if _is_capture(source) and sink is not None and _same_file(source, sink):
        raise ValueError(f"the sink {os.fspath(sink)!r} is the capture itself, which would be lost: name another file")
    return PacketsLink(program, source, sink=sink, lossless=lossless)


def _is_capture(source: Source) -> TypeGuard[str | os.PathLike[str] | BinaryIO]:
    return isinstance(source, (str, os.PathLike)) or hasattr(source, "read")


def _same_file(source: str | os.PathLike[str] | BinaryIO, sink: str | os.PathLike[str]) -> bool:
    try:
        place = source if isinstance(source, (str, os.PathLike)) else source.fileno()
        return os.path.isfile(place) and os.path.samefile(place, sink)
    except OSError:
        return False  # one of them is not there yet or in memory, or opening it says what is wrong


class PacketsLink(Link):
    """A source of packets and the program that it feeds. Threads may share it.

    `processed` counts packets that went through the program, `survived` those that came out, `skipped` frames
    shorter than an Ethernet header (14 bytes), which no kernel runs over; `verdicts` counts by name. After fork() a
    started source goes on in the parent alone: in the child it is finished, and wait() raises ClosedError.
    """

    def __init__(
        self, program: Program, source: Source, *, sink: str | os.PathLike[str] | None, lossless: bool
    ) -> None:
        """Open the files; nothing runs before start(). Use `packets()`."""
        super().__init__(program.runtime, _nothing(), program=program, hook="packets")
        self.processed = 0
        self.survived = 0
        self.skipped = 0
        self.verdicts: Counter[str] = Counter()
        self.sources = program.sources
        self._program = program
        self._lossless = lossless
        # The embedded kernel waits itself, when a record finds no room; another kernel drops the record.
        self._paced = lossless and program.runtime.name != "embedded"
        self._capture = CaptureReader(source) if _is_capture(source) else None
        self._source = self._capture if self._capture is not None else _bare(source)  # type: ignore[arg-type]  # frames
        self._in_flight: deque[Packet] = deque()
        self._finished = threading.Event()
        self._failure: BaseException | None = None
        self._stopping = False
        self._started = False
        self._lock = threading.Lock()
        self._end_source: Callable[[], None] | None = None
        self._writer: CaptureWriter | None = None
        nano = self._capture is not None and self._capture.nano
        # A process may end while its source waits for the next packet of a pipe.
        live = self._capture is not None and self._capture.size is None
        try:
            if sink is not None:
                self._writer = CaptureWriter(sink, nano=nano, live=live)
        except BaseException as error:
            self._close_files(error)
            raise
        _all_links.add(self)

    @property
    def progress(self) -> float | None:
        """How much of the capture file was read, 0 to 1; None for a pipe and an iterable."""
        return None if self._capture is None else self._capture.progress

    @property
    def finished(self) -> bool:
        """Whether the source is exhausted, stopped or failed."""
        return self._finished.is_set()

    def start(self) -> None:
        """Begin to feed, on a thread of its own; further calls do nothing."""
        with self._lock:
            if self._started or self._stopping:
                return
            self._started = True
            self._end_source = self.sources.begin()
            try:
                hook = PacketsHook(
                    self._feed(),
                    sink=self._take,
                    done=self._done,
                    lossless=self._lossless,
                    runner=self._program.runner,
                )
                self._handle = self.runtime.attach(self._program.facts, hook)
            except BaseException as error:
                self._done(error)
                raise

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the source is exhausted or closed.

        Raises DeadlineExceeded after `timeout` seconds, and what ended it early or kept its files from being closed:
        ProgramFault, OSError, ObjectFileError, SystemCallError.
        """
        if not self._started and not self._stopping:
            raise ValueError("the source was not started: call start() or use a with statement")
        if not self._finished.wait(timeout):
            raise DeadlineExceeded(f"the source was not exhausted within {timeout} seconds")
        if self._failure is not None:
            raise self._failure

    def info(self) -> LinkInfo:
        """Not there: no kernel knows this link."""
        raise NotSupportedError("information about a source of packets", runtime=self.runtime.name)

    def update(self, program: Program, *, old: Program | None = None) -> None:
        """Not there: a source feeds one program."""
        raise NotSupportedError("replacing the program of a source of packets", alternative="make a new link")

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Not there: the source ends with this process."""
        raise NotSupportedError("pinning a source of packets", runtime=self.runtime.name)

    def detach(self) -> None:
        """Stop after the packet that is being processed, and close."""
        self.close()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._stopping

    def close(self) -> None:
        """Stop after the packet that is being processed; may be called again, from any thread.

        Does not wait for a source that blocks: it ends with its next packet.
        """
        with self._lock:
            self._stopping = True
            started = self._started
        self._handle.close()
        if not started:
            self._done(None)

    def __enter__(self) -> Self:
        self.start()
        return self

    def _finish_in_child(self) -> None:
        """Finish a started source in the child of a fork: the thread that feeds is the parent's."""
        if self._started and not (self._stopping or self.finished):
            self._failure = ClosedError("the source belongs to the parent process; make one of its own in the child")
        self._lock = threading.Lock()
        self._finished = threading.Event()
        if self._started or self._stopping:
            self._finished.set()

    # On the source's thread

    def _feed(self) -> Iterator[bytes]:
        for packet in self._source:
            if self._stopping:
                return
            if len(packet.data) < SHORTEST:
                self.skipped += 1
                continue
            if self._paced:
                self._wait_for_room()
            self._in_flight.append(packet)
            yield packet.data

    def _wait_for_room(self) -> None:
        while not self._stopping and self.sources.backlog > _HALF_FULL:
            self.sources.wake()  # whom a program leaves asleep (BPF_RB_NO_WAKEUP) would never make room
            time.sleep(_PAUSE)

    def _take(self, left: bytes, result: object) -> None:
        assert isinstance(result, RunResult)
        packet = self._in_flight.popleft()
        self.processed += 1
        self.verdicts[verdict(self._program.type, result.retval)] += 1
        out = survivor(self._program.type, result.retval, packet.data, left)
        if out is not None:
            self.survived += 1
            if self._writer is not None:
                self._writer.write(out, packet.time)

    def _done(self, failure: BaseException | None) -> None:
        if self._finished.is_set():
            return
        if isinstance(failure, SystemCallError):
            failure.add_note(f"packet {self.processed + 1 + self.skipped} of the source")
        self._failure = self._close_files(failure)
        self._finished.set()
        if self._end_source is not None:
            self._end_source()

    def _close_files(self, failure: BaseException | None) -> BaseException | None:
        """Close source and sink; return `failure`, or without one what kept a file from being closed."""
        for file in (self._capture, self._writer):
            try:
                if file is not None:
                    file.close()
            except BaseException as error:  # noqa: BLE001 - wait() raises it; readers have to see the end all the same
                if failure is None:
                    failure = error
                else:
                    failure.add_note(f"then closing a file failed: {error}")
        return failure


def _bare(source: Iterable[bytes]) -> Iterator[Packet]:
    return (Packet(bytes(data)) for data in source)


def _nothing() -> Handle:
    """Return a handle of nothing, closed already, for the time before the start."""
    handle = Handle(lambda _: None, -1)
    handle.close()
    return handle


_all_links = in_forked_children(PacketsLink._finish_in_child)
