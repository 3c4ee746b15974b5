"""What the embedded kernel's tests share."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import ebpf.vm.helpers.dispatch


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often Python was asked for each helper."""
    counts: Counter[int] = Counter()
    call = ebpf.vm.helpers.dispatch.call_helper

    def counted(run: Any, number: int, *arguments: Any) -> int:
        counts[number] += 1
        return call(run, number, *arguments)

    monkeypatch.setattr(ebpf.vm.helpers.dispatch, "call_helper", counted)
    return counts


@pytest.fixture
def without_collector() -> Iterator[None]:
    """What is in a cycle stays."""
    gc.disable()
    yield
    gc.enable()
