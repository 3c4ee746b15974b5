"""Objects damaged where it matters: either they read, or one ObjectFileError says why not. `make fuzz` runs more."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpf.elf import describe, read_bytes
from ebpf.errors import ObjectFileError
from tests.fuzz.mutations import INTERESTING, SEEDS, load_seeds

EXAMPLES = 2000
OBJECTS = load_seeds()
NUMBERS = st.one_of(st.integers(0, 63), st.sampled_from(INTERESTING), st.integers(0, (1 << 64) - 1))
KINDS = ("header", "section", "symbol", "relocation", "types", "contents", "code")


@st.composite
def damaged_objects(draw):
    """Draw a copy of an object with a few numbers replaced, perhaps truncated, perhaps with random bytes."""
    seed = draw(st.sampled_from(OBJECTS))
    data = bytearray(seed.data)
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(KINDS))
        places = [place for place in seed.places if place.kind == kind]
        if places:
            seed.edit(data, draw(st.sampled_from(places)), draw(NUMBERS))
    damage = draw(st.integers(0, 19))
    if damage == 0:
        del data[draw(st.integers(0, len(data))) :]
    elif damage == 1:
        start = draw(st.integers(0, len(data)))
        data[start : start + 8] = draw(st.binary(max_size=16))
    return bytes(data)


def refusal(data):
    """Return why an object is refused, None if it is not."""
    try:
        describe(read_bytes(data))
    except ObjectFileError as error:
        return str(error)
    return None


@settings(max_examples=EXAMPLES, deadline=1000, suppress_health_check=[HealthCheck.too_slow])
@given(data=damaged_objects())
def test_damage_is_one_error_or_none(data):
    message = refusal(data)

    assert message is None or (message and len(message.splitlines()) == 1)


@settings(max_examples=200, deadline=1000)
@given(data=st.binary(max_size=4096))
def test_random_bytes_are_refused(data):
    with pytest.raises(ObjectFileError):
        read_bytes(data)


@pytest.mark.parametrize("seed", OBJECTS, ids=SEEDS)
def test_every_truncation_is_refused(seed):
    for size in range(0, len(seed.data), 37):
        with pytest.raises(ObjectFileError):
            read_bytes(seed.data[:size])


@pytest.mark.parametrize("seed", OBJECTS, ids=SEEDS)
def test_mutations_reach_every_kind_of_place(seed):
    found = {place.kind for place in seed.places}

    assert found >= {"header", "section", "symbol", "code"}
    assert ("types" in found) is not seed.name.startswith("legacy")
