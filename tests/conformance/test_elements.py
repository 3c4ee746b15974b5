"""Map elements, by the runtime's own way and by the default over bpf()."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpf.abi.types import MapFlag, MapType
from ebpf.errors import ClosedError, KeyNotFoundError, SystemCallError
from ebpf.runtime import MapFacts, Runtime
from ebpf.runtime.base import MapIO
from ebpf.runtime.defaults import BpfMapIO
from tests.conformance.making import a_map, u32, u64

Ways = Callable[[MapFacts], MapIO]


def ways_of(runtime: Runtime) -> dict[str, Ways]:
    return {"own": runtime.map_io, "default": lambda map_: BpfMapIO(runtime, map_)}


@pytest.fixture(params=["own", "default"])
def io_of(request: pytest.FixtureRequest, runtime: Runtime) -> Ways:
    return ways_of(runtime)[request.param]


def test_elements(runtime: Runtime, io_of: Ways) -> None:
    with a_map(runtime) as map_:
        io = io_of(map_)
        io.update(u32(1), bytearray(u64(5)))
        assert io.lookup(memoryview(u32(1))) == u64(5)
        assert io.next_key(None) == u32(1)
        assert io.next_key(u32(1)) is None
        assert io.lookup_and_delete(u32(1)) == u64(5)
        for act in (io.lookup, io.lookup_and_delete, io.delete):
            with pytest.raises(KeyNotFoundError):
                act(u32(1))


def test_views_of_other_types_are_bytes(runtime: Runtime, io_of: Ways) -> None:
    with a_map(runtime) as map_:
        io = io_of(map_)
        io.update(memoryview(u32(9)).cast("I"), memoryview(u64(7)).cast("Q"))
        assert io.lookup(u32(9)) == u64(7)


@pytest.mark.parametrize(("key", "value", "what"), [(b"123", bytes(8), "key takes 4"), (b"1234", b"", "value takes 8")])
def test_wrong_sizes_are_refused(runtime: Runtime, io_of: Ways, key: bytes, value: bytes, what: str) -> None:
    with a_map(runtime) as map_, pytest.raises(ValueError, match=what):
        io_of(map_).update(key, value)


def test_flags_do_not_stick(runtime: Runtime, io_of: Ways) -> None:
    with a_map(runtime) as map_:
        io = io_of(map_)
        io.update(u32(1), u64(1), flags=1)
        io.update(u32(1), u64(2))
        assert io.lookup(u32(1)) == u64(2)


def test_per_cpu_values_have_a_slot_for_each_cpu(runtime: Runtime, io_of: Ways) -> None:
    with a_map(runtime, MapType.PERCPU_ARRAY, value_size=4) as map_:
        io = io_of(map_)
        value = b"".join(u64(cpu + 1) for cpu in range(runtime.cpus))
        io.update(u32(0), value)
        assert io.lookup(u32(0)) == value
        [batch] = io.batches()
        assert dict(batch)[u32(0)] == value


def test_queues_take_an_empty_key(runtime: Runtime, io_of: Ways) -> None:
    with a_map(runtime, MapType.QUEUE, key_size=0) as map_:
        io = io_of(map_)
        io.update(b"", u64(1))
        assert io.lookup(b"") == u64(1)
        assert io.lookup_and_delete(b"") == u64(1)


@pytest.mark.parametrize("kind", [MapType.HASH, MapType.LRU_HASH, MapType.ARRAY, MapType.LPM_TRIE, MapType.PERCPU_HASH])
def test_batches_give_every_element(runtime: Runtime, io_of: Ways, kind: MapType) -> None:
    trie = kind is MapType.LPM_TRIE
    flags = MapFlag.NO_PREALLOC if trie else MapFlag(0)
    with a_map(runtime, kind, key_size=8 if trie else 4, value_size=8, max_entries=1000, flags=flags) as map_:
        io = io_of(map_)
        keys = [(u32(32) + u32(i)) if trie else u32(i) for i in range(1000)]
        value = len(io.lookup(keys[0])) if kind is MapType.ARRAY else 8 * (runtime.cpus if "PERCPU" in kind.name else 1)
        wanted = {key: bytes([i % 256]) * value for i, key in enumerate(keys)}
        assert io.update_many(list(wanted.items())) == 1000
        found = dict(pair for batch in io.batches() for pair in batch)
        # An LRU may have evicted something; everybody else has it all.
        assert found.items() <= wanted.items()
        assert kind is MapType.LRU_HASH or len(found) == 1000


def test_batches_may_delete(runtime: Runtime, io_of: Ways) -> None:
    with a_map(runtime, max_entries=300) as map_:
        io = io_of(map_)
        io.update_many([(u32(i), u64(i)) for i in range(300)])
        assert sum(len(batch) for batch in io.batches(delete=True)) == 300
        assert io.next_key(None) is None


def test_types_without_batches_are_walked(runtime: Runtime, io_of: Ways) -> None:
    with a_map(runtime, MapType.PROG_ARRAY, value_size=4) as map_:
        assert list(io_of(map_).batches()) == []


def test_many_keys(runtime: Runtime, io_of: Ways) -> None:
    with a_map(runtime) as map_:
        io = io_of(map_)
        assert io.update_many([(u32(i), u64(i)) for i in range(8)]) == 8
        assert io.lookup_many([u32(3), u32(99), u32(0)]) == [u64(3), None, u64(0)]
        assert io.delete_many([u32(1), u32(99), u32(3), u32(3), u32(7)]) == 3
        assert io.delete_many([]) == 0
        with pytest.raises(SystemCallError) as caught:
            io.update_many([(u32(100 + i), u64(i)) for i in range(16)])
        assert vars(caught.value)["completed"] == 11


# The runtime is the same for all examples, each makes a map of its own.
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(["update", "delete", "lookup", "take"]), st.integers(0, 5)), max_size=30)
)
def test_both_ways_agree_with_a_dict(runtime: Runtime, steps: list[tuple[str, int]]) -> None:
    for io_of in ways_of(runtime).values():
        with a_map(runtime, max_entries=4) as map_:
            _replay(io_of(map_), steps)


def _replay(io: MapIO, steps: list[tuple[str, int]]) -> None:
    model: dict[int, bytes] = {}
    for number, (what, key) in enumerate(steps):
        if what == "update":
            if key in model or len(model) < 4:
                io.update(u32(key), u64(number))
                model[key] = u64(number)
            else:
                with pytest.raises(SystemCallError):
                    io.update(u32(key), u64(number))
        elif key in model:
            found = {"delete": io.delete, "lookup": io.lookup, "take": io.lookup_and_delete}[what](u32(key))
            assert found in (None, model[key])
            if what != "lookup":
                del model[key]
        else:
            with pytest.raises(KeyNotFoundError):
                io.lookup(u32(key))
    assert dict(pair for batch in io.batches() for pair in batch) == {u32(k): v for k, v in model.items()}


def test_threads_share_an_io_and_close_under_it(runtime: Runtime, io_of: Ways) -> None:
    """No lookup sees another thread's key or a recycled number; all end with ClosedError."""
    with a_map(runtime, max_entries=64) as map_:
        io = io_of(map_)
        io.update_many([(u32(i), u64(i * 3)) for i in range(64)])
        wrong: list[object] = []
        ended: list[bool] = []

        def work(seed: int) -> None:
            index = seed
            while True:
                index = (index * 5 + 1) % 64
                try:
                    if io.lookup(u32(index)) != u64(index * 3):
                        wrong.append(index)
                except ClosedError:
                    ended.append(True)
                    return
                except SystemCallError as error:
                    wrong.append(error)
                    return

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        map_.handle.close()
        # The number may be given away now: to a map where every key is missing.
        with a_map(runtime, max_entries=1):
            for thread in threads:
                thread.join(10)
        assert (wrong, ended) == ([], [True] * 4)


def test_every_call_is_logged_at_debug(caplog: pytest.LogCaptureFixture, runtime: Runtime) -> None:
    caplog.set_level(logging.DEBUG, logger="ebpf")
    with a_map(runtime) as map_:
        io = BpfMapIO(runtime, map_)
        with pytest.raises(KeyNotFoundError):
            io.lookup(u32(1))
        io.update(u32(1), u64(1))
        io.delete(u32(1))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("bpf(MAP_CREATE, MapCreate(map_type=HASH key_size=4 value_size=8 max_entries=16")
    assert [line.partition(",")[0] for line in lines[1:]] == [
        "bpf(MAP_LOOKUP_ELEM",
        "bpf(MAP_UPDATE_ELEM",
        "bpf(MAP_DELETE_ELEM",
    ]
    assert "= ENOENT, " in lines[1]
    assert all(line.endswith(" ns") for line in lines)
