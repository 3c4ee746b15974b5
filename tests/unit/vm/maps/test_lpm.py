"""The trie against a list of networks."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from ebpf.abi.linux.errno import ENOENT
from ebpf.abi.types import MapType
from ebpf.vm.maps import LpmTrieMap, MapShape

networks = st.builds(
    lambda address, length: IPv4Network((address, length), strict=False),
    # Few bits vary, so that prefixes contain each other.
    st.integers(0, 15).map(lambda n: n << 28 | n),
    st.integers(0, 32),
)


def key(network: IPv4Network) -> bytes:
    return network.prefixlen.to_bytes(4, "little") + network.network_address.packed


@given(st.lists(st.tuples(st.booleans(), networks), max_size=40), st.lists(st.integers(0, 15), max_size=10))
def test_like_a_list_of_networks(operations: list[tuple[bool, IPv4Network]], probes: list[int]) -> None:
    map_, model = LpmTrieMap(MapShape(MapType.LPM_TRIE, 8, 4, 100, 1)), dict[IPv4Network, bytes]()
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
