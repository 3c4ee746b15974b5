"""Collections: loading whole objects, variables, contents, pins, replaced maps, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.abi.types import MapFlag, MapType, ProgramType
from ebpf.asm import Insn
from ebpf.btf import Codec
from ebpf.errors import (
    ClosedError,
    EbpfError,
    LoadError,
    MapIncompatibleError,
    NotSupportedError,
    RelocationError,
    SystemCallError,
)
from ebpf.objects import ArrayMap, HashMap, Map, MapOfMaps, Program, ProgramArray
from ebpf.runtime import Runtime
from ebpf.spec import CollectionSpec, MapSpec
from tests.conformance.specs import collection, constant, counter_collection, hash_map, program, u32, u64

OBJECTS = Path(__file__).parents[1] / "objects"
FIREWALL = Path(__file__).parents[2] / "src/ebpf/cli/data/firewall.o"
PACKET = bytes(64)


@pytest.fixture
def pin_directory(runtime: Runtime) -> Iterator[str]:
    """A place for pins, emptied at the end."""
    path = f"/sys/fs/bpf/ebpf-test-{os.getpid()}" if runtime.name == "linux" else "/test"
    runtime.pins.make_directory(path)
    yield path
    for name in runtime.pins.list(path):
        runtime.pins.remove(os.path.join(path, name))
    runtime.pins.remove(path)


def live(runtime: Runtime) -> tuple[set[int], set[int]]:
    """Ids of every map and program."""
    maps, programs = set(), set()
    for map_ in Map.iter_all(runtime=runtime):
        with map_:
            maps.add(map_.id)
    for one in Program.iter_all(runtime=runtime):
        with one:
            programs.add(one.id)
    return maps, programs


def test_a_real_object(runtime: Runtime) -> None:
    spec = CollectionSpec.from_file(FIREWALL)
    spec.variables["report_new_flows"].value = False
    with spec.load(runtime=runtime) as loaded:
        assert list(loaded.programs) == ["firewall"]
        assert loaded.runtime.reason
        rules = loaded.maps["rules"]
        assert isinstance(rules, HashMap)
        key = rules.key_type(protocol=17, unused=0, port=53)
        rules[key] = rules.value_type(action=1, dscp=0, hits=0)
        assert rules[key].action.name == "ACTION_DROP"
        assert dict(rules) == {key: rules[key]}
        with pytest.raises(AttributeError):
            rules[key].hits = 5  # values are copies
        assert loaded.programs["firewall"].run(PACKET).retval == 2
        assert loaded.variables["packets"].value == 1
        assert loaded.variables["report_new_flows"].value is False
    assert loaded.closed


def test_a_spec_loads_more_than_once(runtime: Runtime) -> None:
    spec = CollectionSpec.from_file(FIREWALL)
    before = {name: bytes(one.contents) for name, one in spec.maps.items() if isinstance(one.contents, bytearray)}
    with spec.load(runtime=runtime) as one, spec.load(runtime=runtime) as two:
        one.programs["firewall"].run(PACKET)
        assert (one.variables["packets"].value, two.variables["packets"].value) == (1, 0)
    after = {name: bytes(one.contents) for name, one in spec.maps.items() if isinstance(one.contents, bytearray)}
    assert after == before


def test_variables_before_and_after_load(runtime: Runtime) -> None:
    spec = CollectionSpec.from_file(OBJECTS / "calls.o")
    for one in spec.programs.values():
        one.autoload = False  # kernels refuse their global callback
    spec.variables["limit"].value = spec.variables["limit"].value + 1
    with spec.load(runtime=runtime) as loaded:
        limit, counter = loaded.variables["limit"], loaded.variables["counter"]
        assert limit.value == spec.variables["limit"].value
        assert limit.read_only
        with pytest.raises(TypeError, match="constant once loaded"):
            limit.value = 1
        counter.value = 41
        assert counter.value == 41
        memory = counter.memory()
        memory[: counter.size] = (42).to_bytes(counter.size, "little")
        assert counter.value == 42
    assert bytes(memory) == (42).to_bytes(counter.size, "little")
    with pytest.raises(ClosedError):
        _ = loaded.maps[".bss"].lookup(0)


def test_variables_without_mapped_memory(runtime: Runtime) -> None:
    spec = CollectionSpec.from_file(OBJECTS / "calls.o")
    for one in spec.programs.values():
        one.autoload = False
    with spec.load(runtime=runtime) as loaded:
        counter = loaded.variables["counter"]
        counter.map.flags &= ~MapFlag.MMAPABLE  # as on kernels before 5.5
        counter.value = 17
        assert counter.value == 17
        with pytest.raises(NotSupportedError, match=r"5\.5"):
            counter.memory()


def test_every_map_of_an_object(runtime: Runtime, pin_directory: str) -> None:
    spec = CollectionSpec.from_file(OBJECTS / "maps.o")
    with spec.load(runtime=runtime, pin_path=pin_directory) as loaded:
        assert set(loaded.maps) == set(spec.maps)
        outer, jumps = loaded.maps["outer"], loaded.maps["jumps"]
        assert isinstance(outer, MapOfMaps)
        assert isinstance(jumps, ProgramArray)
        assert outer.ids() == {1: loaded.maps["inner_a"].id, 5: loaded.maps["inner_b"].id}
        with outer[1] as inner:
            assert isinstance(inner, ArrayMap)
            inner[0] = 99
        assert loaded.maps["inner_a"].lookup(0) == 99
        assert set(jumps.ids().values()) <= {one.id for one in loaded.programs.values()}
        assert len(jumps) == 2
        typed = loaded.maps["typed"]
        assert isinstance(typed, HashMap)
        typed[{"first": 1, "second": 2}] = 7
        assert typed[typed.key_type(first=1, second=2)] == 7
        assert typed.tags == ("first tag", "second tag")


def test_legacy_maps_are_bytes(runtime: Runtime) -> None:
    spec = CollectionSpec.from_file(OBJECTS / "legacy.o")
    for one in spec.maps.values():
        one.extra = b""
    with spec.load(runtime=runtime) as loaded:
        assert list(loaded.programs) == ["first"]  # `?kprobe` and an unknown section are not loaded
        table = loaded.maps["table"]
        assert isinstance(table, HashMap)
        assert table.key_type is bytes


def test_pinning_by_name_is_opened_again(runtime: Runtime, pin_directory: str) -> None:
    spec = collection(hash_map(pinning="by_name"), constant(2))
    with spec.load(runtime=runtime, pin_path=pin_directory) as first:
        first.maps["counts"].store(u32(1), u64(5))
        number = first.maps["counts"].id
    with spec.load(runtime=runtime, pin_path=pin_directory) as second:
        assert second.maps["counts"].id == number
        assert second.maps["counts"].lookup(u32(1)) == u64(5)
    spec.maps["counts"].max_entries = 128
    with pytest.raises(MapIncompatibleError, match="max_entries 128, the map has 64") as caught:
        spec.load(runtime=runtime, pin_path=pin_directory)
    assert caught.value.differences == {"max_entries": (128, 64)}
    with pytest.raises(ValueError, match="pin_path"):
        spec.load(runtime=runtime)


def test_pin_all_or_nothing(runtime: Runtime, pin_directory: str) -> None:
    with collection(hash_map(), constant(2)).load(runtime=runtime) as loaded:
        loaded.pin(pin_directory)
        assert set(runtime.pins.list(pin_directory)) == {"counts", "program"}
        with Map.open_pinned(f"{pin_directory}/counts", runtime=runtime) as counts:
            assert counts.id == loaded.maps["counts"].id
        with Program.open_pinned(f"{pin_directory}/program", runtime=runtime) as opened:
            assert opened.run(PACKET).retval == 2
        with pytest.raises(TypeError, match="program"):
            Map.open_pinned(f"{pin_directory}/program", runtime=runtime)
        with pytest.raises(TypeError, match="map"):
            Program.open_pinned(f"{pin_directory}/counts", runtime=runtime)
        runtime.pins.remove(f"{pin_directory}/counts")
        with pytest.raises(SystemCallError) as refused:
            loaded.pin(pin_directory)  # the program is there already
        assert refused.value.errno_name == "EEXIST"
        assert runtime.pins.list(pin_directory) == ["program"]


def test_replaced_maps_stay_the_callers(runtime: Runtime) -> None:
    spec = counter_collection()
    given = Map.create(spec.maps["counter"], runtime=runtime)
    with spec.load(runtime=runtime, replace_maps={"counter": given}) as loaded:
        loaded.programs["program"].run(PACKET, repeat=3)
        assert loaded.maps["counter"].id == given.id
    assert given.lookup(0) == u64(3)
    with spec.load(runtime=runtime, replace_maps={"counter": given}) as loaded:
        given.close()
        assert loaded.maps["counter"].lookup(0) == u64(3)
    with Map.create(hash_map(), runtime=runtime) as other:
        with pytest.raises(MapIncompatibleError) as caught:
            spec.load(runtime=runtime, replace_maps={"counter": other})
        assert caught.value.differences["type"] == (MapType.ARRAY, MapType.HASH)
        assert caught.value.map == "counter"
        with pytest.raises(ValueError, match="has no such map"):
            spec.load(runtime=runtime, replace_maps={"nothing": other})


def test_a_failed_load_leaves_nothing(runtime: Runtime) -> None:
    spec = collection(hash_map(), constant(2, name="good"), program("r0 = 0", name="bad"))
    before = live(runtime)
    with pytest.raises(LoadError) as caught:
        spec.load(runtime=runtime)
    assert caught.value.program == "bad"
    # Other processes may use the same kernel: only what is new and ours counts.
    assert {number for number in live(runtime)[1] - before[1] if _is_ours(runtime, number)} == set()
    spec = collection(hash_map(name="good_map"), hash_map(name="bad_map", value_size=0), constant(2))
    with pytest.raises(LoadError, match="bad_map") as refused:
        spec.load(runtime=runtime)
    assert refused.value.map == "bad_map"


def _is_ours(runtime: Runtime, number: int) -> bool:
    try:
        with Program.open_id(number, runtime=runtime) as found:
            return found.name == "good"
    except EbpfError:
        return False


def test_programs_can_be_left_out(runtime: Runtime) -> None:
    spec = collection(constant(2, name="wanted"), program("r0 = 0", name="broken", autoload=False))
    with spec.load(runtime=runtime) as loaded:
        assert list(loaded.programs) == ["wanted"]
    spec = collection(constant(2, name="wanted"), constant(2, name="odd", kind=ProgramType.UNSPEC))
    with spec.load(runtime=runtime) as loaded:
        assert list(loaded.programs) == ["wanted"]


def test_contents_are_written(runtime: Runtime) -> None:
    table = MapSpec("table", MapType.ARRAY, 4, 8, 3, contents=[(u32(1), u64(5)), (u32(2), u64(6))])
    data = MapSpec(".data", MapType.ARRAY, 4, 8, 1, contents=bytearray(u64(9)))
    constants = MapSpec(".rodata", MapType.ARRAY, 4, 8, 1, flags=MapFlag.RDONLY_PROG, contents=bytearray(u64(7)))
    with collection(table, data, constants, constant(2)).load(runtime=runtime) as loaded:
        assert list(loaded.maps["table"]) == [u64(0), u64(5), u64(6)]  # type: ignore[call-overload]  # an ArrayMap
        assert loaded.maps[".data"].lookup(0) == u64(9)
        assert loaded.maps[".rodata"].lookup(0) == u64(7)
        loaded.maps[".data"].store(0, u64(1))
        with pytest.raises(SystemCallError):
            loaded.maps[".rodata"].store(0, u64(1))


@pytest.mark.parametrize("name", ["calls-eb.o", "legacy-eb.o", "maps-eb.o"])
def test_foreign_byte_order_is_refused(runtime: Runtime, name: str) -> None:
    with pytest.raises(NotSupportedError, match="big-endian"):
        CollectionSpec.from_file(OBJECTS / name).load(runtime=runtime)


def test_what_only_a_running_kernel_supplies_is_refused_by_name(runtime: Runtime) -> None:
    spec = CollectionSpec.from_file(OBJECTS / "externs.o")
    with pytest.raises(NotSupportedError, match="struct_ops map plain"):
        spec.load(runtime=runtime)
    for name in ("plain", "linked"):
        del spec.maps[name]
    for name in ("pick_threshold", "start_up"):
        spec.programs[name].autoload = False
    with pytest.raises(RelocationError, match=r"on_switch: instruction .* needs") as caught:
        spec.load(runtime=runtime)
    assert caught.value.program == "on_switch"
    spec.programs["on_switch"].autoload = False
    with spec.load(runtime=runtime) as loaded:
        assert not loaded.programs
        assert not loaded.maps


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("kfunc", "kernel function 'bpf_task_acquire'"),
        ("ksym", "kernel symbol '(jiffies|runqueues)'"),
        ("core", "CO-RE relocation"),
    ],
)
def test_each_need_is_named(runtime: Runtime, kind: str, words: str) -> None:
    source = CollectionSpec.from_file(OBJECTS / "externs.o")
    wanted = [insn for insn in source.programs["on_switch"].insns if _kind(insn) == kind]
    spec = collection(constant(2))
    spec.types = source.types
    spec.programs["program"].insns.insert(0, wanted[0])
    with pytest.raises(RelocationError, match=words):
        spec.load(runtime=runtime)


def _kind(insn: Insn) -> str | None:
    if insn.core is not None:
        return "core"
    return None if insn.reference is None else str(insn.reference.kind)


@pytest.mark.parametrize("kind", [ProgramType.TRACING, ProgramType.LSM, ProgramType.EXT, ProgramType.STRUCT_OPS])
def test_programs_of_a_target_are_refused_by_name(runtime: Runtime, kind: ProgramType) -> None:
    spec = collection(constant(2, name="wanted"), constant(0, name="hooked", kind=kind))
    with pytest.raises(NotSupportedError, match=f"program hooked of type {kind.label}"):
        spec.load(runtime=runtime)
    spec.programs["hooked"].autoload = False
    spec.load(runtime=runtime).close()


def test_a_map_can_be_made_of_a_typed_spec(runtime: Runtime) -> None:
    spec = CollectionSpec.from_file(FIREWALL).maps["rules"]
    assert spec.value is not None
    with Map.create(spec, runtime=runtime) as rules:
        assert isinstance(rules, HashMap)
        rules[{"protocol": 6, "unused": 0, "port": 80}] = {"action": 2, "dscp": 46, "hits": 1}
        assert next(iter(rules.values())).dscp == 46
        assert rules.lookup({"protocol": 6, "unused": 0, "port": 80}, raw=True) == Codec(spec.value).encode(
            next(iter(rules.values()))
        )
        assert rules.info().btf_id


def test_closing_twice_is_fine(runtime: Runtime) -> None:
    loaded = counter_collection().load(runtime=runtime)
    loaded.close()
    loaded.close()
    assert loaded.closed
    assert all(map_.closed for map_ in loaded.maps.values())
    assert "closed" in repr(loaded)
