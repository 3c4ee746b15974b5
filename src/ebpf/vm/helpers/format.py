"""Formats of trace_printk and snprintf (bpf_bprintf_prepare in kernel/bpf/helpers.c, bstr_printf in lib/vsprintf.c).

They know %d %i %u %x %X (with l or ll), %c, %s, %p and its forms %px %pK %pks %pus %ps %pS %pB %pi4 %pI4 %pi6 %pI6,
with the flags 0, +, - and blank and a width; no precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from ebpf.abi.linux import EINVAL

MAX_ARGUMENTS = 12
"""MAX_BPRINTF_VARARGS."""

# The kernel's character classes are those of Latin-1.
_SPACE = frozenset(b" \t\n\v\f\r\xa0")
_PUNCTUATION = frozenset(byte for byte in range(0x21, 0x7F) if not chr(byte).isalnum()) | {
    *range(0xA1, 0xC0),
    0xD7,
    0xF7,
}
_ALPHANUMERIC = frozenset(byte for byte in range(0x80) if chr(byte).isalnum()) | {*range(0xC0, 0x100)} - {0xD7, 0xF7}
_DIGITS = frozenset(b"0123456789")
_FLAGS = frozenset(b"0+- ")
_INTEGERS = frozenset(b"diuxX")
_POINTER_WIDTH = 16
_MAX_WIDTH = (1 << 23) - 1


@dataclass(frozen=True, slots=True)
class Directive:
    """One conversion. `kind` is its letter, or for pointers `p` and what follows; `size` is 4 or 8 bytes."""

    flags: frozenset[int]
    width: int
    kind: str
    size: int = 4


Part = bytes | Directive


def parse(text: bytes) -> list[Part] | int:
    """Split a format into literal bytes and directives; -EINVAL where the kernel refuses it."""
    parts: list[Part] = []
    literal = bytearray()
    at = 0
    while at < len(text):
        if (text[at] < 0x20 and text[at] not in _SPACE) or text[at] == 0x7F:
            return -EINVAL
        if text[at] != ord("%"):
            literal.append(text[at])
            at += 1
        elif text[at + 1 : at + 2] == b"%":
            literal += b"%"
            at += 2
        else:
            directive = _directive(text, at + 1)
            if directive is None:
                return -EINVAL
            parts += [bytes(literal), directive[0]]
            literal.clear()
            at = directive[1]
    return [*parts, bytes(literal)]


def _directive(text: bytes, at: int) -> tuple[Directive, int] | None:
    start = at
    while text[at : at + 1] and text[at] in _FLAGS:
        at += 1
    flags = frozenset(text[start:at])
    start = at
    while text[at : at + 1] and text[at] in _DIGITS:
        at += 1
    width = _width(text[start:at]) if at > start else -1
    letter = text[at : at + 1]
    if letter == b"p":
        return _pointer(text, at + 1, flags, width)
    if letter == b"s":
        return (Directive(flags, width, "s"), at + 1) if _ends(text, at + 1) else None
    if letter == b"c":
        return Directive(flags, width, "c"), at + 1
    longs = 2 if text.startswith(b"ll", at) else int(letter == b"l")
    kind = text[at + longs : at + longs + 1]
    if not kind or kind[0] not in _INTEGERS:
        return None
    return Directive(flags, width, kind.decode(), 8 if longs else 4), at + longs + 1


def _width(digits: bytes) -> int:
    # The kernel reads the number into an int that wraps and then cuts it (skip_atoi, set_field_width).
    width = 0
    for digit in digits:
        width = (width * 10 + digit - ord("0")) & 0xFFFFFFFF
    return max(-_MAX_WIDTH, min(width - (width >> 31 << 32), _MAX_WIDTH))


def _ends(text: bytes, at: int) -> bool:
    return at >= len(text) or text[at] in _SPACE or text[at] in _PUNCTUATION


def _pointer(text: bytes, at: int, flags: frozenset[int], width: int) -> tuple[Directive, int] | None:
    if _ends(text, at):
        return Directive(flags, width, "p", 8), at
    for form in ("ks", "us"):
        if text.startswith(form.encode(), at):
            return (Directive(flags, width, "p" + form), _skip_word(text, at)) if _ends(text, at + 2) else None
    for form in ("K", "x", "s", "S", "B", "i4", "I4", "i6", "I6"):
        if text.startswith(form.encode(), at):
            return Directive(flags, width, "p" + form, 8), _skip_word(text, at)
    return None


def _skip_word(text: bytes, at: int) -> int:
    # The kernel's pointer conversions swallow all letters and digits that follow.
    while at < len(text) and text[at] in _ALPHANUMERIC:
        at += 1
    return at


def format_text(text: bytes, arguments: Sequence[int], read: Callable[[int, int], bytes | None]) -> bytes | int:
    """Format like the kernel; -EINVAL for a bad format or too few arguments.

    `read(address, size)` returns the bytes at an address, up to `size` and to the end of what is readable there;
    None where nothing is. Strings and addresses that can't be read print as empty and as zeros.
    """
    parts = parse(text)
    if isinstance(parts, int):
        return parts
    directives = [part for part in parts if isinstance(part, Directive)]
    if len(directives) > len(arguments):
        return -EINVAL
    values = iter(arguments)
    return b"".join(part if isinstance(part, bytes) else _convert(part, next(values), read) for part in parts)


def _convert(directive: Directive, value: int, read: Callable[[int, int], bytes | None]) -> bytes:
    kind = directive.kind
    if kind == "c":
        return _pad(directive, bytes((value & 0xFF,)))
    if kind == "s":
        return _pad(directive, _string(value, read))
    if kind in ("pks", "pus"):
        return _string(value, read) if kind == "pks" else b""
    if kind[0] != "p":
        return _number(directive, value)
    if kind[1:] in ("i4", "I4", "i6", "I6"):
        return _address(kind[1:], value, read)
    if kind in ("ps", "pS", "pB"):
        return f"{value:#x}".encode() if kind == "pB" else _pad(directive, f"{value:#x}".encode())
    if directive.width < 0:
        directive = replace(directive, flags=directive.flags | {ord("0")}, width=_POINTER_WIDTH)
    return _pad_number(directive, b"", b"%x" % value)


def _string(address: int, read: Callable[[int, int], bytes | None]) -> bytes:
    found = read(address, 512)
    return b"" if found is None else found.partition(b"\0")[0]


def _address(form: str, address: int, read: Callable[[int, int], bytes | None]) -> bytes:
    size = 4 if form[1] == "4" else 16
    found = read(address, size)
    if found is None or len(found) < size:
        found = bytes(size)
    if form == "I4":
        return b".".join(b"%d" % byte for byte in found)
    if form == "i4":
        return b".".join(b"%03d" % byte for byte in found)
    if form == "i6":
        return found.hex().encode()
    return IPv6Address(found).exploded.encode()


def _number(directive: Directive, value: int) -> bytes:
    bits = 8 * directive.size
    value &= (1 << bits) - 1
    if directive.kind in "xX":
        return _pad_number(directive, b"", f"{value:{directive.kind}}".encode())
    if directive.kind == "u":
        return _pad_number(directive, b"", b"%d" % value)
    if value >> bits - 1:
        return _pad_number(directive, b"-", b"%d" % ((1 << bits) - value))
    sign = b"+" if ord("+") in directive.flags else b" " if ord(" ") in directive.flags else b""
    return _pad_number(directive, sign, b"%d" % value)


def _pad_number(directive: Directive, sign: bytes, digits: bytes) -> bytes:
    if ord("0") in directive.flags and ord("-") not in directive.flags:
        return sign + digits.rjust(directive.width - len(sign), b"0")
    return _pad(directive, sign + digits)


def _pad(directive: Directive, text: bytes) -> bytes:
    return text.ljust(directive.width) if ord("-") in directive.flags else text.rjust(directive.width)
