"""Error numbers of Linux: the few that code needs, and the table of all."""

from __future__ import annotations

import errno as host
import os
import sys

import pytest

from ebpf.abi import linux
from ebpf.abi.linux.errtexts import NAMES, TEXTS

NUMBERS = {name: number for name, number in vars(linux).items() if name.startswith("E")}
INTERNAL = {linux.ENOTSUPP}
"""What a C library does not know."""


@pytest.mark.parametrize("name", NUMBERS)
def test_the_table_has_the_same_numbers(name: str) -> None:
    assert NAMES[NUMBERS[name]] == name


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count differently")
@pytest.mark.parametrize("number", sorted(NAMES.keys() - INTERNAL))
def test_the_table_is_this_systems(number: int) -> None:
    assert getattr(host, NAMES[number]) == number
    assert TEXTS[number].lower() == os.strerror(number).lower()
