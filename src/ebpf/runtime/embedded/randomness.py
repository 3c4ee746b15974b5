"""Pseudo-random numbers of a kernel: one sequence, whoever takes the next one, Python or native code.

Native code takes numbers that were drawn ahead (struct random in support/machine.h); once it has asked where they are,
Python takes the same ones.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

from ebpf.lean import Lock
from ebpf.vm.native import NUMBERS_AHEAD, RANDOM_WORDS

if TYPE_CHECKING:
    from random import Random

    from ebpf.codegen.image import Image

_DRAWN, _NUMBERS = 1, 2
"""Words of struct random."""
_NONE = -1


class RandomNumbers:
    """Numbers of 32 bits; a `seed` makes them repeatable. Threads may share it."""

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self._generator: Random | None = None
        self._lock = Lock()
        self._words = array("Q")
        self._image: Image | None = None
        self._take: Callable[[int], int] | None = None

    def renew_lock(self) -> None:
        """Take a new lock, in the child of a fork."""
        self._lock = Lock()

    def next(self) -> int:
        """Return the next number."""
        with self._lock:
            if self._image is None:
                return self._draw(1)
            if self._take is None:
                self._take = self._image.bind("ebpf_take_random", "p")
            while (number := self._take(self._words.buffer_info()[0])) == _NONE:
                self._draw_ahead()
            return number

    def share(self, image: Image) -> int:
        """Return the address where native code finds the numbers that are next."""
        with self._lock:
            if self._image is None:
                self._words = array("Q", bytes(8 * RANDOM_WORDS))
                self._image = image
            return self._words.buffer_info()[0]

    def _draw(self, count: int) -> int:
        """Return numbers as one, the first in its lowest bits."""
        if self._generator is None:
            from random import Random

            self._generator = Random(self._seed)
        return self._generator.getrandbits(32 * count)

    def _draw_ahead(self) -> None:
        """Replace the numbers, all of which are taken, by the next ones; they are there once they are counted."""
        self._words[_NUMBERS:] = array("Q", self._draw(NUMBERS_AHEAD).to_bytes(4 * NUMBERS_AHEAD, "little"))
        self._words[_DRAWN] += NUMBERS_AHEAD
