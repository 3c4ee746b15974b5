"""Direct element access and access over bpf() give the same results and the same errors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpf.abi.types import MapFlag, MapType
from ebpf.errors import SystemCallError
from ebpf.runtime.base import MapIO
from ebpf.runtime.defaults import BpfMapIO
from tests.unit.embedded_programs import created, kernel

SHAPES = {
    MapType.HASH: (4, 8, 4, 0),
    MapType.ARRAY: (4, 8, 4, 0),
    MapType.PERCPU_HASH: (4, 5, 4, 0),
    MapType.PERCPU_ARRAY: (4, 5, 4, 0),
    MapType.LRU_HASH: (4, 8, 4, 0),
    MapType.LPM_TRIE: (8, 8, 4, MapFlag.NO_PREALLOC),
    MapType.QUEUE: (0, 8, 4, 0),
    MapType.STACK: (0, 8, 4, 0),
    MapType.DEVMAP: (4, 4, 4, 0),
}
OPERATIONS = (
    "lookup",
    "take",
    "update",
    "delete",
    "next",
    "first",
    "lookup_many",
    "update_many",
    "delete_many",
    "walk",
)


def perform(io: MapIO, operation: str, key: bytes, value: bytes, flags: int) -> object:
    actions: dict[str, Callable[[], object]] = {
        "lookup": lambda: io.lookup(key, flags=flags),
        "take": lambda: io.lookup_and_delete(key, flags=flags),
        "update": lambda: io.update(key, value, flags=flags),
        "delete": lambda: io.delete(key),
        "next": lambda: io.next_key(key),
        "first": lambda: io.next_key(None),
        "lookup_many": lambda: io.lookup_many([key, key[:-1] + b"\2" if key else key, key]),
        "update_many": lambda: io.update_many([(key, value), (key, value)], flags=flags),
        "delete_many": lambda: io.delete_many([key, key]),
        "walk": lambda: list(io.batches()),
    }
    try:
        return actions[operation]()
    except SystemCallError as error:
        return type(error), error.cmd, error.errno, str(error)


@pytest.mark.parametrize("type_", SHAPES, ids=lambda t: t.name)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_same(type_: MapType, data: st.DataObject) -> None:
    key_size, value_size, entries, flags = SHAPES[type_]
    step = st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 5), st.sampled_from([0, 0, 0, 1, 2, 4, 8]))
    with kernel(cpus=2) as runtime, ExitStack() as stack:
        twins = [created(runtime, type_, key_size, value_size, entries, flags) for _ in range(2)]
        for twin in twins:
            stack.callback(twin.handle.close)
        direct, plain = runtime.map_io(twins[0]), BpfMapIO(runtime, twins[1])
        size = -(-value_size // 8) * 16 if "PERCPU" in type_.name else value_size
        for operation, number, flag in data.draw(st.lists(step, max_size=25)):
            key = ((16).to_bytes(4, "little") if key_size == 8 else b"") + number.to_bytes(4, "little")
            arguments = (operation, key if key_size else b"", bytes([number + 1] * size), flag)
            assert _anonymous(perform(direct, *arguments)) == _anonymous(perform(plain, *arguments))


def _anonymous(result: object) -> str:
    # The twins differ in their ids.
    return str(result).replace("id=2", "id=1")
