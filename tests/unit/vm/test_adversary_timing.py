"""Ctrl-C, threads and fork at the worst moment: the kernel stays usable and nothing is lost or left."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType

import pytest

from ebpf.abi.types import AttachType, Cmd, MapType, ProgramType
from ebpf.errors import ProgramFault, SystemCallError
from ebpf.runtime.attrs import GetId, LinkCreate, MapCreate, MapElem, ProgBindMap, ProgLoad, ProgTestRun
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.facts import Limits
from ebpf.vm.maps import HashMap, LpmTrieMap, Map, RingBufferMap
from ebpf.vm.maps.lru import LruHashMap
from tests.testrun.case import encode
from tests.threads import in_threads

M = MapType
SECONDS = 2.0
KINDS = {
    M.HASH: (4, 8, 1), M.LRU_HASH: (4, 8, 0), M.LPM_TRIE: (8, 8, 1), M.PERCPU_HASH: (4, 8, 1), M.ARRAY: (4, 8, 0),
    M.QUEUE: (0, 8, 0), M.PROG_ARRAY: (4, 4, 0), M.HASH_OF_MAPS: (4, 4, 1), M.RINGBUF: (0, 0, 0),
}  # fmt: skip

# Fills and empties a hash, an LRU hash and a trie by random keys, and writes to a ring buffer, 50 times.
BUSY = """
    r9 = 50
again:
    *(u32 *)(r10 - 16) = 32
    call bpf_get_prandom_u32
    r0 &= 15
    *(u32 *)(r10 - 12) = r0
    *(u64 *)(r10 - 8) = r0
    r1 = map[hash] ll; r2 = r10; r2 += -12; r3 = r10; r3 += -8; r4 = 0
    call bpf_map_update_elem
    r1 = map[lru] ll; r2 = r10; r2 += -12; r3 = r10; r3 += -8; r4 = 0
    call bpf_map_update_elem
    r1 = map[trie] ll; r2 = r10; r2 += -16; r3 = r10; r3 += -8; r4 = 0
    call bpf_map_update_elem
    call bpf_get_prandom_u32
    r0 &= 15
    *(u32 *)(r10 - 12) = r0
    r1 = map[hash] ll; r2 = r10; r2 += -12
    call bpf_map_delete_elem
    r1 = map[trie] ll; r2 = r10; r2 += -16
    call bpf_map_delete_elem
    r1 = map[ring] ll; r2 = 16; r3 = 0
    call bpf_ringbuf_reserve
    if r0 == 0 goto full
    r1 = r0; r2 = 0
    call bpf_ringbuf_submit
full:
    r1 = map[ring] ll; r2 = r10; r2 += -8; r3 = 8; r4 = 0
    call bpf_ringbuf_output
    r9 += -1
    if r9 != 0 goto again
    r0 = 2
    exit
"""

# Counts up in an array by an atomic instruction, 500 times.
ATOMIC = """
    r2 = map[count][0] ll
    r3 = 500
again:
    r1 = 1
    lock *(u64 *)(r2 + 0) += r1
    r3 += -1
    if r3 != 0 goto again
    r0 = 2
    exit
"""


def created(runtime: EmbeddedRuntime, kind: MapType, key: int, value: int, entries: int, flags: int = 0) -> int:
    attr = MapCreate(map_type=kind, key_size=key, value_size=value, max_entries=entries, map_flags=flags)
    return runtime.bpf(Cmd.MAP_CREATE, attr)


def load(runtime: EmbeddedRuntime, text: str, **maps: int) -> int:
    code = encode(text, maps.__getitem__)
    attr = ProgLoad(prog_type=ProgramType.XDP, insns=code, insn_cnt=len(code) // 8, license=b"GPL")
    return runtime.bpf(Cmd.PROG_LOAD, attr)


def run(runtime: EmbeddedRuntime, program: int) -> int:
    attr = ProgTestRun(prog_fd=program, data_in=bytes(64), data_size_in=64)
    runtime.bpf(Cmd.PROG_TEST_RUN, attr)
    return attr.retval


@pytest.fixture
def interrupts() -> Iterator[Callable[[float], None]]:
    """Return a function that has KeyboardInterrupt raised after so many seconds of computing."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGVTALRM, interrupt)
    yield lambda seconds: signal.setitimer(signal.ITIMER_VIRTUAL, seconds) and None
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


def storage(runtime: EmbeddedRuntime, number: int) -> Map:
    return runtime.state.handles.map_file(number)[1].map


def check_tables(map_: Map) -> None:
    """Every element is in all tables of its map, or in none."""
    if map_.native is not None:
        assert isinstance(map_, HashMap | LpmTrieMap)
        keys = [key for key, _, _ in map_.elements()]
        assert len(map_) == len(set(keys)) == len(keys)
        assert all(isinstance(map_.read(key), bytes) for key in keys)
        return
    if isinstance(map_, HashMap):
        live = [element for element in map_._slots if element is not None]
        assert {element.key for element in live} == set(map_._table)
        assert [at for at, element in enumerate(map_._slots) if element is None] == sorted(map_._free)
    if isinstance(map_, LruHashMap):
        assert set(map_._recent[0]) == set(map_._home) == set(map_._table)
    if isinstance(map_, LpmTrieMap):
        assert len(map_._order) == len(map_._ordered) == sum(map(len, map_._tables.values()))
        assert sorted(map_._tables, reverse=True) == map_._lengths


def read_all(ring: Map) -> None:
    """Read the ring to its end: no record stays busy."""
    assert isinstance(ring, RingBufferMap)
    while ring.consumer() < ring.producer():
        at = ring.consumer() % ring.size
        header = int.from_bytes(ring.data[at : at + 4], "little")
        assert not header >> 31
        ring.set_consumer(ring.consumer() + ((header & 0x3FFFFFFF) + 15) // 8 * 8)


@pytest.mark.skipif(not hasattr(signal, "SIGVTALRM"), reason="timers of POSIX systems only")
def test_interrupts_leave_tables_rings_and_processors_whole(interrupts: Callable[[float], None]) -> None:
    runtime = EmbeddedRuntime(seed=1)
    maps = {
        "hash": created(runtime, M.HASH, 4, 8, 64, 1), "lru": created(runtime, M.LRU_HASH, 4, 8, 8),
        "trie": created(runtime, M.LPM_TRIE, 8, 8, 64, 1), "ring": created(runtime, M.RINGBUF, 0, 0, 4096),
    }  # fmt: skip
    program = load(runtime, BUSY, **maps)
    for _ in range(100):
        run(runtime, program)  # all modules are imported before: an import that is interrupted leaves its file open
    choose, caught, deadline = random.Random(1), 0, time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            interrupts(choose.uniform(1e-5, 4e-3))
            while True:
                assert run(runtime, program) == 2
        except KeyboardInterrupt:
            caught += 1
        assert runtime.state.cpus.busy == 0
        for name in ("hash", "lru", "trie"):
            check_tables(storage(runtime, maps[name]))
        read_all(storage(runtime, maps["ring"]))
    assert caught > 50
    # Another thread gets the processor, too.
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(run(runtime, program)))
    thread.start()
    thread.join(10)
    assert results == [2]
    runtime.close()


def walk_ids(runtime: EmbeddedRuntime) -> None:
    """Ask for one id after the other, until there is no more (ENOENT)."""
    attr = GetId()
    while True:
        runtime.bpf(Cmd.MAP_GET_NEXT_ID, attr)
        attr.start_id = attr.next_id


def test_threads_that_do_everything_at_once() -> None:
    runtime = EmbeddedRuntime(cpus=2, limits=Limits(budget=20_000))
    inner = created(runtime, M.HASH, 4, 8, 4, 1)
    shared: list[int] = [inner]
    unexpected: list[BaseException] = []
    outcomes: Counter[object] = Counter()
    deadline = time.monotonic() + SECONDS

    def act(choose: random.Random) -> None:
        number, other, which = choose.choice(shared), choose.choice(shared), choose.randrange(10)
        if which == 0:
            kind = choose.choice(list(KINDS))
            key, value, flags = KINDS[kind]
            entries = 4096 if kind == M.RINGBUF else 4
            attr = MapCreate(map_type=kind, key_size=key, value_size=value, max_entries=entries, map_flags=flags)
            attr.inner_map_fd = inner if kind == M.HASH_OF_MAPS else 0
            shared.append(runtime.bpf(Cmd.MAP_CREATE, attr))
        elif which == 1:
            helper = choose.choice(("map_lookup_elem", "map_update_elem", "map_delete_elem", "map_push_elem"))
            text = (
                "r1 = map[it] ll; r2 = r10; r2 += -8; *(u64 *)(r10 - 8) = 1; r3 = r10; r3 += -16;"
                f"*(u64 *)(r10 - 16) = 7; r4 = 0; call bpf_{helper}; r0 = 2; exit"
            )
            shared.append(load(runtime, text, it=number))
        elif which == 2 and len(shared) > 8:
            runtime.state.handles.close(shared.pop(choose.randrange(1, 8)))
        elif which == 3:
            runtime.bpf(Cmd.PROG_BIND_MAP, ProgBindMap(prog_fd=number, map_fd=other))
        elif which == 4:
            shared.append(runtime.bpf(Cmd.MAP_GET_FD_BY_ID, GetId(start_id=choose.randrange(1, 50))))
        elif which == 5:
            link = LinkCreate(prog_fd=number, target_fd=1, attach_type=AttachType.XDP)
            shared.append(runtime.bpf(Cmd.LINK_CREATE, link))
        elif which == 6:
            run(runtime, number)
        else:
            commands = (Cmd.MAP_LOOKUP_ELEM, Cmd.MAP_UPDATE_ELEM, Cmd.MAP_GET_NEXT_KEY, Cmd.MAP_LOOKUP_AND_DELETE_ELEM)
            room = bytearray(other.to_bytes(4, "little") + bytes(60))
            element = MapElem(map_fd=number, key=bytes([choose.randrange(4), 0, 0, 0, 0, 0, 0, 0]), value=room)
            runtime.bpf(choose.choice(commands), element)

    def work(seed: int) -> None:
        choose = random.Random(seed)
        while time.monotonic() < deadline:
            try:
                act(choose)
                outcomes["ok"] += 1
            except (SystemCallError, ProgramFault, IndexError) as error:
                outcomes[type(error)] += 1
            except BaseException as error:  # noqa: BLE001 - shown by the assertion below
                unexpected.append(error)
                return

    in_threads((partial(work, seed) for seed in range(6)), seconds=30)
    assert not unexpected
    assert outcomes["ok"] > 100
    state = runtime.state
    state.handles.close_all()
    assert not any(state.registry._tables.values())
    assert (state.memory_used, state.cpus.busy) == (0, 0)
    runtime.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork exists on POSIX systems only")
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python 3.12 warns of fork with threads")
def test_children_of_a_process_full_of_atomic_instructions() -> None:
    runtime = EmbeddedRuntime(cpus=3)
    program = load(runtime, ATOMIC, count=created(runtime, M.ARRAY, 4, 8, 1))
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            run(runtime, program)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # ends a child that hangs
                os._exit(run(runtime, program))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    runtime.close()


@pytest.mark.filterwarnings("ignore:unclosed embedded handle:ResourceWarning")
def test_handles_that_the_garbage_collector_closes() -> None:
    # Objects end in the middle of calls, in the thread that makes them.
    runtime = EmbeddedRuntime()
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.collect()  # counts what is left: as long as much is thought to be, everything is collected rarely
    gc.set_threshold(7, 2, 2)
    try:
        for _ in range(3000):
            cycle: list[object] = [runtime.own(created(runtime, M.HASH, 4, 8, 2))]
            cycle.append(cycle)
            with pytest.raises(SystemCallError, match="ENOENT"):
                walk_ids(runtime)
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    del cycle
    gc.collect()
    assert (runtime.state.memory_used, len(runtime.state.handles)) == (0, 0)
    runtime.close()


def test_nothing_grows_with_loads_and_closes() -> None:
    runtime = EmbeddedRuntime()

    def cycle() -> None:
        number = created(runtime, M.HASH, 4, 8, 8)
        program = load(runtime, "r1 = map[it] ll\nr0 = 2\nexit", it=number)
        assert run(runtime, program) == 2
        runtime.state.handles.close(number)
        runtime.state.handles.close(program)

    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    for _ in range(50):
        cycle()
    before = objects()
    for _ in range(1000):
        cycle()
    assert objects() - before < 50
    assert runtime.state.memory_used == 0
    runtime.close()
