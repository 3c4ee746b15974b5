"""Work in several threads at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable


def in_threads(works: Iterable[Callable[[], object]], *, seconds: float = 60) -> None:
    """Do each work in a thread of its own; they take turns as often as they can. All have to end in so many seconds."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds)
    finally:
        sys.setswitchinterval(interval)
    assert not any(thread.is_alive() for thread in threads)
