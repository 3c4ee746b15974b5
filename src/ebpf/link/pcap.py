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


class Packet(NamedTuple):
    """A frame and when it was captured, in seconds since 1970 (None: unknown)."""

    data: bytes
    time: float | Decimal | None = None


class _WholeReads:
    """A file that gives all bytes asked for, or none at its end: what is between is a capture that was cut off."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self.name = getattr(file, "name", "capture")

    def read(self, count: int) -> bytes:
        left = self._size - self._file.tell()
        if 0 < left < count:
            raise ValueError(f"it ends {count - left} bytes too early")
        return self._file.read(count)


class CaptureReader:
    """Reads one file lazily, frame by frame; not for several threads at once. `nano` says whether times have ns."""

    def __init__(self, source: str | os.PathLike[str] | BinaryIO) -> None:
        """Open a file, or take one that is open, can be sought in, and then is this object's.

        Raises OSError, ObjectFileError, and NotSupportedError for frames that are not Ethernet.
        """
        if isinstance(source, (str, os.PathLike)):
            source = open(source, "rb")  # noqa: SIM115 - closed by close()
        self._file: BinaryIO = source
        self.path = str(getattr(source, "name", "capture"))
        try:
            if not self._file.seekable():
                raise ObjectFileError("a pipe is no capture file: write the packets to a file first", path=self.path)
            self.size = self._file.seek(0, os.SEEK_END)
            self._file.seek(0)
            magic = self._file.read(4)
            self._file.seek(0)
            self.nano = magic in _NANO_MAGICS
            self._reader = self._open(magic)
            self._check_link_type(self._reader.datalink())
        except BaseException:
            self._file.close()
            raise

    def _open(self, magic: bytes) -> Any:
        import dpkt

        module = dpkt.pcapng if magic == _PCAPNG_MAGIC else dpkt.pcap
        try:
            return module.Reader(_WholeReads(self._file, self.size))
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
            offset = self._file.tell()
            raise ObjectFileError(f"damaged capture: {error}", path=self.path, offset=offset) from error

    @property
    def progress(self) -> float:
        """How much of the file was read, 0 to 1."""
        return 1.0 if self._file.closed or not self.size else min(self._file.tell() / self.size, 1.0)

    def close(self) -> None:
        self._file.close()


class CaptureWriter:
    """Writes Ethernet frames to a pcap file; not for several threads at once."""

    def __init__(self, path: str | os.PathLike[str], *, nano: bool = False) -> None:
        """Create or overwrite a file; `nano` keeps nanoseconds."""
        import dpkt

        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115 - closed by close()
        self._writer = dpkt.pcap.Writer(self._file, snaplen=_SNAP_LENGTH, linktype=ETHERNET, nano=nano)

    def write(self, data: bytes, time: float | Decimal | None) -> None:
        """Append a frame; without a time it is now."""
        self._writer.writepkt(data, time)

    def close(self) -> None:
        """Flush and close; may be called again."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
