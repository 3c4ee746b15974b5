"""Every type of map answers every call with the same errno and value on every runtime.

What is expected was measured on Linux 6.18 and stands in map_results.py and map_creation.py, so that it holds where
there is no kernel to ask, too.
"""

from __future__ import annotations

import pytest

from ebpf.abi.types import Cmd, MapFlag, MapType
from ebpf.runtime import Runtime
from ebpf.runtime.attrs import MapElem
from tests.conformance.map_cases import BASE, LRU, Maps, OneMap, outcome
from tests.conformance.map_creation import CREATION
from tests.conformance.map_results import RESULTS
from tests.conformance.map_steps import SECTIONS

T = MapType
OPEN_FLAGS = {"read only": MapFlag.RDONLY, "write only": MapFlag.WRONLY}


def expected(section: str, type_: MapType) -> dict[str, str]:
    """Return step → result for one type."""
    return {
        step: result
        for step, groups in RESULTS[section].items()
        for result, names in groups.items()
        if type_.name in names.split()
    }


def steps_for(section: str, map_: OneMap) -> dict[str, str]:
    """Do the steps and return their results; which elements an LRU map has dropped is its own business."""
    return {name: step(map_) for name, step in SECTIONS[section] if not (map_.type in LRU and name.endswith("of full"))}


@pytest.mark.parametrize("type_", BASE, ids=lambda t: t.name)
@pytest.mark.parametrize("section", SECTIONS)
def test_steps(runtime: Runtime, section: str, type_: MapType) -> None:
    with Maps(runtime) as maps:
        flags = int(OPEN_FLAGS.get(section, 0))
        refused = outcome(lambda: maps.base(type_, flags=flags))
        assert refused == ("EINVAL" if flags and type_ in (T.CPUMAP, T.RINGBUF) else "ok")
        if refused == "ok":
            assert steps_for(section, maps.open(type_, flags=flags)) == expected(section, type_)


@pytest.mark.parametrize(("type_", "member"), CREATION, ids=lambda p: getattr(p, "name", p))
def test_creation(runtime: Runtime, type_: MapType, member: str) -> None:
    wanted = CREATION[type_, member]
    found = {}
    with Maps(runtime) as maps:
        for value in wanted:
            changes = {"flags" if member == "map_flags" else member: value}
            if member == "value_size" and value > 100_000 and type_ != T.RINGBUF:
                changes["max_entries"] = 1
            found[value] = outcome(lambda changes=changes: maps.base(type_, **changes))  # type: ignore[misc]
    assert found == wanted


@pytest.mark.parametrize(
    ("name", "wanted"), [(b"a.b_C9", "ok"), (b"a-b", "EINVAL"), (b"a b", "EINVAL"), (b"fifteen_letters", "ok")]
)
def test_name(runtime: Runtime, name: bytes, wanted: str) -> None:
    with Maps(runtime) as maps:
        assert outcome(lambda: maps.base(T.HASH, map_name=name)) == wanted


@pytest.mark.parametrize("type_", sorted(LRU), ids=lambda t: t.name)
def test_lru_is_never_full_and_keeps_the_newest(runtime: Runtime, type_: MapType) -> None:
    with Maps(runtime) as maps:
        map_ = maps.open(type_)
        for number in range(50):
            assert map_.update(number) == "ok"
            assert map_.lookup(number).startswith("ok")
        assert len(map_.walk().split()) - 1 <= BASE[type_][2]


def test_lru_without_common_list_rounds_up_to_equal_parts(runtime: Runtime) -> None:
    from ebpf.runtime.info import map_info

    with Maps(runtime) as maps:
        fd = maps.base(T.LRU_HASH, flags=MapFlag.NO_COMMON_LRU, max_entries=5)
        borrowed = runtime.bpf(Cmd.MAP_GET_FD_BY_ID, _id_of(runtime, fd))
        handle = runtime.own(borrowed)
        rounded = map_info(runtime, handle).max_entries
        handle.close()
    assert rounded == -(-5 // runtime.cpus) * runtime.cpus


def _id_of(runtime: Runtime, fd: int):  # type: ignore[no-untyped-def]  # the record that GET_FD_BY_ID takes
    import struct

    from ebpf.runtime.attrs import GetId, ObjInfo

    info = bytearray(80)
    runtime.bpf(Cmd.OBJ_GET_INFO_BY_FD, ObjInfo(bpf_fd=fd, info=info, info_len=80))
    return GetId(map_id=struct.unpack_from("=I", info, 4)[0])


INNER = {
    # type: what happens with an inner map that differs in (max_entries, value_size, opened read only)
    T.HASH: ("ok", "EINVAL", "ok"),
    T.ARRAY: ("EINVAL", "EINVAL", "ok"),
    T.PERF_EVENT_ARRAY: ("ok", None, "ok"),
    T.PERCPU_HASH: ("ok", "EINVAL", "ok"),
    T.PERCPU_ARRAY: ("ok", "EINVAL", "ok"),
    T.LRU_HASH: ("ok", "EINVAL", "ok"),
    T.LRU_PERCPU_HASH: ("ok", "EINVAL", "ok"),
    T.LPM_TRIE: ("ok", "EINVAL", "ok"),
    T.DEVMAP: ("ok", "EINVAL", "ok"),
    T.CPUMAP: ("ok", "EINVAL", None),
    T.XSKMAP: ("EINVAL", None, "ok"),
    T.DEVMAP_HASH: ("ok", "EINVAL", "ok"),
    T.QUEUE: ("ok", "EINVAL", "ok"),
    T.STACK: ("ok", "EINVAL", "ok"),
    T.RINGBUF: ("ok", None, None),
    T.BLOOM_FILTER: ("ok", "EINVAL", "ok"),
}


def _put(runtime: Runtime, outer: int, inner: int, *, key: int = 0, flags: int = 0) -> str:
    attr = MapElem(map_fd=outer, key=key.to_bytes(4, "little"), value=inner.to_bytes(4, "little"), flags=flags)
    return outcome(lambda: runtime.bpf(Cmd.MAP_UPDATE_ELEM, attr))


@pytest.mark.parametrize("type_", INNER, ids=lambda t: t.name)
def test_inner_map_must_look_like_the_template(runtime: Runtime, type_: MapType) -> None:
    _, value_size, max_entries, _ = BASE[type_]
    changes: list[dict[str, int]] = [
        {"max_entries": max_entries * 2},
        {"value_size": value_size * 2},
        {"flags": int(MapFlag.RDONLY)},
    ]
    with Maps(runtime) as maps:
        template = maps.base(type_)
        outer = maps.create(T.ARRAY_OF_MAPS, key_size=4, value_size=4, max_entries=2, inner_map_fd=template)
        assert _put(runtime, outer, template) == "ok"
        for change, wanted in zip(changes, INNER[type_], strict=True):
            if wanted is not None:
                assert _put(runtime, outer, maps.base(type_, **change)) == wanted, change


def test_nesting_rules(runtime: Runtime) -> None:
    with Maps(runtime) as maps:
        outer = maps.base(T.ARRAY_OF_MAPS)
        assert outcome(lambda: maps.base(T.ARRAY_OF_MAPS, inner_map_fd=outer)) == "EINVAL"
        assert outcome(lambda: maps.base(T.HASH_OF_MAPS, inner_map_fd=outer)) == "EINVAL"
        programs = maps.base(T.PROG_ARRAY)
        assert outcome(lambda: maps.base(T.ARRAY_OF_MAPS, inner_map_fd=programs)) == "ENOTSUPP"
        assert outcome(lambda: maps.base(T.HASH_OF_MAPS, inner_map_fd=1 << 20)) == "EBADF"
        assert _put(runtime, outer, 1 << 20) == "EBADF"
        assert _put(runtime, outer, outer) == "EINVAL"
        assert _put(runtime, outer, 1 << 20, key=9) == "E2BIG"
        hash_ = maps.base(T.HASH_OF_MAPS)
        assert _put(runtime, hash_, 1 << 20, flags=9) == "EBADF"
        assert _put(runtime, hash_, maps.inner, flags=9) == "EINVAL"
        assert _put(runtime, hash_, maps.inner, flags=2) == "ENOENT"
        assert _put(runtime, hash_, maps.inner, flags=4) == "EINVAL"


def test_inner_array_of_another_size_with_the_flag(runtime: Runtime) -> None:
    flag = int(MapFlag.INNER_MAP)
    with Maps(runtime) as maps:
        template = maps.base(T.ARRAY, flags=flag)
        outer = maps.create(T.ARRAY_OF_MAPS, key_size=4, value_size=4, max_entries=2, inner_map_fd=template)
        assert _put(runtime, outer, maps.base(T.ARRAY, flags=flag, max_entries=77)) == "ok"
        assert _put(runtime, outer, maps.base(T.ARRAY, max_entries=77)) == "EINVAL"


def lpm(runtime: Runtime, fd: int, cmd: Cmd, length: int, address: str, value: int | None = None) -> str:
    key = length.to_bytes(4, "little") + bytes(int(part) for part in address.split("."))
    data = None if cmd == Cmd.MAP_DELETE_ELEM else bytearray((value or 0).to_bytes(4, "little"))
    result = outcome(lambda: runtime.bpf(cmd, MapElem(map_fd=fd, key=key, value=data)))
    return f"{result} {data[0]}" if result == "ok" and cmd == Cmd.MAP_LOOKUP_ELEM and data else result


def test_trie(runtime: Runtime) -> None:
    with Maps(runtime) as maps:
        fd = maps.create(T.LPM_TRIE, key_size=8, value_size=4, max_entries=6, map_flags=MapFlag.NO_PREALLOC)
        put, get, drop = Cmd.MAP_UPDATE_ELEM, Cmd.MAP_LOOKUP_ELEM, Cmd.MAP_DELETE_ELEM
        prefixes = [
            (0, "0.0.0.0", 1),
            (8, "10.0.0.0", 2),
            (16, "10.1.0.0", 3),
            (32, "10.1.2.3", 4),
            (9, "10.128.0.0", 5),
        ]
        for length, address, value in prefixes:
            assert lpm(runtime, fd, put, length, address, value) == "ok"
        answers = {"10.1.2.3": 4, "10.1.2.4": 3, "10.2.0.1": 2, "10.200.1.1": 5, "11.1.1.1": 1}
        assert {a: lpm(runtime, fd, get, 32, a) for a in answers} == {a: f"ok {v}" for a, v in answers.items()}
        assert lpm(runtime, fd, get, 12, "10.1.2.3") == "ok 2"  # never longer than the key asks for
        assert lpm(runtime, fd, put, 16, "10.1.99.99", 6) == "ok"  # the same prefix
        assert lpm(runtime, fd, get, 32, "10.1.2.4") == "ok 6"
        assert lpm(runtime, fd, put, 33, "10.1.2.3", 1) == "EINVAL"
        assert lpm(runtime, fd, get, 33, "10.1.2.3") == "ENOENT"
        assert lpm(runtime, fd, drop, 33, "10.1.2.3") == "EINVAL"
        # Both subtrees of a prefix come before it.
        order = ["200000000a010203", "100000000a016363", "090000000a800000", "080000000a000000", "0" * 16]
        walked, key = [], None
        for _ in order:
            out = bytearray(8)
            runtime.bpf(Cmd.MAP_GET_NEXT_KEY, MapElem(map_fd=fd, key=key, next_key=out))
            key = bytes(out)
            walked.append(key.hex())
        assert walked == order
        assert lpm(runtime, fd, drop, 16, "10.1.0.0") == "ok"
        assert lpm(runtime, fd, drop, 16, "10.1.0.0") == "ENOENT"
        assert lpm(runtime, fd, get, 32, "10.1.2.4") == "ok 2"


@pytest.mark.parametrize(("type_", "order"), [(T.QUEUE, [3, 4, 5, 6]), (T.STACK, [6, 5, 4, 3])], ids=["queue", "stack"])
def test_push_with_exist_drops_the_oldest(runtime: Runtime, type_: MapType, order: list[int]) -> None:
    with Maps(runtime) as maps:
        fd = maps.base(type_)
        for number in range(7):
            runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, value=bytes([number] * 8), flags=2))
        taken = []
        for _ in order:
            value = bytearray(8)
            runtime.bpf(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, MapElem(map_fd=fd, value=value))
            taken.append(value[0])
        assert taken == order


@pytest.mark.parametrize("hashes", [0, 1, 3, 15])
def test_bloom_filter(runtime: Runtime, hashes: int) -> None:
    entries = 500
    with Maps(runtime) as maps:
        fd = maps.base(T.BLOOM_FILTER, max_entries=entries, map_extra=hashes, value_size=4)

        def present(number: int) -> bool:
            attr = MapElem(map_fd=fd, value=bytearray(number.to_bytes(4, "little")))
            return outcome(lambda: runtime.bpf(Cmd.MAP_LOOKUP_ELEM, attr)) == "ok"

        for number in range(entries):
            runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, value=number.to_bytes(4, "little")))
        assert all(present(number) for number in range(entries))
        wrong = sum(present(number) for number in range(entries, 5 * entries))
        # 1 hash of 512 bits × 7/5 rounded up to 1024: about 39 %; 3 and more: below 10 %.
        assert wrong / (4 * entries) < (0.6 if hashes == 1 else 0.15)


def test_cpumap_limits(runtime: Runtime) -> None:
    def put(fd: int, cpu: int, queue: int, flags: int = 0) -> str:
        attr = MapElem(map_fd=fd, key=cpu.to_bytes(4, "little"), value=queue.to_bytes(4, "little"), flags=flags)
        return outcome(lambda: runtime.bpf(Cmd.MAP_UPDATE_ELEM, attr))

    with Maps(runtime) as maps:
        fd = maps.base(T.CPUMAP, max_entries=64)
        assert put(fd, 0, 16384) == "ok"
        assert put(fd, 0, 16385) == "EOVERFLOW"
        assert put(fd, 63, 64) == "ENODEV"
        assert put(fd, 64, 64) == "E2BIG"
        assert put(fd, 0, 64, 1) == "EEXIST"
        assert put(fd, 0, 0) == "ok"


def test_devmap_targets(runtime: Runtime) -> None:
    def put(fd: int, value: bytes) -> str:
        return outcome(lambda: runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fd, key=bytes(4), value=value)))

    one, none = (1).to_bytes(4, "little"), bytes(4)
    with Maps(runtime) as maps:
        plain, with_program = maps.base(T.DEVMAP), maps.base(T.DEVMAP, value_size=8)
        assert [put(plain, one), put(plain, none)] == ["ok", "ok"]
        gone = MapElem(map_fd=plain, key=bytes(4), value=bytearray(4))
        assert outcome(lambda: runtime.bpf(Cmd.MAP_LOOKUP_ELEM, gone)) == "ENOENT"
        assert put(with_program, one + none) == "ok"
        assert put(with_program, one + b"\xff" * 4) == "ok"
        assert put(with_program, one + (1 << 20).to_bytes(4, "little")) == "EINVAL"
        assert put(with_program, none + one) == "EINVAL"
        assert put(maps.base(T.DEVMAP_HASH), none) == "EINVAL"
