"""The context of programs on socket buffers (struct sk_buff): packet, header offsets and the fields of `__sk_buff`."""

from __future__ import annotations

from struct import pack_into
from typing import TYPE_CHECKING

from ebpf.abi.linux import ENOMEM
from ebpf.abi.linux.contexts import SK_BUFF_INTERNAL_SIZE
from ebpf.vm.memory import AddressSpace

if TYPE_CHECKING:
    from ebpf.vm.context.redirect import Redirect

HEADROOM = 64
"""NET_SKB_PAD + NET_IP_ALIGN on x86-64."""
ETH_HLEN = 14
MAX_LENGTH = 4 * 4096 - 320
"""BPF_SKB_MAX_LEN: the longest packet that helpers make."""
ETH_P_IP = int.from_bytes(b"\x08\x00", "little")
ETH_P_IPV6 = int.from_bytes(b"\x86\xdd", "little")
ETH_P_8021Q = int.from_bytes(b"\x81\x00", "little")
ETH_P_8021AD = int.from_bytes(b"\x88\xa8", "little")
"""Protocol numbers in network byte order, as `__sk_buff.protocol` shows them."""
VLAN_PROTOCOLS = (ETH_P_8021Q, ETH_P_8021AD)

_POINTERS = 192
POINTERS_SIZE = SK_BUFF_INTERNAL_SIZE - _POINTERS
"""Bytes at the end of the internal context: addresses that compiled programs count on."""
_NET_HEADERS = -0x100000
_LINK_HEADERS = -0x200000

# Internal fields that the kernel side reads or writes: name → (offset, size in bytes).
_FIELDS = {
    "len": (0, 4),
    "pkt_type": (4, 4),
    "mark": (8, 4),
    "queue_mapping": (12, 4),
    "protocol": (16, 4),
    "vlan_present": (20, 4),
    "vlan_tci": (24, 4),
    "vlan_proto": (28, 4),
    "priority": (32, 4),
    "ingress_ifindex": (36, 4),
    "ifindex": (40, 4),
    "tc_index": (44, 4),
    "hash": (68, 4),
    "tc_classid": (72, 4),
    "family": (88, 4),
    "remote_ip4": (92, 4),
    "local_ip4": (96, 4),
    "tstamp": (152, 8),
    "wire_len": (160, 4),
    "gso_segs": (164, 4),
    "gso_size": (176, 4),
    "tstamp_type": (180, 1),
    "hwtstamp": (184, 8),
}
CB = slice(48, 68)
REMOTE_IP6 = slice(100, 116)
LOCAL_IP6 = slice(116, 132)

CHECKSUM_NONE = 0
CHECKSUM_UNNECESSARY = 1
CHECKSUM_COMPLETE = 2


class SkbContext:
    """A socket buffer. `data`, `mac_header` and `network_header` are offsets into `head`, whose rest is the packet.

    All of the packet is linear. `writable` says whether programs may write it directly. `ip_summed`, `csum` and
    `csum_level` are the checksum state. `redirect` is what the last redirect helper asked for, `form` what native code
    calls the context (enum form).
    """

    translated = True
    form = 2

    def __init__(self, packet: bytes) -> None:
        self.head = bytearray(HEADROOM) + packet
        self.data = HEADROOM
        self.mac_header = self.network_header = HEADROOM
        self.mac_length = 0
        """What the kernel last noted as the length of the link layer header (`mac_len`); 0: nothing."""
        self.writable = True
        self.ip_summed = CHECKSUM_NONE
        self.csum = 0
        self.csum_level = 0
        self.fields = bytearray(SK_BUFF_INTERNAL_SIZE)
        self.redirect: Redirect | None = None
        self.address = 0
        self._packet = 0
        self._memory: AddressSpace | None = None

    def attach(self, memory: AddressSpace) -> int:
        """Put context and packet into the address space of a run and return what r1 holds."""
        self._memory = memory
        self._packet = 0
        self.redirect = None
        self.address = memory.add(self.fields, "context", opaque=True, kept=POINTERS_SIZE)
        memory.point(context=self.address)
        self.move()
        return self.address

    def move(self) -> None:
        """Give the packet new addresses, after its bounds changed: pointers from before fault, as they are void."""
        self["len"] = len(self)
        if self._memory is None:
            return
        if self._packet:
            self._memory.remove(self._packet)
        base = self._packet = self._memory.add(self.head, "packet", writable=self.writable)
        self._memory.limit(base, self.data, len(self.head))
        self._memory.point(packet=base)
        pack_into("<QQQ", self.fields, _POINTERS, base + self.data, base + len(self.head), base + self.data)

    # Fields.

    def __getitem__(self, name: str) -> int:
        offset, size = _FIELDS[name]
        return int.from_bytes(self.fields[offset : offset + size], "little")

    def __setitem__(self, name: str, value: int) -> None:
        offset, size = _FIELDS[name]
        self.fields[offset : offset + size] = value.to_bytes(size, "little")

    # Packet.

    def __len__(self) -> int:
        return len(self.head) - self.data

    @property
    def network_offset(self) -> int:
        """Where the network header is, counted from the start of the packet; may be negative."""
        return self.network_header - self.data

    @property
    def mac_header_length(self) -> int:
        """Bytes of the link layer header."""
        return self.network_header - self.mac_header

    def packet(self) -> bytes:
        """Copy the whole packet."""
        return bytes(self.head[self.data :])

    def read(self, offset: int, size: int) -> bytes:
        """Copy bytes of the packet; the range must lie inside."""
        at = self.data + offset
        return bytes(self.head[at : at + size])

    def write(self, offset: int, content: bytes | bytearray) -> None:
        """Overwrite bytes of the packet; the range must lie inside."""
        at = self.data + offset
        memoryview(self.head)[at : at + len(content)] = content

    def pull(self, size: int) -> int:
        """Make sure of the first `size` bytes; -ENOMEM if the packet is shorter."""
        return -ENOMEM if size > len(self) else 0

    def push_head(self, size: int) -> None:
        """Prepend `size` zero bytes; header offsets keep pointing at the same bytes."""
        missing = size - self.data
        if missing > 0:
            self._replace(bytes(missing) + self.head)
            self.data += missing
            self.mac_header += missing
            self.network_header += missing
        self.data -= size
        memoryview(self.head)[self.data : self.data + size] = bytes(size)

    def pull_head(self, size: int) -> None:
        """Drop the first `size` bytes, which stay as headroom."""
        self.data += size

    def resize(self, length: int) -> None:
        """Cut the packet, or lengthen it with zeros."""
        self._replace(self.head[: self.data + length].ljust(self.data + length, b"\0"))

    def insert(self, offset: int, size: int) -> None:
        """Make room of `size` zero bytes at `offset`: what was before it moves to the front (bpf_skb_generic_push)."""
        self.push_head(size)
        front = self.read(size, offset)
        self.write(0, front + bytes(size))

    def remove(self, offset: int, size: int) -> None:
        """Take `size` bytes out at `offset` (bpf_skb_generic_pop)."""
        front = self.read(0, offset)
        self.pull_head(size)
        self.write(0, front)

    def _replace(self, head: bytes | bytearray) -> None:
        # A bytearray can't change its size while a region views it, so a new one takes its place.
        self.head = bytearray(head)

    def packet_bytes(self, offset: int, size: int) -> bytes | None:
        """Read for a legacy packet load; negative offsets count from the network or the link layer header.

        Returns None where the kernel ends the program with 0.
        """
        if offset >= 0:
            return self.read(offset, size) if offset + size <= len(self) else None
        if offset >= _NET_HEADERS:
            at = self.network_header + offset - _NET_HEADERS
        elif offset >= _LINK_HEADERS:
            at = self.mac_header + offset - _LINK_HEADERS
        else:
            return None
        inside = at >= 0 and at + size <= len(self.head)
        return bytes(self.head[at : at + size]) if inside else None
