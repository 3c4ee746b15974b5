"""Arrays as sequences."""

from __future__ import annotations

import pytest

from ebpf.abi.types import MapFlag, MapType
from ebpf.errors import MapIndexError, NotSupportedError
from ebpf.objects import ArrayMap, Map
from ebpf.runtime import Runtime
from ebpf.spec import MapSpec
from tests.conformance.specs import u64


def make(runtime: Runtime, length: int = 5, *, flags: int = 0, size: int = 8) -> ArrayMap:
    map_ = Map.create(MapSpec("slots", MapType.ARRAY, 4, size, length, flags=MapFlag(flags)), runtime=runtime)
    assert isinstance(map_, ArrayMap)
    return map_


def test_it_is_a_sequence_of_fixed_length(runtime: Runtime) -> None:
    with make(runtime) as slots:
        assert len(slots) == 5
        assert list(slots) == [u64(0)] * 5
        slots[1] = u64(10)
        slots[-1] = u64(50)
        assert slots[1] == u64(10)
        assert slots[4] == slots[-1] == u64(50)
        assert slots[1:4] == [u64(10), u64(0), u64(0)]
        assert slots[::-2] == [u64(50), u64(0), u64(0)]
        slots[0:2] = [u64(1), u64(2)]
        assert list(slots) == [u64(1), u64(2), u64(0), u64(0), u64(50)]
        assert slots.index(u64(50)) == 4
        assert u64(2) in slots
        assert list(reversed(slots))[0] == u64(50)  # noqa: RUF015 - reversed() is what is tested
        assert list(slots.items()) == list(enumerate(slots))


@pytest.mark.parametrize("index", [5, -6, 1 << 40])
def test_outside_is_an_index_error(runtime: Runtime, index: int) -> None:
    with make(runtime) as slots:
        with pytest.raises(MapIndexError) as caught:
            slots[index]
        assert isinstance(caught.value, IndexError)
        with pytest.raises(IndexError):
            slots[index] = u64(0)


def test_the_length_does_not_change(runtime: Runtime) -> None:
    with make(runtime) as slots:
        with pytest.raises(ValueError, match="expected 2 values, got 3"):
            slots[0:2] = [u64(0)] * 3
        with pytest.raises(TypeError, match="int or a slice, got str"):
            slots["one"]


def test_update_many_by_index(runtime: Runtime) -> None:
    with make(runtime, 1000) as slots:
        slots.update((n, u64(n)) for n in range(1000))
        assert list(slots) == [u64(n) for n in range(1000)]


def test_memory_is_the_map(runtime: Runtime) -> None:
    with make(runtime, 4, flags=MapFlag.MMAPABLE, size=4) as slots:
        memory = slots.memory()
        assert len(memory) == 4 * 8
        slots[1] = b"abcd"
        assert memory[8:12] == b"abcd"
        memory[16:20] = b"efgh"
        assert slots[2] == b"efgh"


def test_memory_outlives_close(runtime: Runtime) -> None:
    slots = make(runtime, 4, flags=MapFlag.MMAPABLE)
    slots[0] = u64(7)
    memory = slots.memory()
    slots.close()
    assert memory[:8] == u64(7)
    memory.release()


def test_memory_of_a_frozen_map_is_read_only(runtime: Runtime) -> None:
    with make(runtime, 4, flags=MapFlag.MMAPABLE | MapFlag.RDONLY_PROG) as slots:
        slots[0] = u64(7)
        slots.freeze()
        memory = slots.memory()
        assert memory.readonly
        assert memory[:8] == u64(7)


def test_memory_needs_the_flag(runtime: Runtime) -> None:
    with make(runtime) as slots, pytest.raises(NotSupportedError, match="MMAPABLE"):
        slots.memory()
