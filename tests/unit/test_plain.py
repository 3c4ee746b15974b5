"""Specs are dataclasses to all who ask, although `dataclasses` did not make them."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import pprint
import pydoc
from typing import get_type_hints

import pytest

from ebpf import (
    CollectionSpec,
    ExternSpec,
    Insn,
    Instructions,
    MapSpec,
    MapType,
    ProgramSpec,
    ProgramType,
    Reference,
    ReferenceKind,
)
from ebpf.plain import NamedTuple, Plain, field


def counts() -> MapSpec:
    return MapSpec("counts", MapType.HASH, 4, 8, max_entries=16, tags=["first"])


def test_fields_are_given_by_position_or_by_name() -> None:
    spec = counts()

    assert (spec.name, spec.type, spec.key_size, spec.value_size, spec.max_entries) == (
        "counts",
        MapType.HASH,
        4,
        8,
        16,
    )
    assert (spec.tags, spec.pinning, spec.inner) == (["first"], "none", None)


def test_each_object_has_a_list_of_its_own() -> None:
    one, other = CollectionSpec(), CollectionSpec()
    one.maps["counts"] = counts()

    assert not other.maps


@pytest.mark.parametrize(
    ("values", "named", "reason"),
    [
        ((), {}, r"ExternSpec lacks its argument 'name'"),
        (("jiffies",), {}, "lacks its argument 'kind'"),
        (("jiffies", "ksym"), {"name": "HZ"}, "two values for 'name'"),
        (("jiffies", "ksym"), {"size": 8}, "unexpected 'size'"),
        (("jiffies", "ksym", None, False, 1, 2), {}, "takes 5 positional arguments, got 6"),
    ],
)
def test_what_does_not_fit_the_fields_is_a_type_error(
    values: tuple[object, ...], named: dict[str, object], reason: str
) -> None:
    with pytest.raises(TypeError, match=reason):
        ExternSpec(*values, **named)  # type: ignore[arg-type]


def test_only_fields_can_be_set() -> None:
    with pytest.raises(AttributeError):
        counts().colour = "red"  # type: ignore[attr-defined]


def test_objects_are_equal_by_their_fields() -> None:
    other = counts()
    other.flags |= 1

    assert counts() == counts()
    assert counts() != other
    assert counts() != ProgramSpec("counts", ProgramType.XDP, Instructions())
    with pytest.raises(TypeError, match="unhashable"):
        hash(counts())


def test_fields_are_shown() -> None:
    class Pair(Plain):
        left: int
        right: object = field(default=2, repr=False)

    assert repr(Pair(1)).endswith("Pair(left=1)")
    assert (
        repr(ExternSpec("HZ", "kconfig")) == "ExternSpec(name='HZ', kind='kconfig', type=None, weak=False, value=None)"
    )


def test_a_derived_class_has_the_fields_of_its_base() -> None:
    class Sampled(ExternSpec):
        rate: int = 1

    assert Sampled("HZ", "kconfig", rate=2)._replace(weak=True) == Sampled("HZ", "kconfig", None, True, None, 2)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_objects_can_be_copied_and_pickled(protocol: int) -> None:
    spec = CollectionSpec(maps={"counts": counts()})
    insn = Insn(0x85, imm=1, symbol="main", reference=Reference(ReferenceKind.KFUNC, "bpf_rdonly_cast"))
    spec.programs["p"] = ProgramSpec("p", ProgramType.XDP, Instructions([insn]))
    copies = (copy.copy(spec), copy.deepcopy(spec), pickle.loads(pickle.dumps(spec, protocol)))

    assert all(one == spec for one in copies)
    assert all(one.programs["p"].insns[0].reference == insn.reference for one in copies)


def test_dataclasses_takes_them() -> None:
    spec = ExternSpec("HZ", "kconfig")

    assert dataclasses.is_dataclass(spec)
    assert dataclasses.is_dataclass(MapSpec)
    assert [one.name for one in dataclasses.fields(spec)] == ["name", "kind", "type", "weak", "value"]
    assert dataclasses.replace(spec, weak=True) == ExternSpec("HZ", "kconfig", weak=True)
    assert dataclasses.asdict(spec)["kind"] == "kconfig"
    assert dataclasses.replace(counts(), max_entries=3).max_entries == 3


def test_signatures_and_patterns_name_the_fields() -> None:
    signature = inspect.signature(ProgramSpec)

    assert list(signature.parameters)[:4] == ["name", "type", "insns", "license"]
    assert signature.parameters["license"].kind is inspect.Parameter.KEYWORD_ONLY
    match ExternSpec("HZ", "kconfig"):
        case ExternSpec(name, kind="kconfig"):
            assert name == "HZ"
        case _:
            pytest.fail("no match")


def test_specs_are_printed_and_decorated_as_dataclasses_are() -> None:
    spec = CollectionSpec(maps={"counts": counts()})

    assert pprint.pformat(spec).startswith("CollectionSpec(maps={'counts': MapSpec(name='counts',")

    @dataclasses.dataclass
    class Mine(ExternSpec):
        def twice(self) -> str:
            return self.name * 2

    assert Mine("HZ", "kconfig").twice() == "HZHZ"


def test_metadata_of_an_instruction_does_not_take_part_in_comparison() -> None:
    named = Insn(0x95, symbol="end")

    assert named == Insn(0x95)
    assert hash(named) == hash(Insn(0x95))
    assert named != Insn(0x95, imm=1)
    assert named != (0x95, 0, 0, 0, 0, "end", None, None, None)
    assert named._replace(imm=1).symbol == "end"
    with pytest.raises(AttributeError):
        named.imm = 2  # type: ignore[misc]


class Point(NamedTuple):
    """A place."""

    x: int
    y: int = 0

    @property
    def far(self) -> bool:
        return self.x > 9


def test_named_tuples_are_those_of_typing() -> None:
    assert (Point(3), Point(y=2, x=1), Point._fields) == ((3, 0), (1, 2), ("x", "y"))
    assert (Point.__doc__, Point.__module__, Point.__qualname__) == ("A place.", __name__, "Point")
    assert Point(10).far
    assert get_type_hints(Point) == {"x": int, "y": int}
    assert str(inspect.signature(Point)) == "(x: 'int', y: 'int' = 0)"
    assert (repr(Point(1, 2)), Point(1, 2)._asdict()) == ("Point(x=1, y=2)", {"x": 1, "y": 2})
    assert pickle.loads(pickle.dumps(Point(3)))._replace(y=1) == Point(3, 1)
    assert copy.deepcopy(Point(3, 4)) == Point._make([3, 4])
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


class Named(NamedTuple):
    """Called by name, in order and otherwise."""

    first: int
    second: int
    third: int = 3


def test_each_way_to_call_a_named_tuple_gives_the_same() -> None:
    made = [
        Named(first=1, second=2, third=3),  # before there is a compiled constructor
        Named(first=1, second=2, third=3),
        Named(1, second=2, third=3),
        Named(third=3, second=2, first=1),
        Named(1, 2),
        Named(1, 2, 3),
    ]

    assert made == [(1, 2, 3)] * len(made)
    assert {type(one) for one in made} == {Named}


@pytest.mark.parametrize("values", [(), (1, 2, 3, 4)])
def test_a_named_tuple_of_a_wrong_length_is_refused(values: tuple[int, ...]) -> None:
    class New(NamedTuple):
        first: int
        second: int
        third: int = 3

    for _ in range(2):  # before there is a compiled constructor, and with it
        with pytest.raises(TypeError):
            New(*values)
    with pytest.raises(TypeError, match="Named has 3 fields, got"):
        Named._make(values)


@pytest.mark.parametrize("named", [{"second": 2}, {"first": 1, "second": 2, "fourth": 4}])
def test_a_named_tuple_refuses_names_that_it_lacks(named: dict[str, int]) -> None:
    class New(NamedTuple):
        first: int
        second: int
        third: int = 3

    for _ in range(2):
        with pytest.raises(TypeError):
            New(**named)
    with pytest.raises(TypeError, match="Named has no fourth"):
        Named(1, 2, 3)._replace(fourth=4)  # type: ignore[call-arg]


def test_a_subclass_of_a_named_tuple_has_its_fields() -> None:
    class Near(Point):
        def distance(self) -> int:
            return self.x + self.y

    assert Near(1, y=2).distance() == 3
    assert (type(Near(1)._replace(x=5)), Near._fields) == (Near, Point._fields)


def test_a_subclass_of_a_named_tuple_keeps_its_constructor() -> None:
    class Pair(NamedTuple):
        x: int
        y: int = 0

    class Doubled(Pair):
        def __new__(cls, x: int) -> Doubled:
            return super().__new__(cls, x * 2)

    assert [Doubled(1), Doubled(1), Doubled(1)] == [(2, 0)] * 3
    assert Pair(4) == (4, 0)


def test_help_knows_the_fields_of_a_subclass() -> None:
    class Near(Point):
        pass

    assert str(inspect.signature(Near)) == "(x: 'int', y: 'int' = 0)"
    assert "Alias for field number 1" in pydoc.render_doc(Near)
