"""Packets from and to capture files: pcap (draft-ietf-opsawg-pcap) and pcapng, read and written with dpkt."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from ebpf.errors import NotSupportedError, ObjectFileError
from ebpf.plain import NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal
    from types import TracebackType
    from typing import Self

ETHERNET = 1
"""LINKTYPE_ETHERNET."""
_PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
_NANO_MAGICS = (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d")
_SNAP_LENGTH = 262144
_CHUNK = 1 << 20


class Packet(NamedTuple):
    """A frame and when it was captured, in seconds since 1970 (None: unknown)."""

    data: bytes
    time: float | Decimal | None = None


class _WholeReads:
    """A file that gives all bytes asked for, or none at its end: what is between is a capture that was cut off.

    It is only read forward, so that a pipe will do. `magic` is what it begins with, `at` how many bytes were read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ahead = b""
        self.at = 0
        self.name = getattr(file, "name", "capture")
        self.magic = self._ahead = self._read(4)

    def read(self, count: int) -> bytes:
        if count < 0:
            raise ValueError("a block is shorter than its own header")
        data = self._read(count)
        if 0 < len(data) < count:
            raise ValueError(f"it ends {count - len(data)} bytes too early")
        return data

    def _read(self, count: int) -> bytes:
        data, self._ahead = self._ahead, b""
        # A damaged length may be anything: memory is taken as bytes come.
        while chunk := self._file.read(min(count - len(data), max(_CHUNK, len(data)))):
            data += chunk
            self.at += len(chunk)
        return data


class CaptureReader:
    """Reads one file lazily, frame by frame; not for several threads at once. `nano` says whether times have ns.

    `size` is in bytes, None for a pipe, which has none before it ends.
    """

    def __init__(self, source: str | os.PathLike[str] | BinaryIO) -> None:
        """Open a file or pipe, or take one that is open and then is this object's; what can be sought in is read whole.

        Reads the header: waits for who writes into a pipe. Raises OSError, ObjectFileError, and NotSupportedError for
        frames that are not Ethernet.
        """
        if isinstance(source, (str, os.PathLike)):
            source = open(source, "rb")  # noqa: SIM115 - closed by close()
        self._file: BinaryIO = source
        self.path = _name_of(source)
        self.size: int | None = None
        try:
            if source.seekable():
                self.size = source.seek(0, os.SEEK_END)
                source.seek(0)
            self._bytes = _WholeReads(source)
            self.nano = self._bytes.magic in _NANO_MAGICS
            self._reader = self._open()
            self._check_link_type(self._reader.datalink())
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> Any:
        import dpkt

        module = dpkt.pcapng if self._bytes.magic == _PCAPNG_MAGIC else dpkt.pcap
        try:
            return module.Reader(self._bytes)
        except (ValueError, struct.error, dpkt.Error) as error:
            raise ObjectFileError(f"not a pcap or pcapng file: {error}", path=self.path) from error

    def _check_link_type(self, number: int) -> None:
        if number != ETHERNET:
            raise NotSupportedError(
                f"{self.path}: link type {number}", alternative="packets must be Ethernet frames (link type 1)"
            )

    def __iter__(self) -> Iterator[Packet]:
        import dpkt

        try:
            for time, data in self._reader:
                yield Packet(bytes(data), time)
        except (ValueError, struct.error, dpkt.Error) as error:
            raise ObjectFileError(f"damaged capture: {error}", path=self.path, offset=self._bytes.at) from error

    @property
    def progress(self) -> float | None:
        """How much of the file was read, 0 to 1; None for a pipe."""
        if self.size is None:
            return None
        return 1.0 if self._file.closed or not self.size else min(self._bytes.at / self.size, 1.0)

    def close(self) -> None:
        self._file.close()


def _name_of(file: BinaryIO) -> str:
    name = getattr(file, "name", "capture")
    return "<stdin>" if name == 0 else str(name)


class CaptureWriter:
    """Writes Ethernet frames to a pcap file; not for several threads at once."""

    def __init__(self, path: str | os.PathLike[str], *, nano: bool = False, live: bool = False) -> None:
        """Create or overwrite a file; `nano` keeps nanoseconds, `live` leaves no frame in memory."""
        import dpkt

        self._live = live
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115 - closed by close()
        self._writer = dpkt.pcap.Writer(self._file, snaplen=_SNAP_LENGTH, linktype=ETHERNET, nano=nano)
        self._flush_if_live()

    def write(self, data: bytes, time: float | Decimal | None) -> None:
        """Append a frame; without a time it is now."""
        self._writer.writepkt(data, time)
        self._flush_if_live()

    def _flush_if_live(self) -> None:
        if self._live:
            self._file.flush()

    def close(self) -> None:
        """Flush and close; may be called again."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
