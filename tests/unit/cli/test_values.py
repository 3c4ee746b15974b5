"""How decoded values are shown."""

from __future__ import annotations

import json

from ebpf.cli.values import brief, plain
from ebpf.objects.percpu import PerCpu


def test_numbers_of_many_cpus_are_no_bytes() -> None:
    counts = PerCpu([1, 0, 0, 0, 0, 0, 0, 7])
    assert brief(counts) == "[1 0 0 0 0 0 0 7]"
    assert brief(PerCpu([(1, 2, 3, 4, 255)] * 2)) == "[01020304ff 01020304ff]"
    assert json.dumps(plain(counts)) == "[1, 0, 0, 0, 0, 0, 0, 7]"


def test_bytes_are_hex() -> None:
    assert (brief((222, 173, 190, 239, 0)), brief(b"\xff"), brief((1, 2))) == ("deadbeef00", "ff", "[1 2]")
