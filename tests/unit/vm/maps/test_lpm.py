"""The trie against a list of networks."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpf.abi.linux import EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC
from ebpf.abi.types import MapFlag, MapType
from ebpf.vm.maps import LpmTrieMap, Map, MapShape, create_map

pytestmark = pytest.mark.usefixtures("storage")

networks = st.builds(
    lambda address, length: IPv4Network((address, length), strict=False),
    # Few bits vary, so that prefixes contain each other.
    st.integers(0, 15).map(lambda n: n << 28 | n),
    st.integers(0, 32),
)


def key(network: IPv4Network) -> bytes:
    return network.prefixlen.to_bytes(4, "little") + network.network_address.packed


def make(entries: int = 100, *, key_size: int = 8) -> Map:
    return create_map(MapShape(MapType.LPM_TRIE, key_size, 4, entries, MapFlag.NO_PREALLOC))


@given(st.lists(st.tuples(st.booleans(), networks), max_size=40), st.lists(st.integers(0, 15), max_size=10))
def test_like_a_list_of_networks(operations: list[tuple[bool, IPv4Network]], probes: list[int]) -> None:
    map_, model = make(), dict[IPv4Network, bytes]()
    for step, (put, network) in enumerate(operations):
        if put:
            model[network] = step.to_bytes(4, "little")
            assert map_.update(key(network), model[network]) == 0
        else:
            assert map_.delete(key(network)) == (0 if model.pop(network, None) is not None else -ENOENT)
    for probe in probes:
        address = IPv4Address(probe << 28 | probe)
        covering = [network for network in model if address in network]
        wanted = model[max(covering, key=lambda n: n.prefixlen)] if covering else None
        found = map_.lookup((32).to_bytes(4, "little") + address.packed)
        assert (None if found is None else found.tobytes()) == wanted
    walked, last = [], None
    while not isinstance(last := map_.next_key(last), int):
        walked.append(last)
    assert sorted(walked) == sorted(key(network) for network in model)
    lengths = [int.from_bytes(k[:4], "little") for k in walked]
    assert all(0 not in lengths[:-1] for _ in walked)  # the root comes last


wide = st.builds(
    lambda length, bits: length.to_bytes(4, "little") + bits.to_bytes(7, "big"),
    st.sampled_from([0, 1, 2, 7, 8, 9, 31, 32, 33, 40, 55, 56, 57]),
    st.integers(0, 3).flatmap(lambda high: st.integers(0, 3).map(lambda low: high << 54 | low)),
)
steps = st.lists(st.tuples(st.sampled_from(["put", "new", "old", "drop", "find"]), wide), max_size=50)


@given(steps, st.integers(1, 8))
def test_like_the_trie_in_python_storage(operations: list[tuple[str, bytes]], entries: int) -> None:
    shape = MapShape(MapType.LPM_TRIE, 11, 4, entries, MapFlag.NO_PREALLOC)
    map_, model = create_map(shape), LpmTrieMap(shape)
    flags = {"put": 0, "new": 1, "old": 2}
    for step, (what, name) in enumerate(operations):
        value = step.to_bytes(4, "little")
        if what in flags:
            assert map_.update(name, value, flags[what]) == model.update(name, value, flags[what])
        elif what == "drop":
            assert map_.delete(name) == model.delete(name)
        else:
            assert map_.read(name) == model.read(name)
        assert map_.next_key(name) == model.next_key(name)
    assert [(k, bytes(v)) for k, _, v in map_.elements()] == [(k, bytes(v)) for k, _, v in model.elements()]
    map_.clear()
    assert map_.next_key(None) == -ENOENT


def test_errors() -> None:
    map_ = make(2)
    one, two, three, wrong = (bytes([length, 0, 0, 0, 128, 0, 0, 0]) for length in (1, 2, 3, 33))
    assert [map_.update(one, bytes(4)), map_.update(two, bytes(4)), map_.update(three, bytes(4))] == [0, 0, -ENOSPC]
    assert map_.update(one, bytes(4), 1) == -EEXIST
    assert map_.update(three, bytes(4), 2) == -ENOENT
    assert map_.update(one, bytes(4), 3) == map_.update(wrong, bytes(4)) == map_.delete(wrong) == -EINVAL
    assert map_.lookup(wrong) is None


def test_memory() -> None:
    map_ = make()
    assert isinstance(map_, LpmTrieMap)
    account = [2 * map_.element_size]

    def charge(size: int) -> bool:
        if account[0] < size:
            return False
        account[0] -= size
        return True

    map_.charge = charge
    keys = [bytes([8, 0, 0, 0, number, 0, 0, 0]) for number in range(3)]
    assert [map_.update(name, bytes(4)) for name in keys] == [0, 0, -ENOMEM]
    assert map_.update(keys[0], bytes(4)) == 0
    map_.clear()
    assert account == [2 * map_.element_size]
