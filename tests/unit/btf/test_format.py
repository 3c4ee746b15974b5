"""Types as C text, and as clang understands it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ebpf.btf import Btf, Builder, Struct, Union, bit_span, format_definition, format_header, format_raw, format_type
from ebpf.errors import BtfError
from tests.unit.btf.samples import every_kind

USES: list[tuple[Callable[[Builder], int], str]] = [
    (lambda b: 0, "void"),
    (lambda b: b.add_int("int", 4), "int"),
    (lambda b: b.add_pointer(0), "void *"),
    (lambda b: b.add_pointer(b.add_const(b.add_int("char", 1))), "const char *"),
    (lambda b: b.add_const(b.add_pointer(b.add_int("char", 1))), "char *const"),
    (lambda b: b.add_pointer(b.add_pointer(b.add_struct("sk_buff", 0))), "struct sk_buff **"),
    (lambda b: b.add_array(b.add_array(b.add_int("int", 4), 3), 2), "int[2][3]"),
    (lambda b: b.add_pointer(b.add_array(b.add_int("int", 4), 3)), "int (*)[3]"),
    (lambda b: b.add_array(b.add_pointer(b.add_int("int", 4)), 3), "int *[3]"),
    (lambda b: b.add_pointer(b.add_func_proto(0, [("", b.add_pointer(0)), ("n", b.add_int("int", 4))])),
     "void (*)(void *, int n)"),
    (lambda b: b.add_func_proto(b.add_int("int", 4), []), "int (void)"),
    (lambda b: b.add_pointer(b.add_func_proto(0, [("fmt", b.add_pointer(0)), ("", 0)])), "void (*)(void *fmt, ...)"),
    (lambda b: b.add_typedef("__u32", b.add_int("unsigned int", 4)), "__u32"),
    (lambda b: b.add_enum("color", {}), "enum color"),
    (lambda b: b.add_fwd("u", union=True), "union u"),
    (lambda b: b.add_pointer(b.add_type_tag("user", b.add_fwd("s"))),
     'struct s __attribute__((btf_type_tag("user"))) *'),
    (lambda b: b.add_struct("", 4, [("x", b.add_int("int", 4), 0)]), "struct { int x; }"),
    (lambda b: b.add_enum("", {"A": 1, "B": 2}), "enum { A = 1, B = 2, }"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "text"), USES, ids=[text for _, text in USES])
def test_uses(make: Callable[[Builder], int], text: str) -> None:
    b = Builder()
    id_ = make(b)
    assert format_type(b.build().by_id(id_)) == text


def test_a_definition_with_everything_inside() -> None:
    b = Builder()
    u32, char = b.add_int("unsigned int", 4), b.add_int("char", 1)
    inner = b.add_struct("", 4, [("x", u32, 0)])
    either = b.add_union("", 4, [("word", u32, 0), ("", inner, 0)])
    callback = b.add_pointer(b.add_func_proto(u32, [("", u32)]))
    text = b.add_array(char, 4)
    members = [
        ("low", u32, 0, 3),
        ("high", u32, 5, 2),
        ("", either, 64, 0),
        ("fn", callback, 128, 0),
        ("text", text, 192, 0),
    ]
    outer = b.add_struct("outer", 40, members)
    assert format_definition(b.build().by_id(outer)) == (
        "struct outer {\n"
        "\tunsigned int low: 3;\n"
        "\tchar: 2;\n"
        "\tunsigned int high: 2;\n"
        "\tlong: 57;\n"
        "\tunion {\n"
        "\t\tunsigned int word;\n"
        "\t\tstruct {\n"
        "\t\t\tunsigned int x;\n"
        "\t\t};\n"
        "\t};\n"
        "\tunsigned int (*fn)(unsigned int);\n"
        "\tchar text[4];\n"
        "\tlong: 32;\n"
        "\tlong: 64;\n"
        "};"
    )


def test_definitions_of_each_kind() -> None:
    btf = every_kind()
    texts = {
        "color": "enum color {\n\tRED = 0,\n\tGREEN = 1,\n\tBLUE = -1,\n};",
        "wide": "enum wide {\n\tLOW = 0ULL,\n\tHIGH = 1099511627776ULL,\n};",
        "bits": "struct bits {\n\tunsigned int a: 3;\n\tunsigned int b: 7;\n};",
        "either": "union either {\n\tunsigned int number;\n\tstruct bits bits;\n};",
        "__u32": "typedef volatile unsigned int __u32;",
        "handler": 'unsigned int handler(struct event __attribute__((btf_type_tag("user"))) *ctx, unsigned int n);',
        "count": "extern unsigned long long count;",
        ".data": "extern unsigned long long count;\nextern unsigned int limit;",
        "opaque": "struct opaque;",
    }
    for name, text in texts.items():
        type_ = btf.find(name)
        assert type_ is not None
        assert format_definition(type_) == text


def test_raw_lines() -> None:
    btf = every_kind()
    texts = {
        "event": "STRUCT 'event' size=32 vlen=4\n\t'pid' type_id=1 bits_offset=0\n\t'color' type_id=7 bits_offset=32\n"
        "\t'comm' type_id=6 bits_offset=64\n\t'ns' type_id=4 bits_offset=192",
        "opaque": "FWD 'opaque' fwd_kind=struct",
        ".data": "DATASEC '.data' size=12 vlen=2\n\ttype_id=22 offset=0 size=8 (VAR 'count')"
        "\n\ttype_id=23 offset=8 size=4 (VAR 'limit')",
        "color": "ENUM 'color' encoding=SIGNED size=4 vlen=3\n\t'RED' val=0\n\t'GREEN' val=1\n\t'BLUE' val=-1",
    }
    for name, text in texts.items():
        type_ = btf.find(name)
        assert type_ is not None
        assert format_raw(type_) == f"[{type_.id}] {text}"


def test_a_header_defines_before_it_uses() -> None:
    b = Builder()
    u32 = b.add_int("unsigned int", 4)
    user = b.add_struct("user", 16, [("inner", b.next_id + 1, 0), ("next", b.next_id + 3, 64)])
    b.add_typedef("inner_t", b.next_id + 1)
    b.add_struct("inner", 8, [("x", u32, 0), ("y", u32, 32)])
    b.add_pointer(user)
    b.add_enum("", {"LIMIT": 5})
    b.add_enum("twice", {"LIMIT": 6})
    header = format_header(b.build())
    order = [header.index(text) for text in ("struct inner {", "typedef struct inner inner_t;", "struct user {")]
    assert order[2] == max(order)
    assert "LIMIT = 6" in header
    assert "LIMIT___2 = 5" in header


def test_types_of_one_name_are_told_apart() -> None:
    b = Builder()
    b.add_struct("same", 0)
    second = b.add_struct("same", 8, [("p", b.next_id + 1, 0)])
    b.add_pointer(second)
    header = format_header(b.build())
    assert "struct same {\n};" in header
    assert "struct same___2 {\n\tstruct same___2 *p;\n};" in header


CLANG = shutil.which("clang-19") or shutil.which("clang")


def layout_claims(btf: Btf) -> list[str]:
    """Assert in C what BTF says of every named struct and union."""
    claims = []
    for type_ in btf:
        if isinstance(type_, (Struct, Union)) and type_.name and len(btf.find_all(type_.name)) == 1:
            word = f"{type_.kind.name.lower()} {type_.name}"
            claims.append(f'_Static_assert(sizeof({word}) == {type_.size}, "{word}");')
            claims += [
                f'_Static_assert(__builtin_offsetof({word}, {m.name}) == {m.offset}, "{word}.{m.name}");'
                for m in type_.members
                if m.name and not bit_span(m)[1]
            ]
    return claims


@pytest.mark.skipif(CLANG is None, reason="clang is not installed")
def test_clang_lays_definitions_out_as_btf_says(tmp_path: Path) -> None:
    b = Builder()
    u8, u16, u32, u64 = (b.add_int(f"unsigned {n}", s) for n, s in (("char", 1), ("short", 2), ("int", 4), ("long", 8)))
    b.add_struct("tight", 15, [("a", u8, 0), ("b", u32, 8), ("c", u64, 40), ("d", u16, 104)])
    b.add_struct("holes", 64, [("a", u8, 0), ("b", u16, 128), ("c", u8, 320)])
    b.add_struct("gap", 4096, [("a", u64, 0), ("b", u8, 8 * 4000)])
    b.add_struct("bits", 16, [("a", u32, 0, 3), ("b", u32, 9, 20), ("c", u64, 40, 24), ("d", u8, 64, 0)])
    b.add_union("choice", 8, [("a", u64, 0), ("b", u8, 0)])
    b.add_enum("tiny", {"ONE": 1}, size=1)
    b.add_struct("with_tiny", 2, [("t", b.next_id - 1, 0), ("u", u8, 8)])
    btf = b.build()
    source = tmp_path / "layout.c"
    source.write_text(format_header(btf) + "\n".join(layout_claims(btf)))
    assert CLANG is not None
    done = subprocess.run(
        [CLANG, "-target", "bpf", "-Wno-everything", "-fsyntax-only", str(source)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(layout_claims(btf)) >= 20


def test_exploding_types_are_given_up() -> None:
    b = Builder()
    id_ = b.add_struct("", 0)
    for _ in range(30):
        id_ = b.add_struct("", 0, [("a", id_, 0), ("b", id_, 0)])
    top = b.add_struct("top", 0, [("x", id_, 0)])
    with pytest.raises(BtfError, match="expand to far more text"):
        format_definition(b.build().by_id(top))
