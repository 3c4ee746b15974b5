"""BPF_PROG_TEST_RUN of programs on socket buffers (bpf_prog_test_run_skb in net/bpf/test_run.c)."""

from __future__ import annotations

from struct import unpack_from

from ebpf.abi.linux import EBADMSG, ENODEV
from ebpf.abi.linux.contexts import SK_BUFF_SIZE
from ebpf.abi.types import ProgramType
from ebpf.vm.context import skb as sk_buff
from ebpf.vm.context.skb import CB, ETH_HLEN, ETH_P_IP, ETH_P_IPV6, HEADROOM, LOCAL_IP6, REMOTE_IP6, SkbContext
from ebpf.vm.context.xdp import HARD_END
from ebpf.vm.helpers.checksum import fold, partial
from ebpf.vm.helpers.skb_shape import ethernet_protocol
from ebpf.vm.testrun import CHECKSUM_COMPLETE, Bench, TestRequest, TestRun, carried_out, context_input, refuse

LOOPBACK = 1
"""The only interface of the embedded kernel. Its address and its broadcast address are zero."""
MAX_LINEAR = HARD_END - HEADROOM
_HOST, _MULTICAST, _OTHER_HOST = 0, 2, 3
_AF_INET, _AF_INET6 = 2, 10
_GSO_MAX_SIZE = 65536
_GSO_MAX_SEGMENTS = 65535
REDIRECT = 7
"""TC_ACT_REDIRECT."""
_WITH_LINK_HEADER = (ProgramType.SCHED_CLS, ProgramType.SCHED_ACT)
_IP_HEADERS = {ETH_P_IP: 20, ETH_P_IPV6: 40}

# Public fields that the caller may set, by byte offset; everything else has to be zero.
_SETTABLE = (slice(8, 12), slice(32, 44), CB, slice(152, 168), slice(176, 180), slice(184, 192))


def run_skb(bench: Bench, request: TestRequest) -> TestRun:
    """Run on a packet of an Ethernet frame. Only tc programs see the link layer header."""
    if request.flags & ~CHECKSUM_COMPLETE or request.cpu or request.batch_size:
        raise refuse("unknown flags, cpu or batch_size")
    if len(request.data) < ETH_HLEN:
        raise refuse(f"a packet has at least {ETH_HLEN} bytes, got {len(request.data)}")
    if len(request.data) > MAX_LINEAR:
        raise refuse(f"a packet has at most {MAX_LINEAR} bytes, got {len(request.data)}")
    given = context_input(request, SK_BUFF_SIZE)
    skb = _receive(request, given)
    link_layer = bench.program.type in _WITH_LINK_HEADER
    if link_layer:
        skb.data -= ETH_HLEN
    skb.writable = link_layer
    _apply(skb, given)
    if request.flags & CHECKSUM_COMPLETE:
        skb.ip_summed = sk_buff.CHECKSUM_COMPLETE
        skb.csum = _checksum(skb)
    retval = bench.run(skb, request.repeat)
    if not link_layer:
        skb.push_head(ETH_HLEN)
    if request.flags & CHECKSUM_COMPLETE:
        _verify(skb)
    redirect = carried_out(skb.redirect, retval, REDIRECT if link_layer else None)
    return TestRun(retval, skb.packet(), _report(skb, given), bench.duration_ns, redirect)


def _receive(request: TestRequest, given: bytearray | None) -> SkbContext:
    """Make a socket buffer of the frame, as a driver does; its data starts at the network header."""
    skb = SkbContext(request.data)
    interface = 0 if given is None else unpack_from("<I", given, 40)[0]
    if interface > LOOPBACK:
        raise refuse(f"there is no interface {interface}", ENODEV)
    frame = request.data
    skb["ifindex"] = LOOPBACK
    skb["protocol"] = ethernet_protocol(frame[12:14], frame[14:16])
    skb["pkt_type"] = _HOST if not any(frame[:6]) else _MULTICAST if frame[0] & 1 else _OTHER_HOST
    skb.pull_head(ETH_HLEN)
    skb.network_header = skb.data
    _set_addresses(skb)
    return skb


def _set_addresses(skb: SkbContext) -> None:
    """Fill in what programs see of the socket: addresses taken from the packet."""
    header_size = _IP_HEADERS.get(skb["protocol"])
    if header_size is None:
        return
    if len(skb) < header_size:
        raise refuse(f"the packet has {len(skb)} bytes behind its Ethernet header, its IP header takes {header_size}")
    header = skb.read(0, header_size)
    if header_size == 20:
        skb["family"] = _AF_INET
        skb["local_ip4"], skb["remote_ip4"] = unpack_from("<II", header, 12)
    else:
        skb["family"] = _AF_INET6
        skb.fields[LOCAL_IP6], skb.fields[REMOTE_IP6] = header[8:24], header[24:40]


def _apply(skb: SkbContext, given: bytearray | None) -> None:
    """Take over the fields of the caller's context."""
    if given is None:
        return
    skb["wire_len"] = len(skb)
    rest = bytearray(given)
    for part in _SETTABLE:
        rest[part] = bytes(part.stop - part.start)
    if any(rest):
        raise refuse("the context sets a field that has to be zero")
    skb["mark"], skb["priority"], skb["ingress_ifindex"] = (unpack_from("<I", given, at)[0] for at in (8, 32, 36))
    skb["tstamp"], skb["hwtstamp"] = (unpack_from("<Q", given, at)[0] for at in (152, 184))
    skb.fields[CB] = given[CB]
    wire_length, segments, segment_size = (unpack_from("<I", given, at)[0] for at in (160, 164, 176))
    if wire_length:
        if not len(skb) <= wire_length <= _GSO_MAX_SIZE:
            raise refuse(f"wire_len has to be {len(skb)} to {_GSO_MAX_SIZE}")
        skb["wire_len"] = wire_length
    if segments > _GSO_MAX_SEGMENTS:
        raise refuse(f"gso_segs is at most {_GSO_MAX_SEGMENTS}")
    skb["gso_segs"], skb["gso_size"] = segments, segment_size & 0xFFFF


def _checksum(skb: SkbContext) -> int:
    return partial(skb.packet()[skb.network_offset :])


def _verify(skb: SkbContext) -> None:
    if fold(skb.csum) != fold(_checksum(skb)):
        raise refuse("the program left a wrong checksum of the packet", EBADMSG)


def _report(skb: SkbContext, given: bytearray | None) -> bytes:
    """Return the caller's context with the fields that programs may have changed."""
    if given is None:
        return b""
    for name, at, size in (
        ("mark", 8, 4),
        ("priority", 32, 4),
        ("ingress_ifindex", 36, 4),
        ("ifindex", 40, 4),
        ("tstamp", 152, 8),
        ("wire_len", 160, 4),
        ("gso_segs", 164, 4),
        ("hwtstamp", 184, 8),
    ):
        given[at : at + size] = skb[name].to_bytes(size, "little")
    given[CB] = skb.fields[CB]
    return bytes(given)
