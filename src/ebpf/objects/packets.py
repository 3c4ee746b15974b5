"""What `Program.run_many` takes as packets, brought into one buffer with offsets and lengths."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from ebpf.objects.batch import Batch
from ebpf.objects.spans import spans, words
from ebpf.runtime.joined import JoinedPackets

if TYPE_CHECKING:
    from typing_extensions import Buffer

    PacketSource: TypeAlias = (
        Iterable[Buffer] | Batch | tuple[Buffer, Buffer | Sequence[int]] | str | os.PathLike[str] | BinaryIO | Any
    )


def gather(source: PacketSource) -> JoinedPackets:
    """Bring packets into one buffer.

    Raises:
        TypeError: these are no packets. ValueError: an offset or a length leads out of the data, or a packet is null.
        OSError, ObjectFileError, NotSupportedError: of a capture file.
    """
    if isinstance(source, Batch):
        return _inside(JoinedPackets(memoryview(source.data), array("Q", source.lengths), array("Q", source.offsets)))
    if isinstance(source, (str, os.PathLike)) or hasattr(source, "read"):
        return _captured(source)
    if hasattr(source, "__arrow_c_array__") or hasattr(source, "__arrow_c_stream__"):
        from ebpf.objects.arrow import binary_column

        return binary_column(source)
    if isinstance(source, tuple) and len(source) == 2 and _are_offsets(source[1]):
        return _cut(*source)
    if isinstance(source, (bytes, bytearray)) or not isinstance(source, Iterable):
        raise TypeError(
            f"run_many takes packets, got {type(source).__name__}: pass a list of buffers, (data, offsets), a Batch, "
            "an Arrow binary column or the path of a capture"
        )
    return _joined(list(source))


def _joined(packets: list[Any]) -> JoinedPackets:
    try:
        data, lengths = b"".join(packets), array("Q", map(len, packets))
    except TypeError:
        data, lengths = b"", array("Q", [1])
    if sum(lengths) != len(data):  # some are no bytes, or buffers of larger items
        packets = [_bytes(index, packet) for index, packet in enumerate(packets)]
        data, lengths = b"".join(packets), array("Q", map(len, packets))
    return JoinedPackets(memoryview(data), lengths)


def _bytes(index: int, packet: Any) -> bytes:
    try:
        return memoryview(packet).tobytes()
    except TypeError:
        raise TypeError(f"packet {index} is no buffer but {type(packet).__name__}") from None


def _captured(source: Any) -> JoinedPackets:
    from ebpf.link.pcap import CaptureReader

    reader = CaptureReader(source if isinstance(source, (str, os.PathLike)) else BytesIO(source.read()))
    try:
        return _joined([packet.data for packet in reader])
    finally:
        reader.close()


def _are_offsets(value: Any) -> bool:
    """Tell offsets from a second packet: packets are buffers of bytes, which no list is."""
    if isinstance(value, (list, tuple, range)):
        return True
    try:
        return memoryview(value).itemsize > 1
    except TypeError:
        return False


def _cut(data: Any, offsets: Any) -> JoinedPackets:
    if hasattr(offsets, "mask"):  # what memoryview() shows behind it is no offset
        raise ValueError("offsets are an array without a mask, got a masked one: fill or drop what is masked")
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"the data of (data, offsets) is a buffer, got {type(data).__name__}") from None
    view = view.cast("B")
    first, end, lengths = spans(offsets)
    if end > len(view):
        return _inside(JoinedPackets(view, lengths, words(offsets)[:-1]))
    return JoinedPackets(view[first:end], lengths)


def _inside(packets: JoinedPackets) -> JoinedPackets:
    size = len(packets.data)
    if len(packets.offsets) != len(packets.lengths):
        raise ValueError(f"there are {len(packets.offsets)} offsets and {len(packets.lengths)} lengths")
    if max(packets.offsets, default=0) + max(packets.lengths, default=0) > size:
        for index, (offset, length) in enumerate(zip(packets.offsets, packets.lengths, strict=True)):
            if offset + length > size:
                raise ValueError(f"packet {index} is bytes {offset} to {offset + length} of {size}")
    return packets
