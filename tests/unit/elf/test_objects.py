"""Objects as clang builds them: what is read must be what their C says. Both byte orders must agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpf.abi.types import MapFlag, MapType, ProgramFlag, ProgramType
from ebpf.asm import ReferenceKind
from ebpf.elf import describe, read_file

OBJECTS = Path(__file__).parents[2] / "objects"
BOTH = pytest.mark.parametrize("end", ["", "-eb"], ids=["little", "big"])


def read(name, end=""):
    return read_file(OBJECTS / f"{name}{end}.o")


def references(program):
    return [
        (insn.reference.kind, insn.reference.name, insn.reference.offset) for insn in program.insns if insn.reference
    ]


@pytest.mark.parametrize("name", ["maps", "calls", "legacy"])
def test_both_byte_orders_say_the_same(name):
    little, big = (describe(read(name, end)) for end in ("", "-eb"))

    assert (little.pop("byte_order"), big.pop("byte_order")) == ("little", "big")
    for document in (little, big):
        for program in document["programs"].values():
            del program["bytecode"]  # bytes differ, and so does where the compiler puts an instruction's constant
        for variable in document["variables"].values():
            del variable["value"]
        for spec in document["maps"].values():
            del spec["contents_sha256"]
    assert little == big


@BOTH
def test_btf_maps_have_every_attribute(end):
    maps = read("maps", end).maps

    typed, sized, bloom = maps["typed"], maps["sized"], maps["bloom"]
    assert (typed.type, typed.key_size, typed.value_size, typed.max_entries) == (MapType.HASH, 8, 8, 1024)
    assert (typed.flags, typed.pinning, typed.tags) == (MapFlag.NO_PREALLOC, "by_name", ["first tag", "second tag"])
    assert [member.name for member in typed.key.members] == ["first", "second"]
    assert typed.value.name == "__u64"
    assert (sized.key_size, sized.value_size, sized.numa_node, sized.key) == (4, 8, 1, None)
    assert (bloom.key_size, bloom.value_size, bloom.map_extra) == (0, 4, 3)


def test_a_ring_buffers_value_type_is_for_the_reader_only():
    events = read("maps").maps["events"]

    assert (events.value.name, events.value_size) == ("pair", 0)


@BOTH
def test_maps_of_maps_have_an_inner_blueprint_and_initial_elements(end):
    spec = read("maps", end)
    outer, outer_hash = spec.maps["outer"], spec.maps["outer_hash"]

    assert (outer.value_size, outer.inner.name, outer.inner.type) == (4, "outer_inner", MapType.ARRAY)
    assert (outer.inner.value_size, outer.inner.max_entries) == (8, 4)
    assert outer.contents == [
        ((1).to_bytes(4, spec.byte_order), "inner_a"),
        ((5).to_bytes(4, spec.byte_order), "inner_b"),
    ]
    assert (outer_hash.inner.type, outer_hash.contents) == (MapType.HASH, None)


@BOTH
def test_program_arrays_take_global_and_static_programs(end):
    spec = read("maps", end)

    names = {int.from_bytes(key, spec.byte_order): name for key, name in spec.maps["jumps"].contents}
    assert names == {0: "tail_one", 3: "tail_two"}


@BOTH
def test_legacy_maps_keep_what_follows_the_definition(end):
    spec = read("legacy", end)

    counters, filters = spec.maps["counters"], spec.maps["filters"]
    assert (counters.type, counters.value_size, counters.max_entries) == (MapType.PERCPU_ARRAY, 8, 16)
    assert spec.maps["table"].flags == MapFlag.NO_PREALLOC
    extra = [int.from_bytes(filters.extra[at : at + 4], spec.byte_order) for at in range(0, 16, 4)]
    assert extra == [7, 2, 0, 0]


def test_license_version_optional_and_unknown_sections():
    programs = read("legacy").programs

    assert {program.license for program in programs.values()} == {"Dual MIT/GPL"}
    assert {program.kernel_version for program in programs.values()} == {0x50A00}
    assert [(p.type, p.autoload) for p in programs.values()] == [
        (ProgramType.SCHED_CLS, True),
        (ProgramType.KPROBE, False),
        (ProgramType.UNSPEC, False),
    ]
    assert (programs["second"].section, programs["second"].attach_to) == ("?kprobe/do_exit", "do_exit")


@BOTH
def test_subprograms_are_appended_in_order_of_first_use(end):
    program = read("calls", end).programs["first"]

    order = [insn.symbol for insn in program.insns if insn.symbol]
    assert order == [
        "first", "plain_callback", "static_callback", "in_library", "middle", "leaf", "other_global",
    ]  # fmt: skip
    starts = [info.insn for info in program.func_info]
    assert [program.insns[start].symbol for start in starts] == order
    assert [info.type.name for info in program.func_info] == order


def test_a_programs_calls_land_on_functions():
    program = read("calls").programs["first"]
    offsets = program.insns.raw_offsets()
    starts = {offsets[index]: insn.symbol for index, insn in enumerate(program.insns) if insn.symbol}

    decoded = type(program.insns).decode(program.insns.encode("little"))
    for index, insn in enumerate(decoded):
        reference = program.insns[index].reference
        if reference is not None and reference.kind in (ReferenceKind.FUNCTION, ReferenceKind.FUNCTION_POINTER):
            distance = insn.imm - (1 << 32) if insn.imm >> 31 == 1 else insn.imm
            assert starts[offsets[index] + 1 + distance] == reference.name


def test_programs_that_share_subprograms_each_have_their_own():
    programs = read("calls").programs

    assert [insn.symbol for insn in programs["second"].insns if insn.symbol] == ["second", "middle", "leaf"]
    assert programs["second"].flags == ProgramFlag.XDP_HAS_FRAGS
    assert [insn.symbol for insn in programs["alone"].insns if insn.symbol] == ["alone"]


@BOTH
def test_a_function_pointer_adds_its_symbols_place(end):
    insns = read("calls", end).programs["refused"].insns

    # Not the first function of its section: a symbol's value and the instruction's constant are to be added.
    assert [insn.symbol for insn in insns if insn.symbol] == ["refused", "global_callback", "other_global"]


@BOTH
def test_variables_are_what_another_file_could_name(end):
    spec = read("calls", end)

    sections = {name: variable.section for name, variable in spec.variables.items()}
    assert sections == {
        "counter": ".bss", "start": ".data", "limit": ".rodata", "weak_one": ".data", "table": ".data.table",
        "greeting": ".rodata",
    }  # fmt: skip
    assert spec.variables["start"].value == 7
    assert spec.variables["table"].value == (1, 2, 3, 4)
    assert spec.variables["greeting"].value == "hello"
    assert spec.maps[".rodata"].flags == MapFlag.RDONLY_PROG
    assert spec.maps[".data"].flags == 0


@BOTH
def test_types_know_where_variables_lie(end):
    spec = read("calls", end)

    for name in (".data", ".rodata", ".bss", ".data.table"):
        section = spec.maps[name].value
        assert section.size == spec.maps[name].value_size
        for entry in section.entries:
            if entry.type.name in spec.variables:
                assert entry.offset == spec.variables[entry.type.name].offset


@BOTH
def test_accesses_to_variables_carry_the_offset(end):
    spec = read("calls", end)
    accesses = {(name, offset) for kind, name, offset in references(spec.programs["first"]) if kind == "map_value"}

    wanted = {
        (spec.variables[name].section, spec.variables[name].offset) for name in ("counter", "start", "limit", "table")
    }
    assert wanted <= accesses
    # A static variable is an offset in the instruction, not a symbol.
    statics = {entry.type.name: entry.offset for entry in spec.maps[".data"].value.entries}
    assert (".data", statics["hidden_from_others"]) in accesses
    for insn in spec.programs["first"].insns:
        if insn.reference and insn.reference.kind is ReferenceKind.MAP_VALUE:
            assert (insn.src, insn.imm) == (2, insn.reference.offset << 32)


def test_unused_strings_and_foreign_sections_make_no_maps():
    assert set(read("calls").maps) == {".bss", ".data", ".data.table", ".rodata"}
    assert set(read("legacy").maps) == {"counters", "table", "filters"}


def test_instructions_know_their_source_line():
    insns = read("calls").programs["second"].insns

    lines = {insn.source.text.strip() for insn in insns if insn.source}
    assert {"return middle(1);", "counter += x;"} <= lines
    assert all(insn.source.file.endswith("calls.c") and insn.source.line for insn in insns if insn.source)
    assert insns[0].source is not None


def test_externs_are_kept_by_kind():
    spec = read("externs")

    kinds = {name: (extern.kind, extern.weak) for name, extern in spec.externs.items()}
    assert kinds == {
        "LINUX_KERNEL_VERSION": ("kconfig", False), "CONFIG_BPF": ("kconfig", True), "CONFIG_HZ": ("kconfig", False),
        "CONFIG_CC_VERSION_TEXT": ("kconfig", False), "CONFIG_DEBUG": ("kconfig", True),
        "bpf_task_acquire": ("kfunc", False), "bpf_task_release": ("kfunc", True),
        "jiffies": ("ksym", False), "runqueues": ("ksym", True),
    }  # fmt: skip
    assert (spec.externs["runqueues"].type.name, spec.externs["CONFIG_HZ"].type.name) == ("", "unsigned long")
    found = {(kind, name) for kind, name, _ in references(spec.programs["on_switch"])}
    assert found == {(kind, name) for name, (kind, _) in kinds.items()}


def test_kernel_settings_have_a_map_and_offsets():
    spec = read("externs")
    settings = spec.maps[".kconfig"]

    assert (settings.flags, settings.max_entries, settings.contents) == (MapFlag.RDONLY_PROG, 1, None)
    offsets = {entry.type.name: (entry.offset, entry.size) for entry in settings.value.entries}
    ends = sorted(offset + size for offset, size in offsets.values())
    assert ends[-1] == settings.value_size
    for insn in spec.programs["on_switch"].insns:
        if insn.reference and insn.reference.kind is ReferenceKind.KCONFIG:
            assert (insn.src, insn.reference.offset) == (2, offsets[insn.reference.name][0])
            assert insn.reference.offset % min(offsets[insn.reference.name][1], 8) == 0 or insn.reference.name.endswith(
                "TEXT"
            )


def test_core_records_stay_with_their_instruction():
    spec = read("externs")

    cores = [insn.core for insn in spec.programs["on_switch"].insns if insn.core]
    assert [(spec.types.by_id(core.type_id).name, core.access, int(core.kind)) for core in cores] == [
        ("task_struct", "0:1", 0),
        ("task_struct", "0:0", 0),
        ("task_struct", "0", 8),
    ]


def test_struct_ops_tables_name_their_programs():
    spec = read("externs")
    plain, linked = spec.maps["plain"], spec.maps["linked"]

    assert (plain.type, plain.flags, linked.flags) == (MapType.STRUCT_OPS, MapFlag(0), MapFlag.LINK)
    assert (plain.value.name, plain.value_size) == ("tcp_congestion_ops", 32)
    assert (plain.relocations, linked.relocations) == ({16: "pick_threshold"}, {24: "start_up"})
    assert plain.contents.startswith(b"plain\0")
    assert spec.programs["pick_threshold"].attach_to == "tcp_congestion_ops:ssthresh"
    assert spec.programs["start_up"].attach_to == "tcp_congestion_ops:init"
