"""Waits that end: a test that would hang fails instead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

SECONDS = 20.0


def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.001)


def begun(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Begin a call in a thread, which keeps no process alive; its result comes into the list."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    return thread, results


def ended(call: Callable[[], Any]) -> Any:
    """Return what a call returns, which has to end."""
    thread, results = begun(call)
    thread.join(SECONDS)
    assert not thread.is_alive(), "the call hangs"
    return results[0]
