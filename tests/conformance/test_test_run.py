"""BPF_PROG_TEST_RUN by fixed expectations: what holds on every runtime, written down and not only compared."""

from __future__ import annotations

from struct import pack, unpack
from typing import Any

import pytest

from ebpf.abi.types import AttachType, MapType, ProgramType
from ebpf.runtime import Runtime
from ebpf.vm.maps import MapShape
from tests.testrun.case import Case, on
from tests.testrun.packets import IP4, UDP4, UDP6, VLAN, pattern
from tests.testrun.skb_fields import ctx
from tests.testrun.xdp import md

XDP, TC, FILTER, CGROUP, RAW, SYSCALL = (
    ProgramType.XDP,
    ProgramType.SCHED_CLS,
    ProgramType.SOCKET_FILTER,
    ProgramType.CGROUP_SKB,
    ProgramType.RAW_TRACEPOINT,
    ProgramType.SYSCALL,
)
PASS = "r0 = 1; exit"
EINVAL, E2BIG, ENODEV, ENOMEM, EACCES = 22, 7, 19, 12, 13


def run(type_: ProgramType, text: str, data: bytes = UDP4, **options: Any) -> Case:
    return Case(name="case", type=type_, text=text, data=data, **options)


@pytest.mark.parametrize(
    ("type_", "size", "errno"),
    [
        *((type_, size, EINVAL) for type_ in (XDP, TC, FILTER, CGROUP) for size in (0, 13)),
        *((type_, size, 0) for type_ in (XDP, TC, FILTER, CGROUP) for size in (14, 1500, 3520)),
        (TC, 3712, 0),
        (XDP, 3520 + 17 * 4096, 0),
        (XDP, 3521 + 17 * 4096, ENOMEM),
    ],
)
def test_size_of_packets(runtime: Runtime, type_: ProgramType, size: int, errno: int) -> None:
    outcome = on(runtime, run(type_, PASS, pattern(size)))
    assert outcome.refused == errno
    if not errno:
        # Programs that don't see the link layer header leave it zeroed.
        hidden = 14 if type_ in (FILTER, CGROUP) else 0
        assert outcome.data == bytes(hidden) + pattern(size)[hidden:]


@pytest.mark.parametrize(("type_", "data", "data_end"), [(XDP, 0, 4), (TC, 76, 80), (CGROUP, 76, 80)])
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_data_end_is_exact(runtime: Runtime, type_: ProgramType, data: int, data_end: int, beyond: int) -> None:
    size = len(UDP4) - (14 if type_ is CGROUP else 0) + beyond
    text = f"""
        r2 = *(u32 *)(r1 + {data}); r3 = *(u32 *)(r1 + {data_end})
        r4 = r2; r4 += {size}
        r0 = 0
        if r4 > r3 goto out
        r0 = *(u8 *)(r2 + {size - 1})
        r1 = map[out][0] ll
        *(u64 *)(r1 + 0) = r0
        r0 = 1
        out: exit
    """
    outcome = on(runtime, run(type_, text))
    assert outcome.retval == (beyond <= 0)
    assert outcome.out[0] == (UDP4[beyond - 1] if beyond <= 0 else 0)


@pytest.mark.parametrize(
    ("helper", "delta", "result"),
    [
        ("head", 0, 0), ("head", 14, 0), ("head", len(UDP4) - 14, 0), ("head", len(UDP4) - 13, -EINVAL),
        ("head", -216, 0), ("head", -217, -EINVAL), ("tail", 14 - len(UDP4), 0), ("tail", 13 - len(UDP4), -EINVAL),
        ("tail", 3520 - len(UDP4), 0), ("tail", 3521 - len(UDP4), -EINVAL), ("meta", -4, 0), ("meta", -5, -EACCES),
        ("meta", -220, -EINVAL), ("meta", 4, -EINVAL),
    ],
)  # fmt: skip
def test_adjusting_a_frame(runtime: Runtime, helper: str, delta: int, result: int) -> None:
    text = f"r2 = {delta}; call bpf_xdp_adjust_{helper}; exit"
    outcome = on(runtime, run(XDP, text))
    assert outcome.retval == result & 0xFFFFFFFF
    if result:
        assert outcome.data == UDP4
    elif helper == "head":
        assert outcome.data == (UDP4[delta:] if delta >= 0 else bytes(-delta) + UDP4)
    elif helper == "tail":
        assert outcome.data == (UDP4 + bytes(delta) if delta > 0 else UDP4[: len(UDP4) + delta])
    else:
        assert outcome.data == bytes(-delta) + UDP4


def test_metadata_comes_and_goes(runtime: Runtime) -> None:
    data = b"META" + UDP4
    case = run(XDP, "r2 = 2; call bpf_xdp_adjust_head; exit", data, ctx=md(4, len(data)), wants_ctx=True)
    outcome = on(runtime, case)
    assert outcome.data == b"META" + UDP4[2:]
    assert unpack("<6I", outcome.ctx) == (4, len(data) - 2, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("given", "errno"),
    [
        (md(), 0), (md(0, 60), 0), (md(0, 61), EINVAL), (md(4, 60), 0), (md(2, 60), EINVAL), (md(0, 60, 4), EINVAL),
        (md(0, 60, ingress=1), 0), (md(0, 60, ingress=9999), ENODEV), (md(0, 60, queue=1), EINVAL),
        (md(0, 60, egress=1), EINVAL), (md(0, 60) + b"\1", E2BIG), (md(0, 60) + b"\0", 0),
    ],
)  # fmt: skip
def test_context_of_xdp(runtime: Runtime, given: bytes, errno: int) -> None:
    assert on(runtime, run(XDP, PASS, ctx=given)).refused == errno


@pytest.mark.parametrize(
    ("given", "errno"),
    [
        (ctx(mark=1, priority=2, ingress_ifindex=3, tstamp=4, gso_segs=5, gso_size=6, hwtstamp=7), 0),
        (ctx(ifindex=1), 0), (ctx(ifindex=9999), ENODEV), (ctx(wire_len=59), EINVAL), (ctx(wire_len=60), 0),
        (ctx(protocol=8), EINVAL), (ctx(hash=1), EINVAL), (ctx(tc_index=1), EINVAL), (ctx(gso_segs=65536), EINVAL),
    ],
)  # fmt: skip
@pytest.mark.parametrize("type_", [TC, CGROUP, FILTER])
def test_context_of_socket_buffers(runtime: Runtime, type_: ProgramType, given: bytes, errno: int) -> None:
    seen = len(UDP4) - (0 if type_ is TC else 14)
    if errno == EINVAL and given == ctx(wire_len=59) and seen < 59:
        errno = 0
    outcome = on(runtime, run(type_, PASS, ctx=given, wants_ctx=True))
    assert outcome.refused == errno
    if not errno:
        report = bytearray(given)
        report[40:44] = pack("<I", 1)
        report[160:164] = pack("<I", unpack("<I", given[160:164])[0] or seen)
        assert outcome.ctx == report


def test_mark_priority_and_cb_come_back(runtime: Runtime) -> None:
    text = f"*(u32 *)(r1 + 8) = 7; *(u32 *)(r1 + 32) = 8; *(u64 *)(r1 + 48) = 9; {PASS}"
    outcome = on(runtime, run(TC, text, ctx=ctx(cb=bytes(range(1, 21))), wants_ctx=True))
    assert unpack("<I", outcome.ctx[8:12]) == (7,)
    assert unpack("<I", outcome.ctx[32:36]) == (8,)
    assert outcome.ctx[48:68] == bytes((9, 0, 0, 0, 0, 0, 0, 0)) + bytes(range(9, 21))


def test_vlan_tags(runtime: Runtime) -> None:
    pop = on(runtime, run(TC, "call bpf_skb_vlan_pop; exit", VLAN))
    assert pop.data == VLAN[:12] + VLAN[16:]
    push = (
        "r6 = r1; r2 = 0x81; r3 = 5; call bpf_skb_vlan_push; r1 = r6; r2 = 0x81; r3 = 6; call bpf_skb_vlan_push; exit"
    )
    # The newest tag stays outside of the packet, as network cards keep it.
    assert on(runtime, run(TC, push)).data == UDP4[:12] + b"\x81\0\0\5" + UDP4[12:]


def test_checksum_of_a_changed_address(runtime: Runtime) -> None:
    text = """
        r6 = r1
        r2 = 24; r3 = 0x0100000a; r4 = 0x0900000a; r5 = 4
        call bpf_l3_csum_replace
        *(u32 *)(r10 - 4) = 0x0900000a
        r1 = r6; r2 = 26; r3 = r10; r3 += -4; r4 = 4; r5 = 0
        call bpf_skb_store_bytes
        exit
    """

    def checksum(header: bytes) -> int:
        total = sum(unpack(">10H", header))
        return ~(total % 0xFFFF or 0xFFFF) & 0xFFFF

    header = IP4[:10] + pack(">H", checksum(IP4[:10] + b"\0\0" + IP4[12:20])) + IP4[12:20]
    outcome = on(runtime, run(TC, text, UDP4[:14] + header + IP4[20:]))
    changed = outcome.data[14:34]
    assert changed[12:16] == bytes((10, 0, 0, 9))
    assert unpack(">H", changed[10:12])[0] == checksum(changed[:10] + b"\0\0" + changed[12:])


@pytest.mark.parametrize(("type_", "at"), [(FILTER, 0), (TC, 14), (CGROUP, 0)])
def test_load_bytes_counts_from_the_data(runtime: Runtime, type_: ProgramType, at: int) -> None:
    text = f"r2 = {at}; r3 = map[out][0] ll; r4 = 20; call bpf_skb_load_bytes; r0 &= 1; exit"
    outcome = on(runtime, run(type_, text))
    assert outcome.out[:20] == IP4[:20]


@pytest.mark.parametrize(("data", "protocol", "family"), [(UDP4, 0x800, 2), (UDP6, 0x86DD, 10), (VLAN, 0x8100, 0)])
def test_protocol_and_family(runtime: Runtime, data: bytes, protocol: int, family: int) -> None:
    text = "r2 = *(u32 *)(r1 + 16); r3 = *(u32 *)(r1 + 88); r1 = map[out][0] ll; *(u64 *)(r1 + 0) = r2;"
    outcome = on(runtime, run(CGROUP, f"{text} *(u64 *)(r1 + 8) = r3; {PASS}", data))
    assert unpack("<QQ", outcome.out[:16]) == (int.from_bytes(protocol.to_bytes(2, "big"), "little"), family)


@pytest.mark.parametrize(
    ("type_", "offset", "size", "write", "allowed"),
    [
        (FILTER, 76, 4, False, False), (TC, 76, 4, False, True), (TC, 76, 2, False, False), (FILTER, 8, 4, True, False),
        (TC, 8, 4, True, True), (TC, 8, 2, True, False), (TC, 8, 1, False, True), (CGROUP, 44, 4, True, False),
        (TC, 44, 4, True, True), (FILTER, 48, 8, True, True), (FILTER, 64, 8, True, False), (TC, 152, 8, True, True),
        (TC, 152, 4, False, False), (XDP, 0, 8, False, False), (XDP, 0, 4, True, False), (XDP, 20, 4, False, False),
        (TC, 192, 4, False, False), (CGROUP, 88, 4, False, True), (TC, 88, 4, False, False), (RAW, 96, 8, False, False),
        (RAW, 0, 8, True, False), (RAW, 88, 8, False, True),
    ],
)  # fmt: skip
def test_access_to_contexts(
    runtime: Runtime, type_: ProgramType, offset: int, size: int, write: bool, allowed: bool
) -> None:
    access = f"*({({1: 'u8', 2: 'u16', 4: 'u32', 8: 'u64'})[size]} *)(r1 + {offset})"
    text = f"{access} = 0; {PASS}" if write else f"r0 = {access}; {PASS}"
    options: dict[str, Any] = {"data": b"", "wants_data": False, "ctx": bytes(96)} if type_ is RAW else {}
    outcome = on(runtime, Case(name="access", type=type_, text=text, **options))
    assert (outcome.refused, outcome.at_load) == ((0, False) if allowed else (EACCES, True))


def plain(type_: ProgramType, text: str = PASS, **options: Any) -> Case:
    given = {"data": b"", "wants_data": False, **options}
    return Case(name="plain", type=type_, text=text, **given)


@pytest.mark.parametrize("type_", [RAW, SYSCALL])
def test_what_contexts_alone_refuse(runtime: Runtime, type_: ProgramType) -> None:
    for options in ({"data": UDP4}, {"wants_data": True}, {"repeat": 1}, {"ctx": bytes(8), "wants_ctx": True}):
        assert on(runtime, plain(type_, **options)).refused == EINVAL


def test_context_has_to_be_as_long_as_the_program_reads(runtime: Runtime) -> None:
    read = "r0 = *(u64 *)(r1 + 8); exit"
    assert on(runtime, plain(RAW, read, ctx=bytes(15))).refused == EINVAL
    assert on(runtime, plain(RAW, read, ctx=bytes(8) + pack("<Q", 77))).retval == 77
    assert on(runtime, plain(RAW, ctx=bytes(97))).refused == EINVAL


def test_syscall_program_changes_its_context(runtime: Runtime) -> None:
    text = "r2 = *(u32 *)(r1 + 0); r2 += 1; *(u32 *)(r1 + 4) = r2; r0 = 3; exit"
    outcome = on(runtime, plain(SYSCALL, text, ctx=pack("<II", 41, 0)))
    assert (outcome.retval, outcome.ctx) == (3, pack("<II", 41, 42))


@pytest.mark.parametrize("attach_type", [AttachType.XDP_DEVMAP, AttachType.XDP_CPUMAP])
def test_programs_of_maps_have_no_test_run(runtime: Runtime, attach_type: AttachType) -> None:
    assert on(runtime, run(XDP, PASS, attach_type=attach_type)).refused == EINVAL


def test_redirect_to_nowhere_falls_back_on_the_flags(runtime: Runtime) -> None:
    devices = {"dev": MapShape(MapType.DEVMAP, 4, 4, 4, name="dev")}
    for flags, verdict in ((1, 1), (2, 2), (4, 0)):
        text = f"r1 = map[dev] ll; r2 = 0; r3 = {flags}; call bpf_redirect_map; exit"
        assert on(runtime, run(XDP, text, maps=devices)).retval == verdict
