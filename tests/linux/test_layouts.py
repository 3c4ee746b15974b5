"""Records and info structs against the running kernel's own type information."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ebpf.abi.linux.info import (
    BTF_INFO,
    LINK_DETAILS,
    LINK_INFO,
    LINK_INFO_SIZE,
    MAP_INFO,
    PERF_EVENT_DETAILS,
    PROG_INFO,
    Layout,
)
from ebpf.btf import Array, Btf, Int, Struct, Type, Union, size_of, strip
from ebpf.runtime import linux
from ebpf.runtime.attrs import RECORDS, Attr
from ebpf.runtime.attrs.packing import UNION_SIZE

Place = tuple[int, int]


@pytest.fixture(scope="module")
def kernel() -> Btf:
    return linux().kernel_btf()


def _flat(type_: Type, prefix: str = "", base: int = 0) -> Iterator[tuple[str, Place]]:
    """Yield (name, (offset, size)) of each member; members of named structs with the struct's name in front."""
    inner = strip(type_)
    assert isinstance(inner, Struct | Union)
    for member in inner.members:
        offset = base + member.offset
        target = strip(member.type)
        name = f"{prefix}{member.name}" if member.name else prefix.rstrip("_")
        if isinstance(target, Struct | Union):
            yield from _flat(target, f"{name}_" if name else "", offset)
        else:
            yield name, (offset, size_of(member.type))


def _kernel_members(kernel: Btf, record: type[Attr]) -> dict[str, Place]:
    union = kernel.find("bpf_attr", Union)
    assert isinstance(union, Union)
    if record.WITHIN:
        [member] = [member for member in union.members if member.name == record.WITHIN] or [None]
        return {} if member is None else dict(_flat(member.type))
    # An anonymous struct of the union: the one that has all the members that the record declares.
    wanted = {name for name, member in record.MEMBERS.items() if member.size}
    found = [dict(_flat(member.type)) for member in union.members if not member.name]
    return max(found, key=lambda members: len(wanted & set(members)))


NEWER = {"ProgAssocStructOps": "Linux 7.0"}


@pytest.mark.parametrize("record", sorted(set(RECORDS.values()), key=lambda record: record.__name__))
def test_a_record_is_laid_out_like_the_kernel_s(kernel: Btf, record: type[Attr]) -> None:
    theirs = _kernel_members(kernel, record)
    if not theirs and record.__name__ in NEWER:
        pytest.skip(f"this kernel is older than {NEWER[record.__name__]}")
    ours = {name: (member.offset, member.size) for name, member in record.MEMBERS.items() if member.size}
    assert ours.items() <= theirs.items()
    # What the kernel has more must be another name of the same member.
    for name in theirs.keys() - ours.keys():
        assert isinstance(getattr(record, name, None), property), f"{record.__name__} lacks {name}"
    for name in ours:
        assert record.MEMBERS[name].end <= UNION_SIZE


def test_signedness_is_the_kernel_s(kernel: Btf) -> None:
    union = kernel.find("bpf_attr", Union)
    assert union is not None
    signed = set()

    def walk(type_: Type, prefix: str) -> None:
        for member in strip(type_).members:  # type: ignore[attr-defined]  # structs and unions only
            target = strip(member.type)
            if isinstance(target, Struct | Union):
                walk(target, f"{prefix}{member.name}_" if member.name else prefix)
            elif isinstance(target, Int) and target.signed:
                signed.add(f"{prefix}{member.name}")

    walk(union, "")
    ours = {
        (f"{record.WITHIN}_" if record.WITHIN else "") + name
        for record in RECORDS.values()
        for name, member in record.MEMBERS.items()
        if member.code == "i"
    }
    assert ours == {name for name in signed if not name.endswith("_name")}


def test_the_union_fits_the_buffer(kernel: Btf) -> None:
    union = kernel.find("bpf_attr", Union)
    assert union is not None
    assert size_of(union) <= UNION_SIZE


@pytest.mark.parametrize(
    ("struct", "layout"), [("bpf_map_info", MAP_INFO), ("bpf_prog_info", PROG_INFO), ("bpf_btf_info", BTF_INFO)]
)
def test_info_structs(kernel: Btf, struct: str, layout: Layout) -> None:
    type_ = kernel.find(struct, Struct)
    assert type_ is not None
    theirs = {name: place for name, place in _flat(type_) if name}
    assert {entry.name: (entry.offset, entry.size) for entry in layout} == theirs


def _names() -> Iterator[tuple[str, Layout]]:
    for kind, layout in LINK_DETAILS.items():
        yield kind.name.lower(), layout
    for name, layout in PERF_EVENT_DETAILS.values():
        yield f"perf_event_{name}", layout


def test_link_info(kernel: Btf) -> None:
    type_ = kernel.find("bpf_link_info", Struct)
    assert type_ is not None
    theirs = dict(_flat(type_))
    for entry in LINK_INFO:
        assert theirs.pop(entry.name) == (entry.offset, entry.size)
    ours: dict[str, Place] = {}
    for name, layout in _names():
        for entry in layout:
            ours[f"{name}_{entry.name}"] = (entry.offset, entry.size)
    # The iterator's nested structs go without their names.
    renamed = {
        "iter_map_map_id": "iter_map_id",
        "iter_cgroup_cgroup_id": "iter_cgroup_id",
        "iter_cgroup_order": "iter_order",
    }
    theirs = {renamed.get(name, name): place for name, place in theirs.items()}
    assert theirs.keys() - ours.keys() == {"iter_task_tid", "iter_task_pid"}
    assert {name: theirs[name] for name in ours} == ours
    assert size_of(type_) == LINK_INFO_SIZE


def test_no_array_is_forgotten(kernel: Btf) -> None:
    """`char[16]` and `u8[8]` are the only arrays in these structs."""
    sizes = set()
    for name in ("bpf_map_info", "bpf_prog_info", "bpf_btf_info"):
        type_ = kernel.find(name, Struct)
        assert isinstance(type_, Struct)
        sizes |= {size_of(member.type) for member in type_.members if isinstance(strip(member.type), Array)}
    assert sizes == {8, 16}
