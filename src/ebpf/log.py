"""The log of this library."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger


@cache
def logger() -> Logger:
    """Return the logger "ebpf". Importing `logging` takes as long as loading a program and running it."""
    import logging

    return logging.getLogger("ebpf")
