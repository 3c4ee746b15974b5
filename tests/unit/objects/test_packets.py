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


@pytest.mark.parametrize("number", [64.0, None, "64"])
def test_offsets_are_integers(number: object) -> None:
    told = f"offsets are integers, got {type(number).__name__}$"
    with pytest.raises(TypeError, match=told):
        gather((bytes(64), [0, number]))
    with pytest.raises(TypeError, match=told):
        gather((bytes(64), (0, number)))


def test_offsets_may_be_integers_of_numpy() -> None:
    numpy = pytest.importorskip("numpy")
    offsets = numpy.array([0, 20, 40])
    assert list(gather((bytes(40), list(offsets))).lengths) == [20, 20]
    with pytest.raises(TypeError, match=r"are integers, got float$"):
        gather((bytes(40), offsets.astype("f8")))


def test_offsets_are_into_a_buffer() -> None:
    with pytest.raises(TypeError, match=r"the data of \(data, offsets\) is a buffer, got list"):
        gather(([bytes(64)], [0, 64]))


def test_what_is_no_buffer_is_no_packet() -> None:
    with pytest.raises(TypeError, match="packet 1 is no buffer but int"):
        gather([bytes(20), 20])
