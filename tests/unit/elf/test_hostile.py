"""Damaged objects: one error that says where, soon, and without taking memory that the file does not justify."""

from __future__ import annotations

import struct
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from ebpf.elf import describe, read_bytes, read_file
from ebpf.elf.layout import SHT_RELA
from ebpf.errors import BtfError, ElfError, LinkingError, ObjectFileError
from tests.bounds import bounded
from tests.unit.elf.writer import CODE, FUNC, LOCAL, NOTYPE, SECTION, ObjectWriter

OBJECTS = Path(__file__).parents[2] / "objects"
GOOD = (OBJECTS / "maps.o").read_bytes()
RETURN = "r0 = 0\nexit"


def patched(offset, layout, *values, data=GOOD):
    damaged = bytearray(data)
    struct.pack_into(layout, damaged, offset, *values)
    return bytes(damaged)


HEADERS = {
    "nothing": (b"", "not an ELF file: it begins with nothing"),
    "text": (b"hello, world", "not an ELF file: it begins with 68 65 6c 6c"),
    "only the magic": (GOOD[:16], "truncated: an ELF header takes 64 bytes, the file has 16"),
    "half a header": (GOOD[:40], "truncated: an ELF header takes 64 bytes, the file has 40"),
    "half a file": (GOOD[: len(GOOD) // 2], "passes the end of the file"),
    "one byte short": (GOOD[:-1], "passes the end of the file"),
    "byte order": (patched(5, "B", 3), "byte order 3, expected 1 (little) or 2 (big)"),
    "other byte order": (patched(5, "B", 2), "machine 63232, expected eBPF (EM_BPF 247)"),
    "x86-64": (patched(18, "<H", 62), "machine x86-64, expected eBPF (EM_BPF 247)"),
    "32 bits": (patched(4, "B", 1), "ELF class 1, expected 2 (64-bit)"),
    "executable": (patched(16, "<H", 2), "the file is an executable, expected a relocatable object"),
    "header size": (patched(58, "<H", 40), "section headers of 40 bytes, expected 64"),
    "no sections": (patched(60, "<H", 0), "0 sections, expected 1 to 16384"),
    "many sections": (patched(60, "<H", 0xFFFF), "65535 sections, expected 1 to 16384"),
    "more sections than file": (patched(60, "<H", 9999), "the table of 9999 section headers"),
    "table far away": (patched(40, "<Q", (1 << 64) - 64), "passes the end of the file"),
    "names nowhere": (patched(62, "<H", 999), "section names are in section 999"),
    "names in no string table": (patched(62, "<H", 0), "section 0 should be a string table"),
}


@pytest.mark.parametrize(("data", "message"), HEADERS.values(), ids=HEADERS.keys())
def test_damaged_header(data, message):
    with pytest.raises(ElfError) as caught:
        read_bytes(data, name="bad.o")

    assert message in str(caught.value)
    assert str(caught.value).startswith("bad.o")
    assert caught.value.path == "bad.o"


def test_a_program_of_this_machine_is_not_an_object():
    with open(sys.executable, "rb") as file:
        magic = file.read(4)
    if magic != b"\x7fELF":
        pytest.skip("this interpreter is not an ELF file")

    with pytest.raises(ElfError, match=r"machine .*, expected eBPF \(EM_BPF 247\)") as caught:
        read_file(sys.executable)
    assert caught.value.path == sys.executable


def writer():
    made = ObjectWriter()
    made.program("xdp", ("main", RETURN))
    return made


def relocated(section="xdp", offset=0, text="r1 = 0 ll\nr0 = 0\nexit", symbol=None, target=None):
    made = ObjectWriter()
    index = made.program(section, ("main", text))
    where = target(made) if target else index
    made.relocation(index, offset, made.symbol(*(symbol[0],), where, **symbol[1]) if symbol else 999)
    return made.build()


def section_case(change):
    made = writer()
    change(made)
    return made.build()


def _legacy(made):
    index = made.section("maps", struct.pack("<5I", 2, 4, 4, 1, 0))
    made.symbol("m", index, size=20)
    return index


def _function(made, code, *, size):
    made.symbol("f", made.section("tc", code, flags=CODE), size=size, type=FUNC)


def _rela(made):
    made.section(".relaxdp", bytes(24), type=SHT_RELA)
    made.sections[-1].info, made.sections[-1].entry_size = 1, 24


SECTIONS = {
    "relocation past the end": (
        relocated(offset=4096, symbol=("x", {})), ElfError, "lies past the end of xdp", ".relxdp"),
    "symbol out of range": (relocated(), ElfError, "symbol 999 does not exist", ".relxdp"),
    "relocation inside an instruction": (
        relocated(offset=4, symbol=("x", {})), ElfError, "inside an instruction of main", "xdp"),
    "relocation on the second half": (
        relocated(offset=8, symbol=("x", {})), ElfError, "inside an instruction of main", "xdp"),
    "relocation on the wrong instruction": (
        relocated(offset=16, symbol=("x", {})), LinkingError, "on opcode 0xb7", "xdp"),
    "data past the end": (
        relocated(symbol=("x", {"value": 64, "bind": LOCAL}), target=lambda made: made.section(".data", bytes(8))),
        LinkingError, "0x40 lies past the end of .data", "xdp"),
    "map that does not exist": (
        relocated(symbol=("", {"type": SECTION, "bind": LOCAL}), target=_legacy), LinkingError,
        "is not a global map", "xdp"),
    "symbol in a foreign section": (
        relocated(symbol=("x", {}), target=lambda made: made.section(".comment", bytes(8))), LinkingError,
        "can't refer to x in section .comment", "xdp"),
    "no function there": (
        relocated(symbol=("x", {"type": SECTION, "bind": LOCAL}), text="r1 = 8 ll\nr0 = 0\nexit"), LinkingError,
        "no function begins at 0x8", "xdp"),
    "call into the void": (
        section_case(lambda made: made.program("tc", ("second", "call 5\nexit"))).replace(
            bytes.fromhex("8500000005000000"), bytes.fromhex("8510000005000000")), LinkingError,
        "no function begins at 0x30 of tc", "tc"),
    "half an instruction": (
        section_case(lambda made: _function(made, bytes(12), size=12)), ElfError, "function f", "tc"),
    "half an ldimm64": (
        section_case(lambda made: _function(made, b"\x18" + bytes(7), size=8)), ElfError, "lacks its second", "tc"),
    "function past the end": (
        section_case(lambda made: _function(made, bytes(8), size=16)), ElfError, "passes the end of the section", "tc"),
    "functions that overlap": (
        section_case(lambda made: [made.symbol(f"f{at}", 1, value=at, size=16, type=FUNC) for at in (0, 8)]),
        ElfError, "passes the next function", "xdp"),
    "two programs of one name": (
        section_case(lambda made: made.program("tc", ("main", RETURN))), ElfError, "two programs are named main", "tc"),
    "variable past the end": (
        section_case(lambda made: made.symbol("v", made.section(".data", bytes(8)), value=4, size=8)),
        ElfError, "variable v of 8 bytes passes the end", ".data"),
    "variable twice": (
        section_case(
            lambda made: [made.symbol("v", made.section(name, bytes(8)), size=8) for name in (".data", ".data.b")]),
        ElfError, "variable v is defined twice", ".data.b"),
    "map definition cut short": (
        section_case(lambda made: made.symbol("m", made.section("maps", bytes(16)), size=16)), ElfError,
        "map m has 16 bytes, a definition takes 20", "maps"),
    "map type beyond all numbers": (
        section_case(lambda made: made.symbol("m", made.section("maps", b"\xff" * 20), size=20)), ElfError,
        "map m is of type 4294967295", "maps"),
    "maps without symbols": (
        section_case(lambda made: made.section("maps", bytes(20))), ElfError, "without symbols", "maps"),
    "maps without types": (
        section_case(lambda made: made.symbol("m", made.section(".maps", bytes(32)), size=32)), ElfError,
        "without type information", ".maps"),
    "version cut short": (
        section_case(lambda made: made.section("version", b"\1")), ElfError, "takes 4 bytes, found 1", "version"),
    "relocations with addends": (
        section_case(_rela), ElfError, "SHT_RELA", ".relaxdp"),
    "compressed program": (
        section_case(lambda made: made.section("tc", bytes(8), flags=CODE | 1 << 11)), ElfError,
        "compressed programs", "tc"),
    "types that are none": (section_case(lambda made: made.section(".BTF", b"nonsense")), BtfError, "", ".BTF"),
    "two data sections of one name": (
        section_case(lambda made: [made.symbol(f"v{n}", made.section(".data", bytes(8)), size=8) for n in (1, 2)]),
        ElfError, "two sections have this name", ".data"),
    "data beyond what a map holds": (
        section_case(lambda made: made.symbol("v", made.zeros(".bss", 1 << 40), size=8)), ElfError,
        "a map holds at most", ".bss"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "kind", "message", "section"), SECTIONS.values(), ids=SECTIONS.keys())
def test_damaged_section(data, kind, message, section):
    with pytest.raises(kind) as caught:
        read_bytes(data, name="bad.o")

    assert message in str(caught.value)
    assert (caught.value.path, caught.value.section) == ("bad.o", section)


def test_the_objects_that_are_damaged_here_are_good_before():
    spec = read_bytes(writer().build())

    assert list(spec.programs) == ["main"]


def test_functions_without_a_type_come_from_old_compilers():
    made = ObjectWriter()
    index = made.section("xdp", bytes.fromhex("b700000000000000 9500000000000000" * 2), flags=CODE)
    made.symbol("first", index, type=NOTYPE)
    made.symbol("second", index, value=16, type=NOTYPE)
    made.symbol("LBB0_1", index, value=8, type=NOTYPE, bind=LOCAL)

    programs = read_bytes(made.build()).programs
    assert {name: len(program.insns) for name, program in programs.items()} == {"first": 2, "second": 2}


def test_static_subprograms_of_one_name_keep_apart():
    made = ObjectWriter()
    index = made.program("xdp", ("main", "call 0\ncall 1\nexit"))
    text = made.program(".text", ("helper", RETURN), ("helper", "r0 = 1\nexit"))
    section = made.symbol("", text, type=SECTION, bind=LOCAL)
    made.relocation(index, 0, section)
    made.relocation(index, 8, section)
    made.sections[0].data = bytes.fromhex("85100000ffffffff 8510000001000000 9500000000000000")

    insns = read_bytes(made.build()).programs["main"].insns
    assert [insn.symbol for insn in insns if insn.symbol] == ["main", "helper", "helper.2"]
    assert [insn.imm for insn in insns if insn.opcode == 0xB7] == [0, 1]


def _wide(count):
    made = writer()
    for number in range(count):
        made.section(f".data.{number}", bytes(8))
    return made.build()


def _shared(programs, size):
    made = ObjectWriter()
    text = made.program(".text", ("big", "r0 = 0\n" * size + "exit"))
    section = made.symbol("", text, type=SECTION, bind=LOCAL)
    code = bytes.fromhex("85100000ffffffff 9500000000000000") * programs
    index = made.section("xdp", code, flags=CODE)
    for number in range(programs):
        made.symbol(f"p{number}", index, value=16 * number, size=16, type=FUNC)
        made.relocation(index, 16 * number, section)
    return made.build()


def _same_long_name(count):
    made = writer()
    made.symbol("n" * 1000, 1, type=NOTYPE)
    for _ in range(count):
        made.symbol("", 1, type=NOTYPE)
    data = bytearray(made.build())
    start = data.index(b"\0" + b"n" * 1000) + 1
    base = data.index(b"\0main\0")
    table = data.index(struct.pack("<IBBHQQ", start - base, 0x10, 0, 1, 0, 0))
    for number in range(1, count):
        struct.pack_into("<I", data, table + 24 * number, start - base + number % 900)
    return bytes(data)


def _same_section_name(count):
    """Sections of one name, about which the types of another object say much."""
    made = ObjectWriter()
    for number in range(count):
        index = made.section("xdp", bytes.fromhex("b7000000000000009500000000000000"), flags=CODE)
        made.symbol(f"f{number}", index, size=16, type=FUNC)
        made.symbol(f"m{number}", made.section("maps", struct.pack("<5I", 2, 4, 4, 1, 0)), size=20)
    strings = b"\0int\0xdp\0maps\0v\0"
    entries = 20_000
    types = struct.pack("<4I", 1, 1 << 24, 4, 32) + struct.pack("<4I", 14, 14 << 24, 1, 1)
    types += struct.pack("<3I", 9, 15 << 24 | entries, 4) + struct.pack("<3I", 2, 0, 4) * entries
    header = struct.pack("<HBB5I", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    made.section(".BTF", header + types + strings)
    lines = struct.pack("<3I", 16, 5, entries) + b"".join(struct.pack("<4I", 8 * n, 1, 1, 0) for n in range(entries))
    made.section(".BTF.ext", struct.pack("<HBB5I", 0xEB9F, 1, 0, 24, 0, 0, 0, len(lines)) + lines)
    return made.build()


def _many_symbols(count):
    made = writer()
    made.symbols += [("", 1, 0, 0, NOTYPE, LOCAL, 0)] * count
    return made.build()


def _zeros(size):
    made = writer()
    made.symbol("v", made.zeros(".bss", size), size=size)
    return made.build()


BIG = {
    "random bytes": lambda: b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 20000,
    "many sections": lambda: _wide(4000),
    "many programs that share a large subprogram": lambda: _shared(2000, 2000),
    "many symbols": lambda: _many_symbols(50_000),
    "sections that share their name": lambda: _same_section_name(1500),
    "names that share their tail": lambda: _same_long_name(20_000),
    "two gigabytes of zeros": lambda: _zeros((1 << 31) - 1),
    "a large file of nothing": lambda: GOOD + bytes(8 << 20),
}


@pytest.mark.parametrize("make", BIG.values(), ids=BIG.keys())
def test_time_and_memory_are_bounded(make):
    data = make()
    attempt(data)  # imports pyelftools
    bounded(lambda: attempt(data), len(data))


def attempt(data):
    with suppress(ObjectFileError):
        describe(read_bytes(data))


def test_sections_that_share_their_name_are_read():
    spec = read_bytes(_same_section_name(3))

    assert (list(spec.programs), len(spec.maps)) == (["f0", "f1", "f2"], 3)
    assert all(insn.source is not None for program in spec.programs.values() for insn in program.insns)


def test_programs_that_multiply_without_bounds_are_refused():
    with pytest.raises(LinkingError, match="too many instructions when linked"):
        read_bytes(_shared(3000, 3000))
