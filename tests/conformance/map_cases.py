"""The maps that the semantics tests make, and the calls that they make on them, at the level of bpf()."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from ebpf.abi.types import Cmd, MapType
from ebpf.errors import SystemCallError
from ebpf.runtime import Runtime
from ebpf.runtime.attrs import MapBatch, MapCreate, MapElem

T = MapType
LRU = frozenset({T.LRU_HASH, T.LRU_PERCPU_HASH})
PER_CPU = frozenset({T.PERCPU_HASH, T.PERCPU_ARRAY, T.LRU_PERCPU_HASH})
NESTED = frozenset({T.ARRAY_OF_MAPS, T.HASH_OF_MAPS})

BASE: dict[MapType, tuple[int, int, int, int]] = {
    T.HASH: (4, 8, 4, 0),
    T.ARRAY: (4, 8, 4, 0),
    T.PROG_ARRAY: (4, 4, 4, 0),
    T.PERF_EVENT_ARRAY: (4, 4, 4, 0),
    T.PERCPU_HASH: (4, 8, 4, 0),
    T.PERCPU_ARRAY: (4, 8, 4, 0),
    T.LRU_HASH: (4, 8, 4, 0),
    T.LRU_PERCPU_HASH: (4, 8, 4, 0),
    T.LPM_TRIE: (8, 8, 4, 1),
    T.ARRAY_OF_MAPS: (4, 4, 4, 0),
    T.HASH_OF_MAPS: (4, 4, 4, 0),
    T.DEVMAP: (4, 4, 4, 0),
    T.CPUMAP: (4, 4, 1, 0),  # an entry for a CPU that there is everywhere
    T.XSKMAP: (4, 4, 4, 0),
    T.DEVMAP_HASH: (4, 4, 4, 0),
    T.QUEUE: (0, 8, 4, 0),
    T.STACK: (0, 8, 4, 0),
    T.RINGBUF: (0, 0, 4096, 0),
    T.BLOOM_FILTER: (0, 8, 4, 0),
}
"""key_size, value_size, max_entries and map_flags of a map of each type."""


def outcome(call: Callable[[], object]) -> str:
    """Make a call; return "ok" or the errno's name."""
    try:
        call()
    except SystemCallError as error:
        return error.errno_name
    return "ok"


class Maps:
    """Makes maps and closes them at the end."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._stack = ExitStack()
        self.inner = self.create(T.ARRAY, key_size=4, value_size=4, max_entries=1)

    def __enter__(self) -> Maps:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def create(self, type_: MapType, **members: int | bytes) -> int:
        """Make a map; returns its number."""
        fd = self.runtime.bpf(Cmd.MAP_CREATE, MapCreate(map_type=type_, **members))  # type: ignore[arg-type]
        self._stack.callback(self.runtime.own(fd).close)
        return fd

    def base(self, type_: MapType, *, flags: int = 0, **changes: int | bytes) -> int:
        """Make the map of BASE with some members changed."""
        key_size, value_size, max_entries, map_flags = BASE[type_]
        members: dict[str, int | bytes] = {
            "key_size": key_size,
            "value_size": value_size,
            "max_entries": max_entries,
            "map_flags": map_flags ^ flags,
            "inner_map_fd": self.inner if type_ in NESTED else 0,
        }
        return self.create(type_, **{**members, **changes})

    def open(self, type_: MapType, *, flags: int = 0) -> OneMap:
        """Make the map of BASE and return what works on it."""
        return OneMap(self, type_, self.base(type_, flags=flags))


class OneMap:
    """Calls on one map, with small numbers as keys. Results are "ok" and the value, if any, or an errno's name."""

    def __init__(self, maps: Maps, type_: MapType, fd: int) -> None:
        self.runtime = maps.runtime
        self.type = type_
        self.fd = fd
        self.key_size, self.value_size, *_ = BASE[type_]
        copies = self.runtime.cpus if type_ in PER_CPU else 1
        self.size = max(self.value_size * copies, 8)
        self.value = {
            T.ARRAY_OF_MAPS: maps.inner.to_bytes(4, "little"),
            T.HASH_OF_MAPS: maps.inner.to_bytes(4, "little"),
            T.PROG_ARRAY: maps.inner.to_bytes(4, "little"),
            T.DEVMAP: (1).to_bytes(4, "little"),
            T.DEVMAP_HASH: (1).to_bytes(4, "little"),
            T.CPUMAP: (64).to_bytes(4, "little"),
        }.get(type_, bytes(range(1, 9)) * copies)[: self.value_size * copies]

    def key(self, number: int) -> bytes | None:
        if not self.key_size:
            return None
        raw = number.to_bytes(4, "little")
        return (32).to_bytes(4, "little") + raw if self.type == T.LPM_TRIE else raw

    def elem(self, cmd: Cmd, key: bytes | None, value: bytes | bytearray | None, flags: int) -> str:
        attr = MapElem(map_fd=self.fd, key=key, value=value, flags=flags)
        result = outcome(lambda: self.runtime.bpf(cmd, attr))
        shown = self.type not in NESTED and isinstance(value, bytearray) and result == "ok"
        return f"{result} {value[:8].hex()}" if shown and value is not None else result

    def lookup(self, number: int, flags: int = 0) -> str:
        return self.elem(Cmd.MAP_LOOKUP_ELEM, self.key(number), bytearray(self.size), flags)

    def update(self, number: int, flags: int = 0) -> str:
        return self.elem(Cmd.MAP_UPDATE_ELEM, self.key(number), self.value, flags)

    def delete(self, number: int, flags: int = 0) -> str:
        return self.elem(Cmd.MAP_DELETE_ELEM, self.key(number), None, flags)

    def take(self, number: int, flags: int = 0) -> str:
        return self.elem(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, self.key(number), bytearray(self.size), flags)

    def next_key(self, key: bytes | None) -> str:
        return self.elem(Cmd.MAP_GET_NEXT_KEY, key, bytearray(max(self.key_size, 8)), 0)

    def freeze(self) -> str:
        return outcome(lambda: self.runtime.bpf(Cmd.MAP_FREEZE, MapElem(map_fd=self.fd)))

    def walk(self) -> str:
        """Follow the keys to the end; hash tables have no order, so the keys are sorted."""
        found: list[str] = []
        result, key = "ok", None
        while len(found) < 20:
            out = bytearray(max(self.key_size, 4))
            attr = MapElem(map_fd=self.fd, key=key, next_key=out)
            result = outcome(lambda attr=attr: self.runtime.bpf(Cmd.MAP_GET_NEXT_KEY, attr))  # type: ignore[misc]
            if result != "ok":
                break
            key = bytes(out)
            found.append(key.hex())
        return " ".join([*sorted(found), result])

    def batch(self, cmd: Cmd, count: int, **members: object) -> str:
        """Make one batch call with room for eight elements; returns the outcome and the count that it left."""
        numbers = [self.key(number) or b"" for number in range(8)]
        reads = cmd in (Cmd.MAP_LOOKUP_BATCH, Cmd.MAP_LOOKUP_AND_DELETE_BATCH)
        given: dict[str, object] = {
            "out_batch": bytearray(16) if reads else None,
            "keys": bytearray(8 * self.key_size) if reads else b"".join(numbers),
            "values": bytearray(8 * self.size) if reads else self.value * 8,
        }
        attr = MapBatch(map_fd=self.fd, count=count, **{**given, **members})  # type: ignore[arg-type]
        result = outcome(lambda: self.runtime.bpf(cmd, attr))
        return f"{result} {attr.count}"

    def walk_batches(self, *, delete: bool = False) -> str:
        """Read everything in batches; how many there are depends on the hash, the elements don't."""
        cmd = Cmd.MAP_LOOKUP_AND_DELETE_BATCH if delete else Cmd.MAP_LOOKUP_BATCH
        found: list[bytes] = []
        position: bytearray | None = None
        result = "ok"
        for _ in range(20):
            keys, values, out = bytearray(8 * self.key_size), bytearray(8 * self.size), bytearray(16)
            attr = MapBatch(map_fd=self.fd, count=8, in_batch=position, out_batch=out, keys=keys, values=values)
            result = outcome(lambda attr=attr: self.runtime.bpf(cmd, attr))  # type: ignore[misc]
            if result not in ("ok", "ENOENT"):
                return result
            found += [bytes(keys[i * self.key_size : (i + 1) * self.key_size]) for i in range(attr.count)]
            if result == "ENOENT":
                break
            position = out
        return " ".join([*sorted(key.hex() for key in found), result])
