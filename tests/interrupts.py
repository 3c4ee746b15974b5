"""Ctrl-C at a place of the test's choice."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import ebpf

PACKAGE = str(Path(ebpf.__file__).parent)


class _Stop(BaseException):
    """What a signal handler raises, as Ctrl-C does."""


def interrupted(call: Callable[[], Any], place: int, *others: str) -> list[Any]:
    """Make a call, and raise at place number `place` of those where CPython handles signals; return its result, if any.

    They are where a function of the package begins, and where one in C returns to it; `others` are more files or
    directories whose functions count.
    """
    count = 0

    def raise_there(frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith((PACKAGE, *others)):
            count += frame.f_code.co_name != "<genexpr>"  # what ends a generator that is dropped is only printed
            if count == place:
                raise _Stop

    before = sys.getprofile()
    sys.setprofile(raise_there)
    try:
        return [call()]
    except _Stop:
        return []
    finally:
        sys.setprofile(before)
