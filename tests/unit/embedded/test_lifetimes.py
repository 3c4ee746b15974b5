"""What keeps an object alive, and that everything ends with its last holder."""

from __future__ import annotations

import pytest

from ebpf.abi.types import AttachType, Cmd, MapFlag, MapType, ProgramType
from ebpf.errors import SystemCallError
from ebpf.runtime.attrs import GetId, LinkCreate, MapElem, ObjPin, ProgBindMap, ProgTestRun
from ebpf.runtime.embedded import EmbeddedRuntime
from ebpf.runtime.info import map_info, program_info
from tests.unit.embedded_programs import Limits, created, kernel, load

TAIL_CALL = """
    r2 = map_fd[{programs}] ll
    r3 = 0
    call bpf_tail_call
    r0 = 1
    exit
"""


def ids(runtime: EmbeddedRuntime, kind: str) -> list[int]:
    found, last = [], 0
    while True:
        attr = GetId(start_id=last)
        try:
            runtime.bpf(Cmd[f"{kind}_GET_NEXT_ID"], attr)
        except SystemCallError:
            return found
        last = attr.next_id
        found.append(last)


def put(runtime: EmbeddedRuntime, map_, key: int, value) -> None:  # type: ignore[no-untyped-def]  # facts of a map or program
    with map_.handle.borrow() as fd, value.handle.borrow() as target:
        attr = MapElem(map_fd=fd, key=key.to_bytes(4, "little"), value=target.to_bytes(4, "little"))
        runtime.bpf(Cmd.MAP_UPDATE_ELEM, attr)


def test_program_keeps_its_maps() -> None:
    with kernel() as runtime:
        array = created(runtime, MapType.ARRAY, 4, 8, 1)
        extra = created(runtime, MapType.ARRAY, 4, 8, 1)
        program = load(runtime, "r1 = map_fd[{array}] ll\nr0 = 2\nexit", array=array)
        with program.handle.borrow() as prog, extra.handle.borrow() as fd:
            runtime.bpf(Cmd.PROG_BIND_MAP, ProgBindMap(prog_fd=prog, map_fd=fd))
        array.handle.close()
        extra.handle.close()
        assert ids(runtime, "MAP") == [1, 2]
        assert program_info(runtime, program.handle).map_ids == (1, 2)
        program.handle.close()
        assert ids(runtime, "MAP") == []
        assert ids(runtime, "PROG") == []
        assert runtime.state.memory_used == 0


def test_outer_map_keeps_its_inner_maps_and_gives_them_up() -> None:
    with kernel() as runtime:
        inner = created(runtime, MapType.ARRAY, 4, 8, 1)
        with inner.handle.borrow() as fd:
            outer = created(runtime, MapType.HASH_OF_MAPS, 4, 4, 2, inner=fd)
        put(runtime, outer, 7, inner)
        inner.handle.close()
        assert ids(runtime, "MAP") == [1, 2]
        with outer.handle.borrow() as fd:
            runtime.bpf(Cmd.MAP_DELETE_ELEM, MapElem(map_fd=fd, key=b"\7\0\0\0"))
        assert ids(runtime, "MAP") == [2]
        outer.handle.close()
        assert ids(runtime, "MAP") == []


def test_program_array_is_emptied_with_its_last_user() -> None:
    with kernel() as runtime:
        programs = created(runtime, MapType.PROG_ARRAY, 4, 4, 1)
        target = load(runtime, "r0 = 7\nexit")
        caller = load(runtime, TAIL_CALL, programs=programs)
        put(runtime, programs, 0, target)
        target.handle.close()
        assert runtime.runner(caller).run(bytes(14)).retval == 7
        programs.handle.close()  # the caller still refers to the array
        assert runtime.runner(caller).run(bytes(14)).retval == 1
        assert ids(runtime, "PROG") == [2]
        caller.handle.close()


def test_array_that_holds_its_own_caller_ends() -> None:
    with kernel() as runtime:
        programs = created(runtime, MapType.PROG_ARRAY, 4, 4, 1)
        caller = load(runtime, TAIL_CALL, programs=programs)
        put(runtime, programs, 0, caller)
        assert runtime.runner(caller).run(bytes(14)).retval == 1  # after 33 tail calls
        caller.handle.close()
        assert ids(runtime, "PROG") == [1]
        programs.handle.close()
        assert ids(runtime, "PROG") == []
        assert ids(runtime, "MAP") == []


def test_pin_keeps_alive() -> None:
    with kernel() as runtime:
        array = created(runtime, MapType.ARRAY, 4, 8, 1)
        with array.handle.borrow() as fd:
            runtime.bpf(Cmd.OBJ_PIN, ObjPin(pathname=b"/kept", bpf_fd=fd))
        array.handle.close()
        again = runtime.own(runtime.bpf(Cmd.OBJ_GET, ObjPin(pathname=b"/kept")))
        assert map_info(runtime, again).id == 1
        again.close()
        runtime.pins.remove("/kept")
        assert ids(runtime, "MAP") == []


def test_link_keeps_its_program_and_frees_its_place() -> None:
    with kernel() as runtime:
        program = load(runtime, "r0 = 2\nexit")
        attr = {"target_ifindex": 1, "attach_type": AttachType.XDP}
        with program.handle.borrow() as fd:
            link = runtime.own(runtime.bpf(Cmd.LINK_CREATE, LinkCreate(prog_fd=fd, **attr)))  # type: ignore[arg-type]
        program.handle.close()
        assert ids(runtime, "PROG") == [1]
        link.close()
        assert (ids(runtime, "PROG"), ids(runtime, "LINK")) == ([], [])
        other = load(runtime, "r0 = 2\nexit")
        with other.handle.borrow() as fd:
            runtime.own(runtime.bpf(Cmd.LINK_CREATE, LinkCreate(prog_fd=fd, **attr))).close()  # type: ignore[arg-type]
        other.handle.close()


def test_numbers_are_high_and_never_used_again() -> None:
    with kernel() as runtime:
        first = runtime.bpf(Cmd.MAP_CREATE, _array())
        runtime.own(first).close()
        second = runtime.bpf(Cmd.MAP_CREATE, _array())
        runtime.own(second).close()
        assert first >= 1 << 28
        assert second > first
        with pytest.raises(SystemCallError, match="EBADF"):
            runtime.bpf(Cmd.PROG_TEST_RUN, ProgTestRun(prog_fd=3))


def _array():  # type: ignore[no-untyped-def]  # the record of MAP_CREATE
    from ebpf.runtime.attrs import MapCreate

    return MapCreate(map_type=MapType.ARRAY, key_size=4, value_size=8, max_entries=1)


def test_handle_limit() -> None:
    with kernel(limits=Limits(handles=2)) as runtime:
        kept = [created(runtime, MapType.ARRAY, 4, 8, 1) for _ in range(2)]
        with pytest.raises(SystemCallError, match="EMFILE"):
            created(runtime, MapType.ARRAY, 4, 8, 1)
        assert ids(runtime, "MAP") == [1, 2]  # the one without a handle is gone
        for map_ in kept:
            map_.handle.close()


def test_memory_limit() -> None:
    with kernel(limits=Limits(memory=1 << 20)) as runtime:
        with pytest.raises(SystemCallError, match="ENOMEM"):
            created(runtime, MapType.ARRAY, 4, 8, 1 << 20)
        lazy = created(runtime, MapType.HASH, 4, 1 << 16, 1000, MapFlag.NO_PREALLOC)
        io = runtime.map_io(lazy)
        for number in range(15):
            io.update(number.to_bytes(4, "little"), bytes(1 << 16))
        with pytest.raises(SystemCallError, match="ENOMEM"):
            io.update(b"more", bytes(1 << 16))
        io.delete(bytes(4))
        io.update(bytes(4), bytes(1 << 16))
        lazy.handle.close()
        assert runtime.state.memory_used == 0


def test_memory_that_this_machine_has_not_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    with kernel() as runtime:
        monkeypatch.setattr("ebpf.vm.maps.create_map", refuse)
        with pytest.raises(SystemCallError, match="ENOMEM"):
            created(runtime, MapType.ARRAY, 4, 8, 1)
        assert runtime.state.memory_used == 0


def test_a_program_array_takes_programs_of_one_type() -> None:
    with kernel() as runtime:
        programs = created(runtime, MapType.PROG_ARRAY, 4, 4, 1)
        first = load(runtime, TAIL_CALL, ProgramType.XDP, programs=programs)
        with pytest.raises(SystemCallError, match="another type"):
            load(runtime, TAIL_CALL, ProgramType.SCHED_CLS, programs=programs)
        for facts in (first, load(runtime, TAIL_CALL, ProgramType.XDP, programs=programs), programs):
            facts.handle.close()


@pytest.mark.parametrize(
    ("type_", "flags", "seeded"),
    [
        (MapType.HASH, 0, True),
        (MapType.HASH, MapFlag.ZERO_SEED, False),
        (MapType.LRU_HASH, 0, True),
        (MapType.BLOOM_FILTER, 0, True),
        (MapType.BLOOM_FILTER, MapFlag.ZERO_SEED, False),
        (MapType.ARRAY, 0, False),
    ],
)
def test_maps_that_hash_have_a_seed(type_: MapType, flags: int, seeded: bool) -> None:
    with kernel(seed=1) as runtime:
        map_ = created(runtime, type_, 0 if type_ is MapType.BLOOM_FILTER else 4, 8, 1, flags)
        with map_.handle.borrow() as fd:
            assert bool(runtime.state.handles.map_file(fd)[1].map.seed) == seeded
        map_.handle.close()


def test_instruction_limit() -> None:
    with kernel(limits=Limits(insns=10)) as runtime, pytest.raises(SystemCallError, match="E2BIG"):
        load(runtime, "r0 = 0\n" * 10 + "exit")


def test_program_types_that_do_not_exist_here() -> None:
    with kernel() as runtime, pytest.raises(SystemCallError, match="EINVAL"):
        load(runtime, "r0 = 0\nexit", ProgramType.KPROBE)
