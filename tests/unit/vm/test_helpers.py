"""What helpers do where no kernel is needed to say so: time, task, callbacks, redirects, printing, events."""

from __future__ import annotations

import pytest

from ebpf.abi.types import MapType, ProgramType
from ebpf.errors import ProgramFault
from ebpf.vm import testrun
from ebpf.vm.context import Redirect
from ebpf.vm.engines import choose_engine
from ebpf.vm.maps import ArrayOfMapsMap, Map, MapShape, PerfEventArrayMap, PerfRing, create_map
from ebpf.vm.testrun import TestRequest
from tests.testrun.packets import UDP4
from tests.unit.vm.bench import bench

pytestmark = pytest.mark.usefixtures("engine")

XDP, TC = ProgramType.XDP, ProgramType.SCHED_CLS
KEEP = "r1 = map[out][0] ll; *(u64 *)(r1 + 0) = r0; r0 = 0; exit"
OUT = MapShape(MapType.ARRAY, 4, 64, 1)


def value(map_: Map, key: bytes = bytes(4)) -> bytes:
    view = map_.lookup(key)
    assert view is not None
    return view.tobytes()


def result_of(call: str, **maps: Map) -> int:
    """Return r0 of a helper as a signed number."""
    out = create_map(OUT)
    bench(out=out, **maps).run(f"{call}; {KEEP}", ctx=bytes(8))
    return int.from_bytes(value(out)[:8], "little", signed=True)


@pytest.mark.parametrize(
    ("helper", "expected"),
    [
        ("ktime_get_ns", 1_000_000_007),
        ("ktime_get_boot_ns", 2_000_000_000),
        ("ktime_get_tai_ns", 3_000_000_000),
        ("jiffies64", 250),
        ("get_prandom_u32", 4),
        ("get_smp_processor_id", 0),
        ("get_numa_node_id", 0),
        ("get_current_pid_tgid", 7 << 32 | 8),
        ("get_current_uid_gid", 9 << 32 | 10),
    ],
)
def test_environment(helper: str, expected: int) -> None:
    assert result_of(f"call bpf_{helper}") == expected


def test_coarse_clock_stands_at_ticks() -> None:
    out = create_map(OUT)
    bench(out=out).run(f"call bpf_ktime_get_coarse_ns; {KEEP}", XDP, data=UDP4)
    assert value(out)[:8] == (1_000_000_000).to_bytes(8, "little")


def test_processor_is_where_the_run_is() -> None:
    assert bench().run("call bpf_get_smp_processor_id; exit", on_cpu=3).retval == 3


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, b"\0"), (8, b"a-long-\0"), (16, b"a-long-name-123\0"), (20, b"a-long-name-123\0\0\0\0\0")],
)
def test_name_of_the_task_ends_in_zero(size: int, expected: bytes) -> None:
    out = create_map(OUT)
    bench(out=out).run(f"r1 = map[out][0] ll; *(u64 *)(r1 + {size}) = -1; r2 = {size}; call bpf_get_current_comm; exit")
    assert value(out)[: size + 8] == expected + b"\xff" * 8


LOOP = """
    *(u64 *)(r10 - 8) = 0
    r1 = {count}; r2 = func[body] ll; r3 = r10; r3 += -8; r4 = {flags}
    call bpf_loop
    r2 = *(u64 *)(r10 - 8)
    r1 = map[out][8] ll
    *(u64 *)(r1 + 0) = r2
    {keep}
    body:
    r3 = *(u64 *)(r2 + 0)
    r3 += r1
    *(u64 *)(r2 + 0) = r3
    r0 = 0
    if r1 != {stop} goto done
    r0 = 1
    done: exit
"""


@pytest.mark.parametrize(
    ("count", "stop", "flags", "result", "total"),
    [
        (0, -1, 0, 0, 0),
        (1, -1, 0, 1, 0),
        (10, -1, 0, 10, 45),
        (10, 5, 0, 6, 15),
        (10, 9, 0, 10, 45),
        (10, -1, 1, -22, 0),
        (8 << 20, 0, 0, 1, 0),
        ((8 << 20) + 1, -1, 0, -7, 0),
    ],
)
def test_loop(count: int, stop: int, flags: int, result: int, total: int) -> None:
    out = create_map(OUT)
    bench(out=out).run(LOOP.format(count=count, stop=stop, flags=flags, keep=KEEP))
    assert value(out)[:16] == result.to_bytes(8, "little", signed=True) + total.to_bytes(8, "little")


EACH = """
    *(u64 *)(r10 - 8) = 0
    r1 = map[m] ll; r2 = func[body] ll; r3 = r10; r3 += -8; r4 = {flags}
    call bpf_for_each_map_elem
    r2 = *(u64 *)(r10 - 8)
    r1 = map[out][8] ll
    *(u64 *)(r1 + 0) = r2
    {keep}
    body:
    r2 = *(u32 *)(r2 + 0)
    r3 = *(u64 *)(r3 + 0)
    r2 *= r3
    r5 = *(u64 *)(r4 + 0)
    r5 += r2
    *(u64 *)(r4 + 0) = r5
    r0 = {answer}
    exit
"""


@pytest.mark.parametrize("kind", [MapType.ARRAY, MapType.HASH, MapType.LRU_HASH, MapType.PERCPU_ARRAY])
def test_for_each(kind: MapType) -> None:
    out, elements = create_map(OUT), create_map(MapShape(kind, 4, 8, 4))
    for key in range(4):
        elements.update(key.to_bytes(4, "little"), (10 + key).to_bytes(8, "little"))
    desk = bench(out=out, m=elements)
    desk.run(EACH.format(keep=KEEP, flags=0, answer=0))
    assert value(out)[:16] == (4).to_bytes(8, "little") + (11 + 24 + 39).to_bytes(8, "little")
    desk.run(EACH.format(keep=KEEP, flags=0, answer=1))
    assert value(out)[:8] == (1).to_bytes(8, "little")
    desk.run(EACH.format(keep=KEEP, flags=1, answer=0))
    assert value(out)[:8] == (-22).to_bytes(8, "little", signed=True)


def test_for_each_passes_the_map_and_a_key_that_is_read_only() -> None:
    elements = create_map(MapShape(MapType.ARRAY, 4, 8, 1))
    text = """
        r1 = map[m] ll; r2 = func[body] ll; r3 = 0; r4 = 0
        call bpf_for_each_map_elem
        r0 = 0; exit
        body: {}
        r0 = 0; exit
    """
    bench(m=elements).run(
        text.format(
            "*(u32 *)(r10 - 4) = 0; *(u64 *)(r10 - 16) = 7; r2 = r10; r2 += -4; r3 = r10; r3 += -16; r4 = 0;"
            "call bpf_map_update_elem"
        )
    )
    assert value(elements)[0] == 7
    with pytest.raises(ProgramFault) as caught:
        bench(m=elements).run(text.format("*(u32 *)(r2 + 0) = 1"))
    assert caught.value.kind == "memory"


DEVICES = MapShape(MapType.DEVMAP, 4, 4, 4)


@pytest.mark.parametrize(
    ("type_", "call", "retval", "redirect"),
    [
        (XDP, "r1 = 5; r2 = 0; call bpf_redirect", 4, Redirect("redirect", 5, None, 0)),
        (XDP, "r1 = 5; r2 = 1; call bpf_redirect", 0, None),
        (TC, "r1 = 5; r2 = 1; call bpf_redirect", 7, Redirect("redirect", 5, None, 1)),
        (TC, "r1 = 5; r2 = 2; call bpf_redirect", 2, None),
        (TC, "r1 = 6; r2 = 0; call bpf_redirect_peer", 7, Redirect("redirect_peer", 6, None, 0)),
        (TC, "r1 = 6; r2 = 0; r3 = 0; r4 = 0; call bpf_redirect_neigh", 7, Redirect("redirect_neigh", 6, None, 0)),
        (TC, "r2 = 1; r3 = 1; call bpf_clone_redirect", 0, Redirect("clone_redirect", 1, None, 1)),
        (XDP, "r1 = map[dev] ll; r2 = 2; r3 = 1; call bpf_redirect_map", 4, Redirect("redirect_map", 77, 2, 1)),
        (XDP, "r1 = map[dev] ll; r2 = 1; r3 = 1; call bpf_redirect_map", 1, None),
        (XDP, "r1 = map[dev] ll; r2 = 1; r3 = 9; call bpf_redirect_map", 4, Redirect("redirect_map", 77, 1, 9)),
        (XDP, "r1 = map[dev] ll; r2 = 2; r3 = 4; call bpf_redirect_map", 0, None),
        (XDP, "r1 = 5; r2 = 0; call bpf_redirect; r0 = 2", 2, None),
    ],
)
def test_redirect_is_told(type_: ProgramType, call: str, retval: int, redirect: Redirect | None) -> None:
    devices = create_map(DEVICES)
    devices.id = 77
    assert devices.update((2).to_bytes(4, "little"), (3).to_bytes(4, "little")) == 0
    result = bench(dev=devices).run(f"{call}; exit", type_, data=UDP4)
    assert (result.retval, result.redirect) == (retval, redirect)


def test_trace_keeps_lines() -> None:
    read_only = create_map(MapShape(MapType.ARRAY, 4, 64, 1, 1 << 7))
    read_only.write(bytes(4), b"x=%d s=%s y=%llx\0text".ljust(64, b"\0"))
    desk = bench(ro=read_only)
    text = "r1 = map[ro][0] ll; r2 = 17; r3 = -5; r4 = map[ro][17] ll; r5 = 0xfffffffff ll; call bpf_trace_printk; exit"
    assert desk.run(text).retval == len("x=-5 s=text y=fffffffff")
    text = """
        *(u64 *)(r10 - 24) = 1; *(u64 *)(r10 - 16) = 0; *(u64 *)(r10 - 8) = 16
        r1 = map[ro][0] ll; r2 = 17; r3 = r10; r3 += -24; r4 = 24
        call bpf_trace_vprintk
        exit
    """
    assert desk.run(text).retval == len("x=1 s= y=10")
    assert desk.kernel.lines == ["x=-5 s=text y=fffffffff", "x=1 s= y=10"]


def test_perf_event_carries_the_start_of_the_packet() -> None:
    events = create_map(MapShape(MapType.PERF_EVENT_ARRAY, 4, 4, 4))
    assert isinstance(events, PerfEventArrayMap)
    ring = PerfRing(4096, cpu=0, identity=1)
    events.place(0, ring)
    text = """
        r6 = r1; r1 = 0x1122334455667788 ll; *(u64 *)(r10 - 8) = r1; r1 = r6
        r2 = map[events] ll; r3 = {flags:#x} ll; r4 = r10; r4 += -8; r5 = 8
        call bpf_perf_event_output
        exit
    """
    flags = 20 << 32 | 0xFFFFFFFF
    assert bench(events=events).run(text.format(flags=flags), XDP, data=UDP4).retval == 0
    sample = (0x1122334455667788).to_bytes(8, "little") + UDP4[:20]
    assert bytes(ring.data[12 : 12 + 28]) == sample
    too_long = bench(events=events).run(text.format(flags=len(UDP4) + 1 << 32), XDP, data=UDP4)
    assert too_long.retval == 0xFFFFFFFF & -14


def test_lookup_in_map_of_maps() -> None:
    inner = create_map(MapShape(MapType.ARRAY, 4, 8, 1))
    outer = ArrayOfMapsMap(MapShape(MapType.ARRAY_OF_MAPS, 4, 4, 2), template=inner.shape)
    inner.update(bytes(4), (42).to_bytes(8, "little"))
    outer.hold(bytes(4), inner)
    text = """
        *(u32 *)(r10 - 4) = {key}
        r1 = map[outer] ll; r2 = r10; r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto none
        *(u32 *)(r10 - 4) = 0
        r1 = r0; r2 = r10; r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto none
        r0 = *(u64 *)(r0 + 0)
        none: exit
    """
    assert bench(outer=outer).run(text.format(key=0)).retval == 42
    assert bench(outer=outer).run(text.format(key=1)).retval == 0


def test_number_of_runs_is_the_repeat() -> None:
    out = create_map(OUT)
    desk = bench(out=out)
    program = desk.load("r1 = map[out][0] ll; r2 = *(u64 *)(r1 + 0); r2 += 1; *(u64 *)(r1 + 0) = r2; r0 = 0; exit", XDP)
    testrun.test_run(
        program, desk.kernel, TestRequest(data=UDP4, repeat=7), on_cpu=0, cpus=1, budget=100, engine=choose_engine()
    )
    assert value(out)[:8] == (7).to_bytes(8, "little")
