"""The value codec is a bijection, whatever the type (property tests over generated types)."""

from __future__ import annotations

from dataclasses import is_dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpf.btf import Array, Codec, size_of
from tests.unit.btf.strategies import Case, cases

_settings = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_settings
@given(cases(), st.data())
def test_encode_undoes_decode_and_zeroes_padding(case: Case, data: st.DataObject) -> None:
    codec = Codec(case.type, byte_order=case.order)
    assert codec.size == size_of(case.type) == len(case.mask)
    dirty = data.draw(st.binary(min_size=codec.size, max_size=codec.size))
    clean = bytes(a & b for a, b in zip(dirty, case.mask, strict=True))
    value = codec.decode(clean)
    assert codec.encode(value) == clean
    hash(value)
    if codec.flexible:
        # What would be padding at the end may be elements of the array.
        assert any(isinstance(type_, Array) and type_.nelems == 0 for type_ in case.btf)
    else:
        assert codec.encode(codec.decode(dirty)) == clean
        # By their text, since NaN is not equal to itself.
        assert repr(codec.decode(dirty)) == repr(value)


@_settings
@given(cases(), st.data())
def test_structs_are_encoded_from_mappings_and_sequences_too(case: Case, data: st.DataObject) -> None:
    codec = Codec(case.type, byte_order=case.order)
    raw = data.draw(st.binary(min_size=codec.size, max_size=codec.size))
    value = codec.decode(raw)
    if not is_dataclass(value) or hasattr(value, "raw"):
        return
    members = {name: getattr(value, name) for name in type(value).__dataclass_fields__}
    assert codec.encode(members) == codec.encode(value)
    assert codec.encode(list(members.values())) == codec.encode(value)
    shown = {name: getattr(value, name) for name in type(value).__shown__}
    assert codec.encode(shown) == codec.encode(value)
