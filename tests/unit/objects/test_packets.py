"""What run_many() takes as packets."""

from __future__ import annotations

from array import array

import pytest

from ebpf.objects.packets import gather


class MaskedArray(array):  # type: ignore[type-arg]
    """Integers of which some do not count, as those of numpy.ma."""

    mask = (False, True, False)


def test_masked_offsets_are_refused() -> None:
    with pytest.raises(ValueError, match="without a mask"):
        gather((bytes(40), MaskedArray("q", [0, 20, 40])))


def test_masked_arrays_of_numpy_are_refused() -> None:
    numpy = pytest.importorskip("numpy")
    with pytest.raises(ValueError, match="without a mask"):
        gather((bytes(40), numpy.ma.array([0, 20, 40], mask=[0, 1, 0])))


def test_what_is_no_buffer_is_no_packet() -> None:
    with pytest.raises(TypeError, match="packet 1 is no buffer but int"):
        gather([bytes(20), 20])
