"""Offsets between which packets lie: n + 1 of them for n packets, each of which ends where the next one begins."""

from __future__ import annotations

import sys
from array import array
from operator import sub
from typing import Any

_WORDS = "QqLlN"
"""Formats of integers that are 8 bytes wide, where their size says so."""


def spans(offsets: Any) -> tuple[int, int, array[int]]:
    """Return the first and the last offset, and how much lies between each two of them.

    Raises ValueError where they fall, are negative, or are none at all.
    """
    numpy = sys.modules.get("numpy")  # who passes its arrays has imported it
    if numpy is not None and isinstance(offsets, numpy.ndarray):
        return _spans_of_numpy(offsets)
    edges = words(offsets)
    if not edges:
        raise ValueError("offsets are one more than there are packets, got none")
    lengths = list(map(sub, edges[1:], edges))
    if min(lengths, default=0) < 0:
        raise _falling()
    return edges[0], edges[-1], array("Q", lengths)


def _spans_of_numpy(offsets: Any) -> tuple[int, int, array[int]]:
    """Do the same without an object for each offset."""
    if offsets.dtype.kind not in "iu" or not len(offsets) or offsets[0] < 0:
        return spans(offsets.tolist())
    if (offsets[1:] < offsets[:-1]).any():
        raise _falling()
    lengths = (offsets[1:] - offsets[:-1]).astype("u8")
    return int(offsets[0]), int(offsets[-1]), array("Q", lengths.tobytes())


def words(numbers: Any) -> array[int]:
    """Copy integers, of whatever size, as unsigned ones of 8 bytes.

    Raises ValueError for a negative one, TypeError for what is no integer.
    """
    if not isinstance(numbers, (list, tuple, range)):
        view = memoryview(numbers)
        if view.format in _WORDS and view.itemsize == 8 and view.c_contiguous:
            return array("Q", view.tobytes())  # a negative one is far out of the data
        numbers = view.tolist()
    try:
        return array("Q", numbers)
    except OverflowError:
        raise ValueError("offsets and lengths are not negative") from None
    except TypeError:
        found = ", ".join(sorted({type(number).__name__ for number in numbers} - {"int"}))
        raise TypeError(f"offsets are integers, got {found}") from None


def _falling() -> ValueError:
    return ValueError("offsets have to rise: packet i lies between offsets i and i + 1")
