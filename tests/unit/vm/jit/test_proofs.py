"""Accesses that need no check: what proves that they are inside holds on every way there is to them."""

from __future__ import annotations

from itertools import product

import pytest

from ebpf.abi.types import ProgramType
from ebpf.vm.jit.origins import Origin, Region, join
from tests.unit.vm.jit.alike import same_end

P = ProgramType
MEMORY = "memory"


@pytest.mark.parametrize("given", ["map[array] ll", "0", "map[one][0] ll"])
def test_map_argument_of_a_function_that_is_also_called_back(given: str) -> None:
    program = f"""
        r1 = map[hash] ll
        call f
        r1 = 3; r2 = func[f] ll; r3 = {given}; r4 = 0
        call bpf_loop
        exit
    f:
        *(u32 *)(r10 - 4) = 1
        r2 = r10; r2 += -4
        call bpf_map_lookup_elem
        r0 = 0
        exit
    """
    fault = same_end(program).fault
    assert fault is not None
    assert fault[0] == MEMORY


def test_value_argument_of_a_function_that_is_also_called_back() -> None:
    program = """
        r1 = map[one][0] ll
        call f
        r1 = 3; r2 = func[f] ll; r3 = 0; r4 = 0
        call bpf_loop
        exit
    f:
        r0 = *(u64 *)(r1 + 0)
        r0 = 0
        exit
    """
    assert same_end(program).fault == (MEMORY, 10)


def test_packet_that_a_callback_cuts() -> None:
    program = """
        r6 = r1
        r7 = *(u32 *)(r6 + 0); r8 = *(u32 *)(r6 + 4)
        r9 = r7; r9 += 60
        if r9 > r8 goto out
        *(u64 *)(r10 - 8) = r6
        r1 = 1; r2 = func[f] ll; r3 = r10; r3 += -8; r4 = 0
        call bpf_loop
        r7 = *(u32 *)(r6 + 0)
        r0 = *(u64 *)(r7 + 52)
        exit
    out:
        r0 = 7
        exit
    f:
        r1 = *(u64 *)(r2 + 0)
        r2 = -40
        call bpf_xdp_adjust_tail
        r0 = 0
        exit
    """
    assert same_end(program, P.XDP, data=bytes(64)).fault == (MEMORY, 15)


@pytest.mark.parametrize("offset", [185, 188, 192, 200, 208])
@pytest.mark.parametrize("store", ["*(u64 *)(r2 + {}) = r3", "lock *(u64 *)(r2 + {}) += r3"])
def test_addresses_in_the_context_of_an_skb_are_the_kernels(offset: int, store: str) -> None:
    program = f"""
        r6 = r1
        r7 = map[one][0] ll
        *(u64 *)(r7 + 0) = r1
        r2 = *(u64 *)(r7 + 0)
        r3 = 0x414141414141 ll
        {store.format(offset)}
        r3 = *(u32 *)(r6 + 76); r4 = *(u32 *)(r6 + 80)
        r5 = r3; r5 += 8
        if r5 > r4 goto out
        r0 = *(u64 *)(r3 + 0)
    out:
        exit
    """
    end = same_end(program, P.SCHED_CLS, data=bytes(64))
    assert end.fault is not None
    assert end.fault[1] == 7


CHECKED = """
    r2 = *(u32 *)(r1 + {data}); r3 = *(u32 *)(r1 + {end}); r0 = 7
    r4 = r2; r4 += 20
    if {test} goto {taken}
    {next}
there:
    r0 = *(u32 *)(r2 + 16)
    exit
out:
    exit
"""


@pytest.mark.parametrize(
    ("test", "there"),
    [
        ("r4 > r3", False), ("r4 >= r3", False), ("r3 < r4", False), ("r3 <= r4", False),
        ("r4 < r3", True), ("r4 <= r3", True), ("r3 > r4", True), ("r3 >= r4", True),
        # What says nothing of the packet's length, or the opposite.
        ("w4 > w3", False), ("r4 s> r3", False), ("r4 != r3", True), ("r4 == r3", True), ("r4 > r3", True),
        ("r4 < r3", False), ("w4 <= w3", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [P.XDP, P.SCHED_CLS, P.CGROUP_SKB])
def test_comparisons_with_the_end(kind: ProgramType, test: str, there: bool) -> None:
    data, end = (0, 4) if kind is P.XDP else (76, 80)
    taken, next_ = ("there", "goto out") if there else ("out", "")
    program = CHECKED.format(data=data, end=end, test=test, taken=taken, next=next_)
    for length in (14, 19, 20, 21, 33, 34, 35):
        same_end(program, kind, data=bytes(range(length)))


def test_writes_to_packets_that_are_read_only() -> None:
    program = """
        r2 = *(u32 *)(r1 + 76); r3 = *(u32 *)(r1 + 80); r0 = 1
        r4 = r2; r4 += 20
        if r4 > r3 goto out
        *(u32 *)(r2 + 16) = r0
    out:
        exit
    """
    assert same_end(program, P.SCHED_CLS, data=bytes(64)).r0 == 1
    assert same_end(program, P.CGROUP_SKB, data=bytes(64)).fault == (MEMORY, 6)


@pytest.mark.parametrize("escape", ["", "r2 = r10; r2 ^= 1", "r2 = (s32)r10", "*(u64 *)(r10 - 16) = r10"])
def test_stack_is_zero_in_each_run(escape: str) -> None:
    program = f"""
        {escape}
        r3 = *(u64 *)(r10 - 8)
        r4 = r10; r4 += -64
        r5 = *(u64 *)(r4 + 8)
        r0 = r3; r0 += r5; r0 += 1
        *(u64 *)(r10 - 8) = r0
        *(u64 *)(r4 + 8) = r0
        exit
    """
    assert same_end(program, P.XDP, data=bytes(64), repeat=3).r0 == 1


def test_what_is_known_only_gets_less() -> None:
    """Else the analysis of a loop would not end."""
    whole = [Origin(region, sure=sure) for region in (Region.NONE, Region.MANY) for sure in (True, False)]
    parts = product((Region.PACKET, Region.STACK, Region.ELEMENT), (None, 0, 8), (0, 1), (True, False))
    for a, b in product([*whole, *(Origin(*part) for part in parts)], repeat=2):
        joined = join(a, b)
        assert join(joined, a) == join(joined, b) == join(a, joined) == join(b, joined) == joined, (a, b)


@pytest.mark.parametrize(
    ("kept", "place"),
    [
        ("*(u64 *)(r10 - 8) = r1", "r3 + 0"),
        ("*(u64 *)(r10 - 8) = r1", "r3 + 4"),  # the end of the packet
        ("*(u64 *)(r10 - 8) = r1; r4 = 0; *(u16 *)(r10 - 4) = r4", "r3 + 0"),
        ("*(u64 *)(r10 - 8) = r10", "r3 - 16"),
        ("*(u64 *)(r10 - 8) = 0", "r3 + 0"),
    ],
)
def test_context_that_was_kept_in_memory(kept: str, place: str) -> None:
    text = f"""
        *(u64 *)(r10 - 16) = 3
        {kept}
        r3 = *(u64 *)(r10 - 8)
        r2 = *(u32 *)({place})
        r0 = *(u8 *)(r2 + 5)
        r0 += 1
        *(u8 *)(r2 + 5) = r0
        exit
    """
    same_end(text, ProgramType.XDP, data=bytes(range(64)))
