"""What a helper refuses while a program runs: every pointer is checked by the prototype, no record or lock is left."""

from __future__ import annotations

import pytest

from ebpf.abi.types import MapFlag, MapType, ProgramType
from ebpf.errors import ProgramFault
from ebpf.vm.maps import Map, MapShape, RingBufferMap, create_map
from tests.testrun.packets import UDP4
from tests.unit.vm.bench import bench

pytestmark = pytest.mark.usefixtures("engine")

EXIT = "r0 = 0; exit"
RESERVE = "r1 = map[ring] ll; r2 = 8; r3 = 0; call bpf_ringbuf_reserve; if r0 == 0 goto out; r6 = r0"
LOOKUP = """
    *(u32 *)(r10 - 4) = 0; r1 = map[locked] ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem
    if r0 == 0 goto out; r6 = r0"""
LOCK = "r1 = r6; r1 += 4; call bpf_spin_lock"
UNLOCK = "r1 = r6; r1 += 4; call bpf_spin_unlock"
FROZEN = "read-only, frozen"
XDP, TC, CGROUP = ProgramType.XDP, ProgramType.SCHED_CLS, ProgramType.CGROUP_SKB


def maps() -> dict[str, Map]:
    array = MapShape(MapType.ARRAY, 4, 16, 1)
    read_only = create_map(MapShape(MapType.ARRAY, 4, 16, 1, int(MapFlag.RDONLY_PROG)))
    read_only.write(bytes(4), b"%d".ljust(16, b"\0"))
    unfrozen = create_map(MapShape(MapType.ARRAY, 4, 16, 1, int(MapFlag.RDONLY_PROG)))
    full = create_map(MapShape(MapType.ARRAY, 4, 16, 1, int(MapFlag.RDONLY_PROG)))
    full.write(bytes(4), b"x" * 16)
    read_only.frozen = full.frozen = True
    return {
        "array": create_map(array),
        "locked": create_map(MapShape(MapType.ARRAY, 4, 16, 1, lock_offset=4)),
        "ro": read_only,
        "unfrozen": unfrozen,
        "full": full,
        "hash": create_map(MapShape(MapType.HASH, 4, 8, 4, int(MapFlag.RDONLY_PROG))),
        "queue": create_map(MapShape(MapType.QUEUE, 0, 8, 4)),
        "ring": create_map(MapShape(MapType.RINGBUF, 0, 0, 4096)),
        "events": create_map(MapShape(MapType.PERF_EVENT_ARRAY, 4, 4, 4)),
    }


def fault_of(text: str, type_: ProgramType = ProgramType.RAW_TRACEPOINT) -> ProgramFault:
    data = UDP4 if type_ != ProgramType.RAW_TRACEPOINT else b""
    ctx = bytes(16) if type_ == ProgramType.RAW_TRACEPOINT else None
    with pytest.raises(ProgramFault) as caught:
        bench(**maps()).run(text, type_, data=data, ctx=ctx)
    return caught.value


MEMORY = {
    "key outside of the stack": "r1 = map[array] ll; r2 = r10; r2 += -2; call bpf_map_lookup_elem",
    "null key": "r1 = map[array] ll; r2 = 0; call bpf_map_lookup_elem",
    "value outside of the stack": "r1 = map[array] ll; r2 = r10; r2 += -4; r3 = r2; r4 = 0; call bpf_map_update_elem",
    "value to fill is read-only": "r1 = map[queue] ll; r2 = map[ro][0] ll; call bpf_map_pop_elem",
    "memory to fill is read-only": "r1 = map[ro][0] ll; r2 = 8; call bpf_get_current_comm",
    "memory to fill is too short": "r1 = map[array][8] ll; r2 = 9; call bpf_get_current_comm",
    "memory is too short": "r1 = r10; r1 += -4; r2 = 5; r3 = 0; r4 = 0; r5 = 0; call bpf_trace_printk",
    "result outside": "r1 = map[array][0] ll; r2 = 4; r3 = 0; r4 = map[array][9] ll; call bpf_strtol",
    "no map": "r1 = 5; r2 = r10; r2 += -4; call bpf_map_lookup_elem",
    "map value for a map": "r1 = map[array][0] ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem",
    "ring data": "r1 = map[ring] ll; r2 = r10; r2 += -8; r3 = 16; r4 = 0; call bpf_ringbuf_output",
}


@pytest.mark.parametrize("text", MEMORY.values(), ids=MEMORY)
def test_range_of_arguments(text: str) -> None:
    fault = fault_of(f"{text}; {EXIT}")
    assert fault.kind == "memory"
    assert fault.address is not None
    assert fault.regions


WRONG = {
    "size 0": ("r1 = r10; r1 += -8; r2 = 0; call bpf_get_current_comm", "argument 2"),
    "negative size": ("r1 = r10; r1 += -8; r2 = -1; call bpf_get_current_comm", "argument 2"),
    "huge size": (f"r1 = r10; r1 += -8; r2 = {1 << 29}; call bpf_get_current_comm", "argument 2"),
    "no context": ("r1 = r10; r2 = map[events] ll; r3 = 0; r4 = r10; r5 = 0; call bpf_perf_event_output", "context"),
    "writable string": ("r1 = r10; r1 += -8; r2 = 8; r3 = map[array][0] ll; call bpf_strncmp", FROZEN),
    "string not frozen": ("r1 = r10; r1 += -8; r2 = 8; r3 = map[unfrozen][0] ll; call bpf_strncmp", FROZEN),
    "string without end": ("r1 = r10; r1 += -8; r2 = 8; r3 = map[full][0] ll; call bpf_strncmp", "zero byte"),
    "string on the stack": ("r1 = r10; r1 += -8; r2 = 8; r3 = r10; r3 += -8; call bpf_strncmp", FROZEN),
    "wrong map, lookup": ("r1 = map[ring] ll; r2 = r10; r2 += -8; call bpf_map_lookup_elem", "RingBuf"),
    "wrong map, queue": ("r1 = map[array] ll; r2 = r10; r2 += -16; call bpf_map_pop_elem", "Array"),
    "wrong map, ring": ("r1 = map[array] ll; r2 = 8; r3 = 0; call bpf_ringbuf_reserve", "Array"),
    "wrong map, events": ("r2 = map[ring] ll; r3 = 0; r4 = 0; r5 = 0; call bpf_perf_event_output", "RingBuf"),
    "delete from read-only": ("r1 = map[hash] ll; r2 = r10; r2 += -8; call bpf_map_delete_elem", "RDONLY_PROG"),
    "no lock there": (f"{LOOKUP}; r1 = r6; call bpf_spin_lock", "bpf_spin_lock"),
    "no lock in the map": ("r1 = map[array][4] ll; call bpf_spin_lock", "bpf_spin_lock"),
    "unlocked twice": (f"{LOOKUP}; {UNLOCK}", "does not hold"),
    "locked twice": (f"{LOOKUP}; {LOCK}; {LOCK}", "is held"),
    "helper under a lock": (f"{LOOKUP}; {LOCK}; call bpf_ktime_get_ns", "is held"),
    "submitted twice": (
        f"{RESERVE}; r1 = r6; r2 = 0; call bpf_ringbuf_submit; r1 = r6; r2 = 0; call bpf_ringbuf_submit",
        "reserved record",
    ),
    "submit of the middle": (f"{RESERVE}; r1 = r6; r1 += 4; r2 = 0; call bpf_ringbuf_submit", "reserved record"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), WRONG.values(), ids=WRONG)
def test_wrong_arguments(text: str, reason: str) -> None:
    fault = fault_of(f"{text}; out: {EXIT}" if "goto out" in text else f"{text}; {EXIT}")
    assert fault.kind == "helper"
    assert reason in str(fault)


def test_record_is_gone_after_submit() -> None:
    fault = fault_of(f"{RESERVE}; r1 = r6; r2 = 0; call bpf_ringbuf_submit; *(u64 *)(r6 + 0) = 1; out: {EXIT}")
    assert fault.kind == "memory"


def test_writing_behind_a_record() -> None:
    assert fault_of(f"{RESERVE}; *(u64 *)(r6 + 1) = 1; out: {EXIT}").kind == "memory"


@pytest.mark.parametrize("then", ["", "r1 = 0; *(u64 *)(r1 + 0) = 1"], ids=["exit", "fault"])
def test_records_left_reserved_are_discarded(then: str) -> None:
    ring = maps()["ring"]
    assert isinstance(ring, RingBufferMap)
    with pytest.raises(ProgramFault) as caught:
        bench(ring=ring).run(f"{RESERVE}; {then or 'r0 = 0'}; out: {EXIT}")
    assert caught.value.kind == ("leak" if not then else "memory")
    assert ring.data[3] == 0x40  # discarded, no longer busy


@pytest.mark.parametrize("then", ["", "r1 = 0; *(u64 *)(r1 + 0) = 1"], ids=["exit", "fault"])
def test_locks_left_held_are_freed(then: str) -> None:
    locked = maps()["locked"]
    desk = bench(locked=locked)
    for _ in range(2):
        with pytest.raises(ProgramFault) as caught:
            desk.run(f"{LOOKUP}; {LOCK}; {then or 'r0 = 0'}; out: {EXIT}")
        assert caught.value.kind == ("leak" if not then else "memory")
    view = locked.lookup(bytes(4))
    assert view is not None
    assert view.tobytes() == bytes(16)


def test_lock_and_unlock() -> None:
    text = f"{LOOKUP}; {LOCK}; *(u32 *)(r6 + 0) = 9; {UNLOCK}; out: {EXIT}"
    locked = maps()["locked"]
    bench(locked=locked).run(text)
    view = locked.lookup(bytes(4))
    assert view is not None
    assert view.tobytes() == b"\x09".ljust(16, b"\0")


STALE = {
    "xdp": (XDP, 0, 4, "r1 = r6; r2 = 0; call bpf_xdp_adjust_head"),
    "tc": (TC, 76, 80, "r1 = r6; r2 = 0; call bpf_skb_pull_data"),
    "tc, failing": (TC, 76, 80, "r1 = r6; r2 = 0; r3 = 1; call bpf_skb_change_tail"),
}


@pytest.mark.parametrize(("type_", "data", "data_end", "call"), STALE.values(), ids=STALE)
def test_packet_pointers_are_void_after_a_change(type_: ProgramType, data: int, data_end: int, call: str) -> None:
    read = f"r7 = *(u32 *)(r6 + {data}); r8 = *(u32 *)(r6 + {data_end}); r1 = r7; r1 += 14; r0 = 0; if r1 > r8 goto out"
    assert bench().run(f"r6 = r1; {read}; r0 = *(u8 *)(r7 + 12); out: exit", type_, data=UDP4).retval == 8
    fault = fault_of(f"r6 = r1; {read}; {call}; r0 = *(u8 *)(r7 + 12); out: exit", type_)
    assert fault.kind == "memory"
    again = f"r6 = r1; {call}; {read}; r0 = *(u8 *)(r7 + 12); out: exit"
    assert bench().run(again, type_, data=UDP4).retval == 8


@pytest.mark.parametrize("offset", [-1, len(UDP4), len(UDP4) + 5000])
def test_packet_ends_where_it_ends(offset: int) -> None:
    text = f"r2 = *(u32 *)(r1 + 0); r2 += {offset}; r0 = *(u8 *)(r2 + 0); exit"
    assert fault_of(text, XDP).kind == "memory"


def test_cgroup_programs_only_read_the_packet() -> None:
    text = "r2 = *(u32 *)(r1 + 76); *(u8 *)(r2 + 0) = 1; r0 = 0; exit"
    assert fault_of(text, CGROUP).kind == "memory"
    assert bench().run(text, TC, data=UDP4).data[0] == 1


def test_context_is_no_memory() -> None:
    fault = fault_of("r3 = r1; r6 = r1; r2 = 0; r4 = 4; r5 = 0; call bpf_skb_store_bytes; r0 = 0; exit", TC)
    assert "context" in str(fault)


def test_number_of_a_helper_in_the_message() -> None:
    assert "map_lookup_elem: " in str(fault_of(f"{MEMORY['null key']}; {EXIT}"))
