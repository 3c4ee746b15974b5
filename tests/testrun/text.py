"""Helpers on text: snprintf, strncmp, strtol and strtoul. The format or string is in the read-only map."""

from __future__ import annotations

from itertools import product

from ebpf.abi.types import ProgramType
from tests.testrun.case import Case

TRACEPOINT = ProgramType.RAW_TRACEPOINT
KEEP = "r1 = map[out][0] ll; *(u64 *)(r1 + 0) = r0; r0 = 0; exit"
_STRING = 128
"""Where in the read-only map a string and an address lie."""


def _case(name: str, text: str, constants: bytes) -> Case:
    return Case(name=name, type=TRACEPOINT, text=text, data=b"", wants_data=False, constants=constants)


def snprintf(form: bytes, *arguments: int | str, size: int = 64, count: int | None = None) -> Case:
    """Print into out[64]; the arguments "string" and "address" stand for pointers to such."""
    lines = []
    for n, value in enumerate(arguments):
        if isinstance(value, str):
            place = {"string": _STRING, "address": _STRING + 32}[value]
            lines.append(f"r1 = map[ro][{place}] ll")
        else:
            lines.append(f"r1 = {value & (1 << 64) - 1:#x} ll")
        lines.append(f"*(u64 *)(r10 - {8 * (len(arguments) - n)}) = r1")
    total = 8 * len(arguments) if count is None else count
    text = f"""
        {"; ".join(lines) or "r1 = 0"}
        r1 = map[out][64] ll
        *(u64 *)(r1 + 0) = -1
        *(u64 *)(r1 + 8) = -1
        r2 = {size}
        r3 = map[ro][0] ll
        r4 = {"r10" if arguments else "0"}
        {f"r4 += -{8 * len(arguments)}" if arguments else "r4 = 0"}
        r5 = {total}
        call bpf_snprintf
        {KEEP}
    """
    constants = form.ljust(_STRING, b"\0") + b"hello, world".ljust(32, b"\0") + bytes(range(0xC0, 0xD0)) + bytes(16)
    shown = ", ".join(map(str, arguments))
    return _case(
        f"snprintf({form!r}, {shown}) size {size}" + ("" if count is None else f" count {count}"), text, constants
    )


NUMBERS = [
    snprintf(b"<%" + flags + width + kind + b">", value)
    for flags in (b"", b"0", b"+", b"-", b" ", b"0+", b"-0", b"+ ")
    for width in (b"", b"8")
    for kind in (b"d", b"x", b"llu")
    for value in (0, 42, -42)
]
NUMBERS += [
    snprintf(b"%" + kind, value)
    for kind in (
        b"d",
        b"i",
        b"u",
        b"x",
        b"X",
        b"ld",
        b"li",
        b"lu",
        b"lx",
        b"lX",
        b"lld",
        b"llu",
        b"llx",
        b"llX",
        b"c",
        b"3c",
        b"-3c",
    )
    for value in (0, 65, -1, 0x80000000, 0xFFFFFFFF, 0x123456789ABCDEF0, 1 << 63)
]
STRINGS = [
    snprintf(form, argument)
    for form in (b"%s", b"<%s>", b"%20s", b"%-20s|", b"%020s", b"%5s", b"%pks", b"%s %%", b"%%%s%%")
    for argument in ("string", 0)
]
POINTERS = [
    snprintf(form, argument)
    for form in (b"%pI4", b"%pi4", b"%pI6", b"%pi6", b"%pI4abc def", b"<%pI6>", b"%20pI4", b"%pus")
    for argument in ("address", 0)
]
POINTERS += [
    snprintf(form, value)
    for form in (b"%px", b"%20px", b"%-20px|", b"%5px", b"<%px>", b"%-px|", b"%+px", b"%0px", b"%020px")
    for value in (0, 1, 0xFFFF, (1 << 64) - 2)
]
POINTERS += [snprintf(form, 0) for form in (b"%p", b"<%p>")]
MIXED = [
    snprintf(b"%d %s %x %c", 1, "string", 255, 66),
    snprintf(b"%s %s %pI4 %llu", "string", "string", "address", 1 << 40),
    snprintf(b"%d %d %d %d %d %d %d %d %d %d %d %d", *range(12)),
    snprintf(b"no arguments"),
    snprintf(b""),
    snprintf(b"100%%"),
    snprintf(b"more arguments than needed %d", 1, 2, 3),
    snprintf(b"\t tabs \n lines", 1),
    *(snprintf(form, 1) for form in (b"\xc3\xa4", b"%d\xff", b"%s\xa1", b"%s.", b"%pxa", b"%px\xe4", b"\x80%x\x9f")),
    snprintf(b"%s\xa0%s", "string", "string"),
]
TRUNCATED = [snprintf(b"%s and %d", "string", 123456, size=size) for size in (1, 2, 12, 13, 17, 20, 23, 24)]
WRONG = [
    snprintf(form, 1, "string")
    for form in (
        b"%",
        b"%z",
        b"%5",
        b"%.3d",
        b"%hd",
        b"%lld%",
        b"%d %d %d",
        b"%pI5",
        b"%pZ",
        b"%sx",
        b"%s3",
        b"%pks3",
        b"%l",
        b"%lls",
        b"%n",
        b"\x01",
        b"\x7f",
        b"%s\xc3",
        b"%p\xc3",
        b"%*d",
        b"%#x",
        b"%o",
        b"%e",
        b"%d%%%",
    )
]
COUNTS = [snprintf(b"%d", 1, count=count) for count in (1, 4, 7)]

STRNCMP = [
    _case(
        f"strncmp({left!r}, {size}, {right!r})",
        f"""
            r6 = map[out][64] ll
            {"; ".join(f"*(u8 *)(r6 + {n}) = {byte}" for n, byte in enumerate(left))}
            r1 = r6; r2 = {size}; r3 = map[ro][0] ll
            call bpf_strncmp
            {KEEP}
        """,
        right + b"\0after",
    )
    for left, right in (
        (b"abc", b"abc"),
        (b"abc", b"abd"),
        (b"abd", b"abc"),
        (b"ab", b"abc"),
        (b"abc", b"ab"),
        (b"\xff", b"\x01"),
        (b"abc", b"abcdef"),
        (b"a\0c", b"a"),
        (b"abcdef", b"abcxyz"),
    )
    for size in (1, 2, 3, 8)
]

TO_NUMBER = [
    _case(
        f"{helper}({text!r}, {flags})",
        f"""
            r6 = map[out][64] ll
            {"; ".join(f"*(u8 *)(r6 + {n}) = {byte}" for n, byte in enumerate(text))}
            *(u64 *)(r10 - 8) = -7
            r1 = r6; r2 = {len(text)}; r3 = {flags}; r4 = r10; r4 += -8
            call bpf_{helper}
            r2 = *(u64 *)(r10 - 8)
            r1 = map[out][8] ll
            *(u64 *)(r1 + 0) = r2
            {KEEP}
        """,
        b"unused",
    )
    for helper, text, flags in (
        *product(
            ("strtol", "strtoul"),
            (
                b"0",
                b"1",
                b"-1",
                b"+1",
                b" 42",
                b"\t\n-42xyz",
                b"12a",
                b"a12",
                b"0x1f",
                b"0X1F",
                b"0x",
                b"0xg",
                b"017",
                b"08",
                b"-0x10",
                b"- 1",
                b"--1",
                b" ",
                b"-",
                b"9223372036854775807",
                b"9223372036854775808",
                b"-9223372036854775808",
                b"-9223372036854775809",
                b"18446744073709551615",
                b"18446744073709551616",
                b"12\x0034",
                b"\xa05",
                b"1_000",
                b"0" * 62 + b"77",
                b"0" * 70 + b"7",
                b"\0",
                b"FFFF",
            ),
            (0, 8, 10, 16),
        ),
        *product(("strtol",), (b"12",), (1, 2, 31, 32, 36, 1 << 20)),
    )
]

CASES = [*NUMBERS, *STRINGS, *POINTERS, *MIXED, *TRUNCATED, *STRNCMP, *TO_NUMBER]
REFUSED = [*WRONG, *COUNTS]
"""What the kernel refuses at load; the vm has no verifier that follows constants, and faults when it runs."""
