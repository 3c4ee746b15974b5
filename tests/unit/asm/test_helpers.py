"""Names and numbers of helpers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebpf.abi.helpers import Helper
from ebpf.abi.platform import Platform

HEADER = Path("/usr/include/linux/bpf.h")


def _of(platform: Platform) -> list[Helper]:
    return [helper for helper in Helper.__members__.values() if helper.platform is platform and helper.number]


def test_every_number_has_a_name() -> None:
    assert [helper.number for helper in _of(Platform.LINUX)] == list(range(1, 212))
    assert [helper.number for helper in _of(Platform.WINDOWS)] == list(range(1, 36))


@pytest.mark.parametrize(
    ("name", "linux", "windows"),
    [
        ("map_lookup_elem", 1, 1),
        ("tail_call", 12, 5),
        ("get_current_pid_tgid", 14, 19),
        ("csum_diff", 28, 10),
        ("redirect_map", 51, 35),
        ("ringbuf_output", 130, 11),
        ("for_each_map_elem", 164, None),
        ("loop", 181, None),
        ("cgrp_storage_delete", 211, None),
        ("memcpy_s", None, 22),
    ],
)
def test_find(name: str, linux: int | None, windows: int | None) -> None:
    for platform, number in ((Platform.LINUX, linux), (Platform.WINDOWS, windows)):
        for spelling in (name, f"bpf_{name}"):
            helper = Helper.find(spelling, platform=platform)
            assert (helper and helper.number) == number
            if helper is not None:
                assert helper.platform is platform
                assert helper.function == f"bpf_{name}"


def test_known() -> None:
    assert Helper.known(1) is Helper.MAP_LOOKUP_ELEM
    assert Helper.known(35, platform=Platform.WINDOWS) is Helper.WINDOWS_REDIRECT_MAP
    for number in (-1, 0, 212, 1 << 40):
        assert Helper.known(number) is None


def test_platforms_do_not_mix() -> None:
    assert len({Helper.WINDOWS_MAP_LOOKUP_ELEM, Helper.MAP_LOOKUP_ELEM}) == 2
    assert Helper.for_platform(Platform.WINDOWS, 1) is Helper.WINDOWS_MAP_LOOKUP_ELEM
    assert Helper.find("unspec") is None


def test_same_as_the_header() -> None:
    if not HEADER.exists():
        pytest.skip(f"{HEADER} (package linux-libc-dev) is not installed")
    text = HEADER.read_text()
    numbered = re.findall(r"FN\((\w+), (\d+), ##ctx\)", text)
    if not numbered:  # before 6.1 the list had no numbers
        table = text.split("#define __BPF_FUNC_MAPPER(FN)")[1].split("\n\n")[0]
        numbered = [(name, str(number)) for number, name in enumerate(re.findall(r"FN\((\w+)\)", table))]
    assert len(numbered) > 150
    for name, number in numbered:
        if name != "unspec":
            assert Helper.find(name) == int(number)
