"""Perf rings: records, wrapping, lost counts, and who may write where."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from ebpf.abi.linux import E2BIG, ENOENT, ENOSPC, EOPNOTSUPP
from ebpf.abi.types import MapType
from ebpf.vm.maps import MapShape, PerfEventArrayMap, PerfRing

CURRENT = 0xFFFFFFFF


def consume(ring: PerfRing) -> list[tuple[int, bytes]]:
    found = []
    while ring.consumer() != ring.producer():
        at = ring.consumer() % ring.size
        whole = ring.data[at:].tobytes() + ring.data[:at].tobytes()
        kind, _, size = struct.unpack_from("<IHH", whole)
        found.append((kind, whole[8:size]))
        ring.set_consumer(ring.consumer() + size)
    return found


def test_sample() -> None:
    ring = PerfRing(4096, cpu=0, identity=7)
    assert ring.output(b"hello") == 0
    # The size counts the padding that makes the record a multiple of 8 bytes.
    assert consume(ring) == [(9, struct.pack("<I", 12) + b"hello" + bytes(7))]
    assert ring.output(bytes(1 << 16)) == -E2BIG


def test_lost_records_are_told_with_the_next_one_that_fits() -> None:
    ring = PerfRing(4096, cpu=0, identity=7)
    assert [ring.output(bytes(1996)) for _ in range(4)] == [0, 0, -ENOSPC, -ENOSPC]
    consume(ring)
    assert ring.output(b"next") == 0
    kinds = consume(ring)
    assert kinds[0] == (2, struct.pack("<QQ", 7, 2))
    assert kinds[1][0] == 9


@given(st.lists(st.binary(max_size=700), max_size=60))
def test_samples_wrap(samples: list[bytes]) -> None:
    ring, seen = PerfRing(4096, cpu=0, identity=0), list[tuple[int, bytes]]()
    for sample in samples:
        if ring.producer() - ring.consumer() > 3000:
            seen += consume(ring)
        assert ring.output(sample) == 0
    seen += consume(ring)
    assert [kind for kind, _ in seen] == [9] * len(samples)
    assert [body[4 : 4 + len(sample)] for (_, body), sample in zip(seen, samples, strict=True)] == samples


def test_slots() -> None:
    map_ = PerfEventArrayMap(MapShape(MapType.PERF_EVENT_ARRAY, 4, 4, 2), cpus=2)
    map_.place(0, PerfRing(4096, cpu=0, identity=0))
    assert map_.output(0, CURRENT, b"x") == 0
    assert map_.output(0, 0, b"x") == 0
    assert map_.output(1, 0, b"x") == -EOPNOTSUPP
    assert map_.output(1, CURRENT, b"x") == -ENOENT
    assert map_.output(0, 2, b"x") == -E2BIG
    assert map_.delete(bytes(4)) == 0
    assert map_.output(0, 0, b"x") == -ENOENT
