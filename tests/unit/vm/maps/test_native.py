"""Maps in native storage: bounds of values, elements that runs still hold, threads, fork, and who may have it."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from ebpf.abi.linux import E2BIG, ENOENT, ENOMEM
from ebpf.abi.types import MapFlag, MapType
from ebpf.errors import NotSupportedError, ProgramFault
from ebpf.vm import epochs
from ebpf.vm.epochs import WORDS, Epoch
from ebpf.vm.maps import HashMap, Map, MapShape, create_map, storage
from ebpf.vm.maps.storage import VARIABLE
from tests.unit.vm.maps.programs import key, load, run

HASHES = (MapType.HASH, MapType.PERCPU_HASH, MapType.LRU_HASH, MapType.LRU_PERCPU_HASH)
KINDS = (MapType.ARRAY, MapType.PERCPU_ARRAY, *HASHES)
LOOK_UP = "*(u32 *)(r10 - 4) = {key}\nr2 = r10\nr2 += -4\nr1 = map_fd[1] ll\ncall bpf_map_lookup_elem\n"


pytestmark = pytest.mark.usefixtures("native_maps")


def make(type_: MapType, entries: int = 4, *, size: int = 8, cpus: int = 1, flags: int = 0) -> Map:
    return create_map(MapShape(type_, 4, size, entries, flags, name="m"), cpus=cpus, seed=7)


def fill(map_: Map, *numbers: int) -> None:
    for number in numbers:
        assert map_.write(key(number), bytes(map_.system_value_size)) == 0


# Who has it.


SIZES = dict.fromkeys(KINDS, (4, 8, 4)) | {
    MapType.RINGBUF: (0, 0, 4096),
    MapType.QUEUE: (0, 8, 4),
    MapType.STACK: (0, 8, 4),
    MapType.BLOOM_FILTER: (0, 8, 4),
    MapType.LPM_TRIE: (8, 8, 4, MapFlag.NO_PREALLOC),
}


@pytest.mark.parametrize("type_", SIZES)
def test_these_types_are_in_native_storage(type_: MapType) -> None:
    assert create_map(MapShape(type_, *SIZES[type_])).storage_kind == "native"


def test_storage_is_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "python")
    assert make(MapType.HASH).storage_kind == "python"
    monkeypatch.setenv(VARIABLE, "tape")
    told = r"map storage 'tape' \(environment variable EBPF_MAP_STORAGE\) is not .*; use auto, native or python"
    with pytest.raises(NotSupportedError, match=told):
        make(MapType.HASH)


def test_without_native_code_maps_are_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_obstacle", lambda: "there is no image")
    with pytest.raises(NotSupportedError, match=r"EBPF_MAP_STORAGE\) .*there is no image; use 'python'"):
        make(MapType.HASH)
    monkeypatch.setenv(VARIABLE, "auto")
    assert make(MapType.HASH).storage_kind == "python"


def test_tables_that_are_too_large_are_in_python() -> None:
    assert make(MapType.HASH, 1 << 27, flags=MapFlag.NO_PREALLOC).storage_kind == "python"


# Addresses and bounds.


@pytest.mark.parametrize("type_", KINDS)
def test_the_engines_see_the_same_addresses(type_: MapType) -> None:
    map_ = make(type_, cpus=2)
    if type_ in HASHES:
        fill(map_, 0, 1, 2)
    programs = [load(LOOK_UP.format(key=number) + "exit", map_) for number in range(3)]
    seen = [run(program, "reference", cpu=1) for program in programs]
    assert [run(program, "interpreter", cpu=1) for program in programs] == seen
    assert [address >> 62 for address in seen] == [2, 2, 2]
    assert len(set(seen)) == 3


@pytest.mark.parametrize("type_", KINDS)
@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (5, 4), (12, 1), (16, 1), (8, 8), (1 << 20, 1)])
def test_no_access_reaches_beyond_a_value(type_: MapType, offset: int, size: int, engine: str) -> None:
    map_ = make(type_, size=12, cpus=2)
    if type_ in HASHES:
        fill(map_, 0, 1, 2)
    word = {1: "u8", 4: "u32", 8: "u64"}[size]
    good = offset == 5
    for access in (f"r1 = *({word} *)(r0 + 0)", f"*({word} *)(r0 + 0) = 1"):
        text = LOOK_UP.format(key=1) + f"if r0 == 0 goto out\nr0 += {offset}\n{access}\nout: r0 = 1\nexit"
        if good:
            assert run(load(text, map_), engine) == 1
            continue
        with pytest.raises(ProgramFault) as caught:
            run(load(text, map_), engine)
        assert caught.value.kind == "memory"
        if 0 <= offset < 1 << 20:
            assert f"value of m has offsets 0..12, the access {offset}..{offset + size}" in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "access"), [(MapFlag.RDONLY_PROG, "*(u8 *)(r0 + 0) = 1"), (MapFlag.WRONLY_PROG, "r1 = *(u8 *)(r0 + 0)")]
)
def test_permissions(flag: MapFlag, access: str, engine: str) -> None:
    map_ = make(MapType.ARRAY, flags=int(flag))
    text = LOOK_UP.format(key=1) + f"if r0 == 0 goto out\n{access}\nout: r0 = 1\nexit"
    with pytest.raises(ProgramFault, match=r"value of m is (r-|-w)"):
        run(load(text, map_), engine)


def test_forged_addresses_lead_nowhere(engine: str) -> None:
    map_ = make(MapType.ARRAY)
    for high in (0x80000000, 0x80020000, 0x8001FFFF, 0xC0000000, 0xFFFFFFFF):
        text = f"r1 = map_fd[1] ll\nr2 = {high:#x}\nr2 <<= 32\nr0 = *(u8 *)(r2 + 0)\nexit"
        with pytest.raises(ProgramFault) as caught:
            run(load(text, map_), engine)
        assert caught.value.kind == "memory"


# Elements that runs still hold.


@pytest.fixture
def running() -> Iterator[Epoch]:
    """A run that lasts as long as the test."""
    epoch = Epoch()
    yield epoch
    epoch.leave()


@pytest.mark.parametrize("type_", HASHES)
def test_a_deleted_element_stays_while_a_run_lasts(type_: MapType, running: Epoch) -> None:
    map_ = make(type_, 2)
    map_.write(key(1), b"deleted!")
    view = map_.lookup(key(1))
    assert view is not None
    assert map_.delete(key(1)) == 0
    for number in range(2, 50):
        fill(map_, number)
        assert map_.delete(key(number)) == 0
    assert view.tobytes() == b"deleted!"
    running.leave()
    fill(map_, 50, 51)
    assert view.tobytes() == bytes(8)  # its memory was the first to be used again


def test_a_run_that_began_later_holds_nothing_back(running: Epoch) -> None:
    map_ = make(MapType.HASH, 1)
    map_.write(key(1), b"deleted!")
    view = map_.lookup(key(1))
    map_.delete(key(1))
    later = Epoch()
    running.leave()
    fill(map_, 2)
    assert view is not None
    assert view.tobytes() == bytes(8)
    later.leave()


def test_without_spare_memory_insertions_fail_and_replacements_write_over(running: Epoch) -> None:
    map_ = make(MapType.HASH, 1, size=1 << 16)  # of large values there are few spare ones
    assert isinstance(map_, HashMap)
    value = bytes(1 << 16)
    results = [map_.write(key(1), value) or map_.delete(key(1)) for _ in range(300)]
    spare = results.index(-ENOMEM)
    assert 64 <= spare < 300
    assert results == [0] * spare + [-ENOMEM] * (300 - spare)
    assert len(map_) == 0
    running.leave()
    again = Epoch()
    views = []
    for number in range(300):
        assert map_.write(key(1), number.to_bytes(1 << 16, "little")) == 0
        views.append(map_.lookup(key(1)))
    again.leave()
    seen = [int.from_bytes(view[:8], "little") for view in views if view is not None]
    assert seen[: spare - 1] == list(range(spare - 1))
    assert seen[spare:] == [299] * (300 - spare)


def test_a_thread_waits_for_older_runs(running: Epoch) -> None:
    map_ = make(MapType.HASH, 1, size=1 << 16)
    value, results = bytes(1 << 16), list[int]()

    def churn() -> None:
        results.extend(map_.write(key(1), value) or map_.delete(key(1)) for _ in range(300))

    thread = threading.Thread(target=churn)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    running.leave()
    thread.join()
    assert results == [0] * 300


CROWD_AND_FORK = """
import os, threading
from ebpf.vm import epochs
from ebpf.vm import epochs
from ebpf.vm.epochs import WORDS, Epoch

mine = [Epoch() for _ in range(len(WORDS))]  # more than have words of their own
began, go = threading.Event(), threading.Event()

def run_elsewhere():
    other = [Epoch() for _ in range(3)]
    began.set()
    go.wait()
    for epoch in other:
        epoch.leave()

thread = threading.Thread(target=run_elsewhere)
thread.start()
began.wait()
child = os.fork()
for epoch in mine[:-1]:
    epoch.leave()
one_is_left = WORDS[2] != 0
mine[-1].leave()
if child:
    os.waitpid(child, 0)
print(one_is_left, child != 0 or WORDS[2] == 0, epochs._crowd, flush=True)
if not child:
    os._exit(0)
go.set()
thread.join()
print(epochs._crowd, WORDS[2], set(WORDS[3:]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_the_child_of_a_fork_knows_its_own_of_many_runs() -> None:
    done = subprocess.run([sys.executable, "-c", CROWD_AND_FORK], capture_output=True, text=True, timeout=60)

    assert done.stdout.splitlines() == ["True True 0", "True True 3", "0 0 {0}"], done.stderr


LANES_AND_FORK = """
import os, sys
from ebpf.abi.types import MapType
from ebpf.objects.packets import gather
from ebpf.vm.epochs import Epoch
from ebpf.vm.maps import MapShape, create_map
from tests.unit.embedded_programs import kernel, load

key = lambda number: number.to_bytes(4, "little")
with kernel(cpus=2) as runtime:
    facts = load(runtime, "call bpf_ktime_get_ns; r0 = 7; exit")
    runner = runtime.runner(facts, engine="interpreter")
    runner.run_many(gather([bytes(64)] * 8), threads=2)  # on threads whose lanes the child uses
    child = os.fork()
    if not child:
        map_ = create_map(MapShape(MapType.HASH, 4, 8, 2, 0, name="m"), cpus=1, seed=7)
        map_.write(key(1), b"deleted!")
        running = Epoch()
        view = map_.lookup(key(1))
        map_.delete(key(1))
        runner.run_many(gather([bytes(64)] * 8))
        for number in range(2, 50):
            map_.write(key(number), b"another!")
            map_.delete(key(number))
        print(view.tobytes().decode(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    facts.handle.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_lanes_of_other_threads_end_no_run_in_the_child_of_a_fork() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LANES_AND_FORK], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "deleted!\n", done.stderr


def test_ctrl_c_while_dropped_epochs_end_gives_no_word_back_twice() -> None:
    place = 0

    def look(frame: FrameType, event: str, _: Any) -> None:
        nonlocal left
        if event in ("call", "c_return") and frame.f_globals["__name__"] == epochs.__name__:
            left -= 1
            if not left:
                raise KeyboardInterrupt

    left = 0
    while left <= 0:
        place += 1
        left = place
        dropped = [Epoch() for _ in range(3)]
        del dropped
        sys.setprofile(look)
        with suppress(KeyboardInterrupt):
            epochs.older_runs()
        sys.setprofile(None)
        epochs.older_runs()
        assert len(set(epochs._free)) == len(epochs._free)
    assert place > 5


def test_an_epoch_that_is_dropped_holds_nothing_back_for_good() -> None:
    map_ = make(MapType.HASH, 1, size=1 << 16)
    value = bytes(1 << 16)
    for crowded in (False, True):
        crowd = [Epoch() for _ in range(len(WORDS))] if crowded else []
        dropped = Epoch()
        for epoch in crowd:
            epoch.leave()
        del dropped
        assert [map_.write(key(1), value) or map_.delete(key(1)) for _ in range(300)] == [0] * 300


def test_native_code_notes_when_a_run_begins_where_python_looks() -> None:
    many = [Epoch() for _ in range(len(WORDS))]
    for epoch, shared in ((many[0], False), (many[-1], True)):
        assert epoch.shared is shared
        assert ctypes.addressof(ctypes.c_uint64.from_buffer(epoch.cell)) == epoch.address
    for epoch in many:
        epoch.leave()


def test_a_run_holds_what_it_looked_up(engine: str) -> None:
    # The element is deleted and others take its place before the program reads it again.
    text = (
        LOOK_UP.format(key=1)
        + "r6 = r0\nr2 = r10\nr2 += -4\nr1 = map_fd[1] ll\ncall bpf_map_delete_elem\n"
        + "*(u64 *)(r10 - 16) = 99\n*(u32 *)(r10 - 4) = 2\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -16\nr4 = 0\n"
        + "r1 = map_fd[1] ll\ncall bpf_map_update_elem\nif r0 != 0 goto out\nr0 = *(u64 *)(r6 + 0)\nout: exit"
    )
    for type_ in (MapType.HASH, MapType.LRU_HASH):
        map_ = make(type_, 1)
        map_.write(key(1), (42).to_bytes(8, "little"))
        assert run(load(text, map_), engine) == 42
        assert map_.read(key(2)) == (99).to_bytes(8, "little")


def test_runs_leave_their_epoch(engine: str) -> None:
    before = list(WORDS[2:])
    run(load("r0 = 0\nexit"), engine)
    with pytest.raises(ProgramFault):
        run(load("r0 = *(u8 *)(r10 + 0)\nexit"), engine)
    assert list(WORDS[2:]) == before


# Threads and processes.

HAMMER = """
r6 = 0
again:
r1 = r6
r1 &= 63
*(u32 *)(r10 - 4) = r1
r2 = r10
r2 += -4
r1 = map_fd[1] ll
call bpf_map_lookup_elem
if r0 == 0 goto missing
r1 = 1
lock *(u64 *)(r0 + 0) += r1
goto next
missing:
*(u64 *)(r10 - 16) = 0
r2 = r10
r2 += -4
r3 = r10
r3 += -16
r4 = 1
r1 = map_fd[1] ll
call bpf_map_update_elem
goto again
next:
r1 = r6
r1 += {private}
*(u32 *)(r10 - 4) = r1
*(u64 *)(r10 - 16) = 1
r2 = r10
r2 += -4
r3 = r10
r3 += -16
r4 = 0
r1 = map_fd[1] ll
call bpf_map_update_elem
if r0 != 0 goto out
r2 = r10
r2 += -4
r1 = map_fd[1] ll
call bpf_map_delete_elem
if r0 != 0 goto out
r6 += 1
if r6 < {rounds} goto again
r0 = 0
out:
exit
"""


def test_many_threads_on_one_map() -> None:
    map_ = make(MapType.HASH, 80)
    rounds, repeats, threads = 320, 40, 3
    programs = [load(HAMMER.format(private=1000 * (n + 1), rounds=rounds), map_) for n in range(threads)]
    results: list[int] = []
    done = threading.Event()
    walked: list[set[int]] = []

    def hammer(cpu: int) -> None:
        for _ in range(repeats):
            results.append(run(programs[cpu], "interpreter", cpu=cpu))

    def look_on() -> None:
        assert isinstance(map_, HashMap)
        while not done.is_set():
            keys, values, _ = map_.walk(0, 1000)
            assert len(keys) * 2 == len(values)
            walked.append(set(struct.unpack(f"<{len(keys) // 4}I", keys)))
            assert map_.write(key(500_000), bytes(8)) == 0
            assert map_.delete(key(500_000)) == 0

    workers = [threading.Thread(target=hammer, args=(cpu,)) for cpu in range(threads)]
    observer = threading.Thread(target=look_on)
    for thread in (*workers, observer):
        thread.start()
    for thread in workers:
        thread.join()
    done.set()
    observer.join()
    assert results == [0] * (threads * repeats)
    counts = {int.from_bytes(k, "little"): int.from_bytes(value, "little") for k, _, value in map_.elements()}
    assert counts == dict.fromkeys(range(64), rounds * repeats * threads // 64)
    allowed = set(range(64)) | set(range(1000, 5000)) | {500_000}
    assert walked
    assert all(seen <= allowed for seen in walked)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_child_never_inherits_a_lock() -> None:
    map_ = make(MapType.LRU_HASH, 64)
    program = load(HAMMER.replace("goto again\nnext", "goto next\nnext").format(private=1000, rounds=300), map_)
    stop = threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            run(program, "interpreter")

    worker = threading.Thread(target=hammer)
    worker.start()
    try:
        value = bytes(8)
        for attempt in range(20):
            child = os.fork()
            if child == 0:
                whole = map_.write(key(7), b"in child") == 0 and map_.read(key(7)) == b"in child"
                for number in range(
                    0 if attempt else 70_000
                ):  # would run out of memory if the parent's runs were still waited for
                    whole = whole and map_.write(key(20_000 + number), value) == 0
                os._exit(0 if whole else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        worker.join()
    assert map_.read(key(7)) != b"in child"


# What the system call sees.


def test_walk_goes_on_where_it_stopped() -> None:
    map_ = make(MapType.PERCPU_HASH, 10, size=5, cpus=2)
    assert isinstance(map_, HashMap)
    fill(map_, *range(10))
    map_.write(key(3), b"aaaaa---bbbbb---")
    map_.delete(key(4))
    keys, values, at = map_.walk(0, 4)
    assert (keys, at) == (b"".join(map(key, range(4))), 5)
    assert values[3 * 16 :] == b"aaaaa\0\0\0bbbbb\0\0\0"
    rest, _, end = map_.walk(5, 100)
    assert (rest, end) == (b"".join(map(key, range(5, 10))), None)
    assert map_.take(key(3)) == b"aaaaa\0\0\0bbbbb\0\0\0"
    assert map_.take(key(3)) == -ENOENT


def test_keys_and_values_of_another_size_are_refused() -> None:
    map_ = make(MapType.HASH)
    with pytest.raises(ValueError, match="4 bytes, not 3"):
        map_.lookup(b"abc")
    with pytest.raises(ValueError, match="8 bytes, not 7"):
        map_.update(key(1), bytes(7))
    queue = create_map(MapShape(MapType.QUEUE, 0, 8, 2))
    with pytest.raises(ValueError, match="8 bytes, not 9"):
        queue.push(bytes(9))


@pytest.mark.parametrize("size", [1, 3, 4, 7, 8, 13, 16, 40, 100])
def test_keys_of_any_size(size: int) -> None:
    map_ = create_map(MapShape(MapType.HASH, size, 8, 200), seed=3)
    keys = [bytes([number]) * (size - 1) + bytes([number ^ 1]) for number in range(200)]
    for number, name in enumerate(keys):
        assert map_.update(name, number.to_bytes(8, "little")) == 0
    assert [map_.read(name) for name in keys] == [number.to_bytes(8, "little") for number in range(200)]
    assert map_.update(b"\xff" * size, bytes(8)) == -E2BIG
    assert map_.read(b"\xff" * size) == -ENOENT


def test_programs_ask_for_memory_of_elements_without_preallocation(engine: str) -> None:
    map_ = make(MapType.HASH, 8, flags=MapFlag.NO_PREALLOC)
    assert isinstance(map_, HashMap)
    taken: list[int] = []
    map_.charge = lambda size: len(taken) < 3 and not taken.append(size)  # type: ignore[func-returns-value]
    text = LOOK_UP.replace("bpf_map_lookup_elem", "bpf_map_update_elem").replace(
        "r1 = map", "r3 = r2\nr4 = 0\nr1 = map"
    )
    program = "*(u64 *)(r10 - 8) = 0\n" + text.replace("r10 - 4", "r10 - 8").replace("+= -4", "+= -8") + "exit"
    results = [run(load(program.format(key=number), map_), engine) for number in (1, 2, 2, 3, 4)]
    assert [result - (1 << 64) if result else 0 for result in results] == [0, 0, 0, 0, -ENOMEM]
    assert taken == [map_.element_size] * 3


def test_memory_of_what_programs_delete_is_settled(engine: str) -> None:
    map_ = make(MapType.HASH, 8, flags=MapFlag.NO_PREALLOC)
    assert isinstance(map_, HashMap)
    account = [0]

    def charge(size: int) -> bool:
        account[0] += size
        return True

    map_.charge = charge
    start = "*(u64 *)(r10 - 8) = 5\nr2 = r10\nr2 += -8\nr1 = map_fd[1] ll\n"
    insert = load(start + "r3 = r2\nr4 = 0\ncall bpf_map_update_elem\nexit", map_)
    delete = load(start + "call bpf_map_delete_elem\nexit", map_)
    for _ in range(3):
        assert (run(insert, engine), account[0]) == (0, map_.element_size)
        assert run(delete, engine) == 0
    map_.settle()
    assert account[0] == 0
