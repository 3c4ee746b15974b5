"""Per-CPU maps: one value for each possible CPU."""

from __future__ import annotations

import pytest

from ebpf.abi.types import MapType
from ebpf.objects import HashMap, Map, PerCpu, PerCpuArrayMap
from ebpf.runtime import Runtime
from ebpf.spec import MapSpec
from tests.conformance.specs import COUNT, collection, program, u32


@pytest.mark.parametrize("size", [4, 8, 12])
def test_values_are_lists_by_cpu(runtime: Runtime, size: int) -> None:
    values = [bytes([cpu + 1]) * size for cpu in range(runtime.cpus)]
    with Map.create(MapSpec("each", MapType.PERCPU_ARRAY, 4, size, 3), runtime=runtime) as each:
        assert isinstance(each, PerCpuArrayMap)
        each[1] = values
        assert each[1] == values
        assert isinstance(each[1], PerCpu)
        assert list(each) == [[bytes(size)] * runtime.cpus, values, [bytes(size)] * runtime.cpus]


@pytest.mark.parametrize("kind", [MapType.PERCPU_HASH, MapType.LRU_PERCPU_HASH])
def test_hashes(runtime: Runtime, kind: MapType) -> None:
    values = [bytes([cpu + 1]) * 8 for cpu in range(runtime.cpus)]
    with Map.create(MapSpec("each", kind, 4, 8, 64), runtime=runtime) as each:
        assert isinstance(each, HashMap)
        each[u32(1)] = values
        each.update({u32(n): values for n in range(2, 10)})
        assert dict(each.items()) == {u32(n): values for n in range(1, 10)}
        assert each.pop(u32(1)) == values
        assert u32(1) not in each


def test_every_cpu_needs_a_value(runtime: Runtime) -> None:
    with Map.create(MapSpec("each", MapType.PERCPU_ARRAY, 4, 8, 1), runtime=runtime) as each:
        assert isinstance(each, PerCpuArrayMap)
        with pytest.raises(ValueError, match="one for each CPU"):
            each[0] = [bytes(8)] * (runtime.cpus + 1)
        with pytest.raises(TypeError, match="list of"):
            each[0] = bytes(8)


def test_a_program_counts_on_its_cpu(runtime: Runtime) -> None:
    spec = collection(MapSpec("counter", MapType.PERCPU_ARRAY, 4, 8, 1), program(COUNT))
    with spec.load(runtime=runtime) as loaded:
        loaded.programs["program"].run(bytes(64), repeat=5)
        counter = loaded.maps["counter"]
        assert isinstance(counter, PerCpuArrayMap)
        assert sum(int.from_bytes(value, "little") for value in counter[0]) == 5
