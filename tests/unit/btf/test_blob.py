"""Reading, looking up, re-encoding and copying blobs."""

from __future__ import annotations

import copy
import pickle

import pytest

from ebpf.btf import (
    Array,
    Btf,
    Builder,
    Datasec,
    DeclTag,
    Enum,
    Enum64,
    Func,
    FuncLinkage,
    FuncProto,
    Fwd,
    Int,
    Kind,
    Pointer,
    Struct,
    Type,
    Typedef,
    TypeTag,
    Var,
    VarLinkage,
    Void,
)
from ebpf.errors import BtfError
from tests.unit.btf.samples import every_kind

BOTH_ORDERS = pytest.mark.parametrize("order", ["little", "big"])


def found(btf: Btf, name: str, kind: type[Type]) -> Type:
    type_ = btf.find(name, kind)
    assert type_ is not None
    return type_


@BOTH_ORDERS
def test_reads_every_kind(order: str) -> None:
    btf = every_kind(order)  # type: ignore[arg-type]
    assert btf.byte_order == order
    assert {type_.kind for type_ in btf} | {Kind.VOID} == set(Kind)
    event = btf.find("event", Struct)
    assert event is not None
    assert event.size == 32
    members = [(m.name, m.offset, m.bit_size, m.type.kind) for m in event.members]
    assert members == [
        ("pid", 0, 0, Kind.INT),
        ("color", 4, 0, Kind.ENUM),
        ("comm", 8, 0, Kind.ARRAY),
        ("ns", 24, 0, Kind.INT),
    ]
    comm = event.members[2].type
    assert isinstance(comm, Array)
    assert (comm.nelems, comm.target.name, comm.index.name) == (16, "char", "__ARRAY_SIZE_TYPE__")
    bits = btf.find("bits", Struct)
    assert bits is not None
    assert [(m.bit_offset, m.bit_size) for m in bits.members] == [(0, 3), (3, 7)]


@BOTH_ORDERS
def test_reads_names_values_and_linkage(order: str) -> None:
    btf = every_kind(order)  # type: ignore[arg-type]
    color, wide = btf.find("color", Enum), btf.find("wide", Enum64)
    assert color is not None
    assert wide is not None
    assert [(v.name, v.value) for v in color.values] == [("RED", 0), ("GREEN", 1), ("BLUE", -1)]
    assert [(v.name, v.value) for v in wide.values] == [("LOW", 0), ("HIGH", 1 << 40)]
    handler = btf.find("handler", Func)
    assert handler is not None
    assert handler.linkage is FuncLinkage.GLOBAL
    proto = handler.target
    assert isinstance(proto, FuncProto)
    assert [(p.name, p.type.kind) for p in proto.params] == [("ctx", Kind.PTR), ("n", Kind.INT)]
    limit = btf.find("limit", Var)
    assert limit is not None
    assert (limit.linkage, limit.target.name) == (VarLinkage.STATIC, "unsigned int")
    data = btf.find(".data", Datasec)
    assert data is not None
    assert [(e.type.name, e.offset, e.size) for e in data.entries] == [("count", 0, 8), ("limit", 8, 4)]
    assert [fwd.is_union for fwd in btf if isinstance(fwd, Fwd)] == [False, True]
    tags = [(tag.name, tag.target.name, tag.component) for tag in btf if isinstance(tag, DeclTag)]
    assert tags == [("hot", "handler", None), ("key", "event", 1)]


def test_ids_and_iteration() -> None:
    btf = every_kind()
    assert isinstance(btf.by_id(0), Void)
    assert btf.by_id(0).name == "void"
    assert [type_.id for type_ in btf] == list(range(1, len(btf) + 1))
    assert btf.by_id(3) == btf.by_id(3)
    assert btf.by_id(3) != btf.by_id(4)
    for wrong in (-1, len(btf) + 1, 1 << 31):
        with pytest.raises(BtfError, match="no type with id"):
            btf.by_id(wrong)


def test_find_filters_by_kind_and_finds_all_of_a_name() -> None:
    b = Builder()
    number = b.add_int("same", 4)
    b.add_typedef("same", number)
    b.add_struct("same", 0)
    btf = b.build()
    assert isinstance(btf.find("same"), Int)
    assert isinstance(btf.find("same", Typedef), Typedef)
    assert isinstance(btf.find("same", Kind.STRUCT), Struct)
    assert btf.find("same", Pointer) is None
    assert btf.find("sam") is None
    assert btf.find("") is None
    assert [type_.id for type_ in btf.find_all("same")] == [1, 2, 3]


def test_names_may_be_the_tail_of_other_strings() -> None:
    b = Builder()
    b.add_int("long_name", 4)
    b.add_int("name", 4)
    raw = b.build().raw
    # Let the second type point into the first one's string, and cut its own.
    words = Btf.parse(raw).words
    assert list(words)[4] == 11
    data = bytearray(raw)
    data[24 + 16 : 24 + 20] = (6).to_bytes(4, "little")
    btf = Btf.parse(data)
    assert [type_.name for type_ in btf] == ["long_name", "name"]
    assert [type_.id for type_ in btf.find_all("name")] == [2]
    assert [type_.id for type_ in btf.find_all("long_name")] == [1]


@BOTH_ORDERS
def test_the_other_byte_order_and_back(order: str) -> None:
    btf = every_kind(order)  # type: ignore[arg-type]
    other = "big" if order == "little" else "little"
    turned = Btf.parse(btf.encode(other))  # type: ignore[arg-type]
    assert turned.byte_order == other
    assert turned.raw == every_kind(other).raw  # type: ignore[arg-type]
    assert turned.encode(order) == btf.raw == btf.encode()  # type: ignore[arg-type]
    assert list(turned.words) == list(btf.words)


def test_split_btf_continues_its_base() -> None:
    base = every_kind()
    b = Builder(base=base)
    assert b.next_id == len(base) + 1
    event = base.find("event", Struct)
    assert event is not None
    pointer = b.add_pointer(event.id)
    b.add_struct("module_state", 16, [("event", pointer, 0), ("pid", 1, 64)])
    split = b.build()
    again = Btf.parse(split.raw, base=base)
    assert len(again) == 2
    state = again.find("module_state", Struct)
    assert state is not None
    assert state.members[0].type.kind is Kind.PTR
    assert [member.name for member in state.members] == ["event", "pid"]
    assert again.by_id(event.id) == event
    assert again.find("event") == event
    assert again.string_offset("event") == base.string_offset("event")
    offset = again.string_offset("module_state")
    assert offset is not None
    assert offset >= base.strings_end
    assert again.string(offset) == "module_state"
    assert Btf.parse(again.encode("big"), base=base).find("module_state") is not None


def test_with_datasecs_fills_and_sorts() -> None:
    b = Builder()
    u32 = b.add_int("u32", 4)
    first, second = b.add_var("first", u32), b.add_var("second", u32)
    b.add_datasec(".bss", 0, [(first, 0, 4), (second, 0, 4)])
    b.add_datasec(".data", 0, [])
    for order in ("little", "big"):
        btf = b.build(order)  # type: ignore[arg-type]
        filled = btf.with_datasecs({".bss": (12, {"first": 8, "second": 4}), ".nothing": (1, {})})
        bss = filled.find(".bss", Datasec)
        assert bss is not None
        assert bss.size == 12
        assert [(e.type.name, e.offset) for e in bss.entries] == [("second", 4), ("first", 8)]
        assert [type_.name for type_ in filled] == [type_.name for type_ in btf]
        untouched = btf.find(".bss", Datasec)
        assert untouched is not None
        assert untouched.size == 0


def test_string_offset_wants_whole_strings() -> None:
    btf = every_kind()
    offset = btf.string_offset("event")
    assert offset is not None
    assert btf.string(offset) == "event"
    assert btf.string_offset("") == 0
    assert btf.string_offset("vent") is None


def test_copies_share_and_pickles_restore() -> None:
    event = every_kind().find("event", Struct)
    assert event is not None
    assert copy.deepcopy([event])[0] is event
    assert copy.copy(event) is event
    restored = pickle.loads(pickle.dumps(event))
    assert restored.btf.raw == event.btf.raw
    assert (restored.id, restored.name) == (event.id, "event")


def test_kind_flags_of_tags() -> None:
    b = Builder()
    number = b.add_int("int", 4)
    b.add_type_tag("user", number)
    b.add_type_tag("address_space(1)", number, attribute=True)
    tags = [tag for tag in b.build() if isinstance(tag, TypeTag)]
    assert [tag.kind_flag for tag in tags] == [False, True]


def test_builder_refuses_what_the_format_cannot_hold() -> None:
    b = Builder()
    with pytest.raises(BtfError, match="NUL"):
        b.add_int("a\0b", 4)
    with pytest.raises(BtfError, match="65535 are possible"):
        b.add_datasec(".data", 0, [(1, 0, 0)] * 65536)
    with pytest.raises(BtfError, match="32 bits"):
        b.add_struct("huge", 1 << 32)
    with pytest.raises(BtfError, match="does not fit"):
        b.add_enum("e", {"A": -1, "B": 1 << 31})
    with pytest.raises(BtfError, match="can't be expressed"):
        b.add_struct("s", 4, [("x", 1, 1 << 24, 3)])
