"""The table of faults that `make faults` seeds names text that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

import ebpf
from tests.faults.table import FAULTS, Fault

SOURCE = Path(ebpf.__file__).parent


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_what_is_replaced_stands_there_once(fault: Fault) -> None:
    assert (SOURCE / fault.file).read_text(encoding="utf-8").count(fault.old) == 1
