"""Hostile code through PROG_LOAD and PROG_TEST_RUN: it is refused or it faults, and the kernel stays as it was."""

from __future__ import annotations

import random
import struct
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from ebpf.abi.linux.prototypes import PROTOTYPES
from ebpf.abi.types import Cmd, MapType, ProgramType
from ebpf.errors import ProgramFault, SystemCallError
from ebpf.runtime.attrs import MapCreate, MapElem, ProgLoad, ProgTestRun
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.facts import Limits
from ebpf.vm.encoding import KNOWN
from ebpf.vm.maps.storage import VARIABLE
from ebpf.vm.memory import MAX_REGIONS
from tests.isa.case import EXIT, slot
from tests.testrun.case import encode

P, M = ProgramType, MapType
TYPES = (P.XDP, P.SCHED_CLS, P.SYSCALL, P.CGROUP_SKB, P.RAW_TRACEPOINT, P.SOCKET_FILTER)
HELPERS = {kind: [int(h) for h, prototype in PROTOTYPES.items() if prototype.allowed_for(kind)] for kind in TYPES}
OPCODES = sorted(KNOWN)
SHAPES = {
    "array": (M.ARRAY, 4, 16, 1), "hash": (M.HASH, 4, 16, 4), "ring": (M.RINGBUF, 0, 0, 4096),
    "queue": (M.QUEUE, 0, 8, 4), "progs": (M.PROG_ARRAY, 4, 4, 4), "percpu": (M.PERCPU_ARRAY, 4, 8, 2),
    "lru": (M.LRU_HASH, 4, 8, 4), "trie": (M.LPM_TRIE, 8, 8, 4), "stack": (M.STACK, 0, 8, 2),
    "bloom": (M.BLOOM_FILTER, 0, 8, 4), "inner": (M.ARRAY_OF_MAPS, 4, 4, 2), "perf": (M.PERF_EVENT_ARRAY, 4, 4, 2),
    "dev": (M.DEVMAP, 4, 4, 2), "big": (M.ARRAY, 4, 8, 1 << 21),
}  # fmt: skip
NUMBERS = (0, 1, 2, 4, 8, 14, 16, 20, 64, -1, -4, -8, -16, -64, 0x7FFFFFFF, -0x80000000, 4096)


class Kernel:
    """An embedded kernel with a map of each kind, and short names for what the tests do."""

    def __init__(self, *, budget: int = 4000) -> None:
        self.runtime = EmbeddedRuntime(cpus=2, seed=1, limits=Limits(budget=budget))
        self.maps: dict[str, int] = {}
        for name, (kind, key_size, value_size, entries) in SHAPES.items():
            attr = MapCreate(map_type=kind, key_size=key_size, value_size=value_size, max_entries=entries)
            attr.map_flags, attr.inner_map_fd = int(kind == M.LPM_TRIE), self.maps.get("hash", 0)
            self.maps[name] = self.runtime.bpf(Cmd.MAP_CREATE, attr)
        self.put("inner", self.maps["hash"])

    def put(self, name: str, number: int, *, index: int = 0) -> None:
        value, key = number.to_bytes(4, "little"), index.to_bytes(4, "little")
        self.runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=self.maps[name], key=key, value=value))

    def load(self, code: bytes, kind: ProgramType = P.XDP) -> int:
        attr = ProgLoad(prog_type=kind, insns=code, insn_cnt=len(code) // 8, license=b"GPL")
        return self.runtime.bpf(Cmd.PROG_LOAD, attr)

    def run(self, number: int, kind: ProgramType = P.XDP) -> int:
        attr = ProgTestRun(prog_fd=number)
        if kind in (P.SYSCALL, P.RAW_TRACEPOINT):
            attr.ctx_in, attr.ctx_size_in = bytearray(96), 96
        else:
            attr.data_in, attr.data_size_in = bytes(64), 64
        self.runtime.bpf(Cmd.PROG_TEST_RUN, attr)
        return attr.retval

    def outcome(self, code: bytes, kind: ProgramType = P.XDP) -> int | str:
        """Load, run and close; return r0, a fault's kind or "errno N"."""
        try:
            number = self.load(code, kind)
        except SystemCallError as error:
            return f"errno {error.linux_errno}"
        try:
            return self.run(number, kind)
        except ProgramFault as error:
            return error.kind
        except SystemCallError as error:
            return f"errno {error.linux_errno}"
        finally:
            self.runtime.state.handles.close(number)

    def close(self) -> None:
        """Close everything; nothing may be left."""
        state = self.runtime.state
        state.handles.close_all()
        assert not any(state.registry._tables.values())
        assert (state.memory_used, state.cpus.busy) == (0, 0)
        self.runtime.close()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def instruction(choose: random.Random, kind: ProgramType, maps: list[int]) -> bytes:
    dst, src, which = choose.randrange(10), choose.randrange(11), choose.random()
    if which < 0.2:
        return slot(choose.choice([0xB7, 0x07, 0x57, 0xB4]), dst, imm=choose.choice(NUMBERS))
    if which < 0.3:
        return slot(choose.choice([0xBF, 0x0F, 0x1F]), dst, src)
    if which < 0.4:
        return slot(choose.choice([0x79, 0x61, 0x71, 0x81]), dst, choose.choice([src, 10]), choose.choice([-8, 0, 4]))
    if which < 0.5:
        return slot(choose.choice([0x7B, 0x63, 0xDB, 0xC3]), choose.choice([dst, 10]), src, choose.choice([-8, -6, 0]))
    if which < 0.62:
        return slot(0x18, choose.choice([1, 1, dst]), 1, imm=choose.choice(maps)) + slot(0)
    if which < 0.66:
        return slot(0x18, choose.choice([2, 3]), 4, imm=-1) + slot(0)
    if which < 0.72:
        return slot(choose.choice([0x15, 0x55, 0x25, 0x16]), dst, off=choose.choice([1, 2, -3]), imm=0)
    if which < 0.76:
        return slot(choose.choice([0x30, 0x20, 0x40]), imm=choose.choice([0, 14, -4096, 1000]))
    return slot(0x85, imm=choose.choice(HELPERS[kind]))


def program(choose: random.Random, kind: ProgramType, maps: list[int]) -> bytes:
    """Make a program whose registers hold what helpers ask for, at first; a callback follows."""
    code = (
        slot(0xBF, 6, 1)
        + slot(0xBF, 2, 10)
        + slot(0x07, 2, imm=-32)
        + slot(0x7A, 10, off=-32, imm=choose.choice([0, 1]))
    )
    code += slot(0xB7, 3, imm=choose.choice([4, 8])) + slot(0xBF, 4, 10) + slot(0x07, 4, imm=-16) + slot(0xB7, 5, imm=8)
    code += b"".join(instruction(choose, kind, maps) for _ in range(choose.randrange(2, 20))) + slot(0xB7) + EXIT
    callback = len(code) // 8
    code += slot(0xB7, imm=choose.choice([0, 1])) + EXIT
    linked = bytearray(code)
    for at in range(callback):
        if linked[8 * at] == 0x18 and linked[8 * at + 1] >> 4 == 4:
            struct.pack_into("<i", linked, 8 * at + 4, callback - at - 1)
    return bytes(linked)


def test_random_bytes(kernel: Kernel) -> None:
    choose = random.Random(1)
    for _ in range(3000):
        count = choose.randrange(1, 10)
        if choose.random() < 0.5:
            code = choose.randbytes(8 * count)
        else:
            fields = [
                (choose.choice(OPCODES), choose.randrange(11), choose.choice([0, 0, 3, 10])) for _ in range(count)
            ]
            code = (
                b"".join(slot(*f, choose.choice([0, 0, 1, -1]), choose.choice([0, 0, 16, 0xF1])) for f in fields) + EXIT
            )
        kernel.outcome(code, choose.choice(TYPES))


@pytest.mark.parametrize("block", range(4))
def test_random_programs(kernel: Kernel, block: int) -> None:
    outcomes: Counter[str] = Counter()
    numbers = [number for name, number in kernel.maps.items() if name != "big"]
    for seed in range(600 * block, 600 * block + 600):
        choose = random.Random(seed)
        kind = choose.choice(TYPES)
        outcome = kernel.outcome(program(choose, kind, numbers), kind)
        outcomes[outcome if isinstance(outcome, str) else "returned"] += 1
    assert {"returned", "memory", "helper"} <= outcomes.keys()


CALLBACK = "r0 = {}; exit"
HOSTILE = {
    "frame of a function that returned": ("call f; r0 = *(u64 *)(r0 + 0); exit; f: r0 = r10; r0 += -8; exit", "memory"),
    "frame of a caller, beyond its end": ("r1 = r10; call f; exit; f: r0 = *(u64 *)(r1 + 0); exit", "memory"),
    "a pointer 4 GiB on": ("r1 = 0x100000000 ll; r10 = r10; r0 = 0; exit", "errno 13"),
    "packet after adjust_head": (
        "r6 = r1; r7 = *(u32 *)(r1 + 0); r2 = 14; call bpf_xdp_adjust_head; r0 = *(u8 *)(r7 + 20); exit", "memory",
    ),
    "record after submit": (
        ("r1 = map[ring] ll; r2 = 8; r3 = 0; call bpf_ringbuf_reserve; r6 = r0; r1 = r0; r2 = 0;"
        "call bpf_ringbuf_submit; r0 = *(u64 *)(r6 + 0); exit"), "memory",
    ),
    "record submitted twice": (
        ("r1 = map[ring] ll; r2 = 8; r3 = 0; call bpf_ringbuf_reserve; r6 = r0; r1 = r0; r2 = 0;"
        "call bpf_ringbuf_submit; r1 = r6; r2 = 0; call bpf_ringbuf_discard; r0 = 0; exit"), "helper",
    ),
    "misaligned atomic": ("r1 = 1; lock *(u64 *)(r10 - 12) += r1; r0 = 0; exit", "alignment"),
    "callback that is no function": ("r1 = 3; r2 = 1; r3 = 0; r4 = 0; call bpf_loop; exit", "call"),
    "callback far away": ("r1 = 3; r2 = 0x7fffffffffff ll; r3 = 0; r4 = 0; call bpf_loop; exit", "call"),
    "too many rounds": (
        "r1 = -1; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_loop; r0 = -r0; exit; f: r0 = 0; exit", 7,
    ),
    "rounds without end": (
        "r1 = 0x800000; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_loop; exit; f: r0 = 0; exit", "budget",
    ),
    "a callback in a callback in a callback": (
        ("r1 = 2; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_loop; exit;"
        "f: r1 = 2; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_loop; r0 = 0; exit"), "errno 7",
    ),
    "recursion": ("call f; exit; f: call f; exit", "errno 7"),
    "loop without end": ("r0 = 0; again: r0 += 1; if r0 != 0 goto again; exit", "budget"),
    "value read after its element is gone": (
        ("*(u32 *)(r10 - 4) = 1; *(u64 *)(r10 - 24) = 9; *(u64 *)(r10 - 16) = 8;"
        "r1 = map[hash] ll; r2 = r10; r2 += -4; r3 = r10; r3 += -24; r4 = 0; call bpf_map_update_elem;"
        "r1 = map[hash] ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem; r6 = r0;"
        "r1 = map[hash] ll; r2 = r10; r2 += -4; call bpf_map_delete_elem; r0 = *(u64 *)(r6 + 0); exit"), 9,
    ),
    "elements deleted in the walk over them": (
        ("*(u32 *)(r10 - 4) = 1; *(u64 *)(r10 - 24) = 9; *(u64 *)(r10 - 16) = 8;"
        "r1 = map[hash] ll; r2 = r10; r2 += -4; r3 = r10; r3 += -24; r4 = 0; call bpf_map_update_elem;"
        "r1 = map[hash] ll; r2 = func[f] ll; r3 = 0; r4 = 0; call bpf_for_each_map_elem; exit;"
        "f: r1 = map[hash] ll; call bpf_map_delete_elem; r0 = 0; exit"), 1,
    ),
    "map as memory": ("r1 = map[hash] ll; r0 = *(u64 *)(r1 + 0); exit", "memory"),
    "map as key": ("r1 = map[hash] ll; r2 = r1; call bpf_map_lookup_elem; r0 = 0; exit", "memory"),
    "inner map that is none": (
        ("*(u32 *)(r10 - 4) = 1; r1 = map[inner] ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem; r1 = r0;"
        "r2 = r10; r2 += -4; call bpf_map_lookup_elem; r0 = 0; exit"), "memory",
    ),
    "trace of a gigabyte": (
        ("r1 = 0x0064393939393925 ll; *(u64 *)(r10 - 8) = r1; r1 = r10; r1 += -8; r2 = 8; r3 = 1;"
        "call bpf_trace_printk; r0 = 5; exit"), 5,
    ),
    "a width of ten digits": (
        (
            "r1 = 0x3939393939393925 ll; *(u64 *)(r10 - 16) = r1; r1 = 0x00000000643939 ll; *(u64 *)(r10 - 8) = r1;"
            "r1 = r10; r1 += -16; r2 = 16; r3 = 1; call bpf_trace_printk; exit"
        ),
        8388607,
    ),
    "a tail call on itself": (
        ("r6 = r1; r1 = 0; r1 = map[array][0] ll; r2 = *(u64 *)(r1 + 0); r2 += 1; *(u64 *)(r1 + 0) = r2; r7 = r2;"
        "r1 = r6; r2 = map[progs] ll; r3 = 0; call bpf_tail_call; r0 = r7; exit"), 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs(kernel: Kernel, name: str) -> None:
    text, expected = HOSTILE[name]
    try:
        code = encode(text.replace("; ", ";").replace(";", "\n"), kernel.maps.__getitem__)
    except ValueError:
        pytest.fail("the case does not assemble")
    assert kernel.outcome(code) == expected


def test_a_ladder_of_branches_loads_quickly(kernel: Kernel) -> None:
    # Each rung waits for its turn in the analysis; a list of them took minutes.
    rungs = 30_000
    ladder = b"".join(slot(0x15, off=rungs - 1, imm=n + 1) for n in range(rungs))
    started = time.monotonic()
    assert kernel.outcome(slot(0xB7) + ladder + slot(0x05) * rungs + EXIT) == "budget"
    assert time.monotonic() - started < 20


def test_a_walk_takes_memory_for_what_it_meets(kernel: Kernel) -> None:
    text = "r1 = map[big] ll\nr2 = func[f] ll\nr3 = 0\nr4 = 0\ncall bpf_for_each_map_elem\nexit\nf: r0 = 1\nexit"
    started = time.monotonic()
    assert kernel.outcome(encode(text, kernel.maps.__getitem__)) == 1
    assert time.monotonic() - started < 1


@pytest.fixture
def python_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep maps in Python storage, where each value that is looked up becomes a region."""
    monkeypatch.setenv(VARIABLE, "python")


@pytest.mark.usefixtures("python_maps")  # before the kernel is made
def test_a_run_has_a_limited_number_of_regions(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_REGIONS >= 1 << 20
    monkeypatch.setattr("ebpf.vm.memory.MAX_REGIONS", 50)
    text = "r1 = map[big] ll\nr2 = func[f] ll\nr3 = 0\nr4 = 0\ncall bpf_for_each_map_elem\nexit\nf: r0 = 0\nexit"
    assert kernel.outcome(encode(text, kernel.maps.__getitem__)) == "memory"
