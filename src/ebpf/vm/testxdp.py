"""BPF_PROG_TEST_RUN of XDP programs (bpf_prog_test_run_xdp in net/bpf/test_run.c)."""

from __future__ import annotations

from struct import pack_into, unpack_from

from ebpf.abi import types
from ebpf.abi.linux import ENODEV, ENOMEM
from ebpf.abi.linux.contexts import XDP_MD_SIZE
from ebpf.vm.context.xdp import ETH_HLEN, FRAME_SIZE, HARD_END, HEADROOM, PAGE_SIZE, XdpContext, metadata_length_invalid
from ebpf.vm.testrun import (
    LIVE_FRAMES,
    Bench,
    TestRequest,
    TestRun,
    carried_out,
    context_input,
    refuse,
    refuse_live_frames,
)

LOOPBACK = 1
"""The only interface of the embedded kernel; it has one queue."""
MAX_FRAGMENTS = 17
REDIRECT = 4
"""XDP_REDIRECT."""
_DATA_END = 4


def run_xdp(bench: Bench, request: TestRequest) -> TestRun:
    """Run on a frame made of `data`, whose first bytes are metadata where the context says so."""
    _check(bench, request)
    md = context_input(request, XDP_MD_SIZE)
    meta_size, linear_size = _check_bounds(md, request)
    room = HARD_END - (HEADROOM - meta_size)
    linear_size = min(linear_size, room)
    if len(request.data) - meta_size < ETH_HLEN:
        raise refuse(f"a packet has at least {ETH_HLEN} bytes, got {len(request.data) - meta_size}")
    frame = XdpContext(request.data[:linear_size], headroom=HEADROOM - meta_size, meta_size=meta_size)
    _set_interfaces(frame, md)
    frame.fragments = _fragments(request.data[linear_size:])
    retval = bench.run(frame, request.repeat)
    if md is not None:
        pack_into("<II", md, 0, frame.data - frame.data_meta, frame.data_end - frame.data_meta)
    redirect = carried_out(frame.redirect, retval, REDIRECT)
    return TestRun(retval, frame.frame(), bytes(md or b""), bench.duration_ns, redirect)


def _check(bench: Bench, request: TestRequest) -> None:
    attach = bench.program.attach_type
    if attach is not None and attach in (types.AttachType.XDP_DEVMAP, types.AttachType.XDP_CPUMAP):
        raise refuse("programs for a devmap or cpumap have no test run")
    if request.flags & ~LIVE_FRAMES:
        raise refuse("unknown flags")
    refuse_live_frames(request)
    if request.batch_size:
        raise refuse("batch_size is for live frames")


def _check_bounds(md: bytearray | None, request: TestRequest) -> tuple[int, int]:
    """Return how many bytes are metadata, and how many, with them, are linear."""
    size = len(request.data)
    if md is None:
        return 0, size
    data, data_end, data_meta = unpack_from("<III", md)
    if data_meta or data_end > size or data > data_end:
        raise refuse("the context needs data_meta 0 and data <= data_end <= size of the data")
    if metadata_length_invalid(data) or data > HEADROOM - FRAME_SIZE:
        raise refuse("metadata has a multiple of 4 bytes and has to fit into the headroom")
    return data, data_end


def _set_interfaces(frame: XdpContext, md: bytearray | None) -> None:
    ingress, queue, egress = (0, 0, 0) if md is None else unpack_from("<III", md, 12)
    if egress or (queue and not ingress):
        raise refuse("egress_ifindex has to be 0, and rx_queue_index needs an ingress_ifindex")
    if ingress not in (0, LOOPBACK):
        raise refuse(f"there is no interface {ingress}", ENODEV)
    if queue:
        raise refuse(f"interface {ingress} has no queue {queue}")
    frame.set_interfaces(ingress=ingress or LOOPBACK)


def _fragments(rest: bytes) -> list[bytearray]:
    parts = [bytearray(rest[at : at + PAGE_SIZE]) for at in range(0, len(rest), PAGE_SIZE)]
    if len(parts) > MAX_FRAGMENTS:
        raise refuse("the packet has too many fragments", ENOMEM)
    return parts
