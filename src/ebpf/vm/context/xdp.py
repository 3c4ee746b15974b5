"""The context of XDP programs (struct xdp_buff, include/net/xdp.h): a frame in one page, more of it in fragments."""

from __future__ import annotations

from struct import pack_into
from typing import TYPE_CHECKING

from ebpf.abi.linux.contexts import XDP_INTERNAL_SIZE
from ebpf.vm.fault import Fault
from ebpf.vm.memory import AddressSpace

if TYPE_CHECKING:
    from ebpf.vm.context.redirect import Redirect

PAGE_SIZE = 4096
SHARED_INFO_SIZE = 320
"""struct skb_shared_info, cache-aligned: what the kernel keeps free at the end of the page."""
FRAME_SIZE = 40
"""struct xdp_frame: what the kernel keeps free at the start of the page."""
HARD_END = PAGE_SIZE - SHARED_INFO_SIZE
HEADROOM = 256
ETH_HLEN = 14
MAX_META = 252
"""Metadata is at most what a u8 of length, a multiple of 4, can say."""

_POINTERS = XDP_INTERNAL_SIZE - 24
_INTERFACES = 12


def metadata_length_invalid(size: int) -> bool:
    """Tell whether a frame can't have that much metadata (xdp_metalen_invalid)."""
    return size % 4 != 0 or not 0 <= size <= MAX_META


class XdpContext:
    """A frame. `data_meta`, `data` and `data_end` are offsets into `page`; `fragments` follow `data_end`.

    `redirect` is what the last redirect helper asked for, `form` what native code calls it (enum form).
    """

    translated = True
    form = 1

    def __init__(self, linear: bytes, *, headroom: int = HEADROOM, meta_size: int = 0) -> None:
        self.page = bytearray(PAGE_SIZE)
        self.data_meta = headroom
        self.data = headroom + meta_size
        self.data_end = headroom + len(linear)
        self.page[headroom : self.data_end] = linear
        self.fragments: list[bytearray] = []
        self.fields = bytearray(XDP_INTERNAL_SIZE)
        self.redirect: Redirect | None = None
        self.address = 0
        self._packet = 0
        self._memory = AddressSpace()

    def set_interfaces(self, *, ingress: int, queue: int = 0, egress: int = 0) -> None:
        """Set `ingress_ifindex`, `rx_queue_index` and `egress_ifindex`."""
        pack_into("<III", self.fields, _INTERFACES, ingress, queue, egress)

    def attach(self, memory: AddressSpace) -> int:
        """Put context and packet into the address space of a run and return what r1 holds."""
        self._memory = memory
        self._packet = 0
        self.redirect = None
        self.address = memory.add(self.fields, "context", writable=False, opaque=True)
        memory.point(context=self.address)
        self.move()
        return self.address

    def move(self) -> None:
        """Give the packet new addresses, after its bounds changed: pointers from before fault, as they are void."""
        if self._packet:
            self._memory.remove(self._packet)
        base = self._packet = self._memory.add(self.page, "packet")
        self._memory.limit(base, self.data_meta, self.data_end)
        self._memory.point(packet=base)
        pack_into("<QQQ", self.fields, _POINTERS, base + self.data, base + self.data_end, base + self.data_meta)

    def __len__(self) -> int:
        return self.data_end - self.data + sum(map(len, self.fragments))

    def read(self, offset: int, size: int) -> bytes:
        """Copy bytes of the packet, fragments included; the range must lie inside."""
        return self._whole()[offset : offset + size]

    def _whole(self) -> bytes:
        return b"".join((self.page[self.data : self.data_end], *self.fragments))

    def write(self, offset: int, content: bytes) -> None:
        """Overwrite bytes of the packet, fragments included; the range must lie inside."""
        start = 0
        linear = memoryview(self.page)[self.data : self.data_end]
        for part in (linear, *(memoryview(fragment) for fragment in self.fragments)):
            first, last = max(offset, start), min(offset + len(content), start + len(part))
            if first < last:
                part[first - start : last - start] = content[first - offset : last - offset]
            start += len(part)

    def write_metadata(self, content: bytes) -> None:
        """Overwrite the metadata."""
        memoryview(self.page)[self.data_meta : self.data] = content

    def frame(self) -> bytes:
        """Return metadata and packet, what BPF_PROG_TEST_RUN gives out."""
        return bytes(self.page[self.data_meta : self.data]) + self._whole()

    def packet_bytes(self, offset: int, size: int) -> bytes | None:
        """Refuse legacy packet loads."""
        raise Fault("instruction", "XDP programs have no legacy packet access")
