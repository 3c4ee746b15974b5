"""Helpers on text (kernel/bpf/helpers.c, kernel/trace/bpf_trace.c): printing, comparing, reading numbers."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack, unpack
from typing import Any

from ebpf.abi.helpers import Helper
from ebpf.abi.linux import EINVAL, ERANGE
from ebpf.vm import M64
from ebpf.vm.fault import Fault
from ebpf.vm.helpers.format import MAX_ARGUMENTS, format_text
from ebpf.vm.machine import Run

MAX_TRACE = 1024
"""Size of a trace line with its zero byte (MAX_BPRINTF_BUF)."""
_BASES = (0, 8, 10, 16)
_BASE_MASK = 0x1F
_MAX_DIGITS = 63
_SPACE = b" \t\n\v\f\r\xa0"


def _readable(run: Run) -> Callable[[int, int], bytes | None]:
    def read(address: int, size: int) -> bytes | None:
        try:
            return run.memory.view(address, min(size, run.memory.remaining(address))).tobytes()
        except Fault:
            return None

    return read


def _arguments(data: memoryview) -> tuple[int, ...] | None:
    if len(data) % 8 or len(data) > MAX_ARGUMENTS * 8:
        return None
    return unpack(f"<{len(data) // 8}Q", data)


def _print(run: Run, text: memoryview, arguments: tuple[int, ...]) -> int:
    format_, end, _ = text.tobytes().partition(b"\0")
    line = format_text(format_, arguments, _readable(run)) if end else -EINVAL
    if isinstance(line, int):
        return line
    run.kernel.trace(line[: MAX_TRACE - 1].decode("utf-8", "backslashreplace"))
    return len(line)


def _trace_printk(run: Run, text: memoryview, size: int, first: int, second: int, third: int) -> int:
    return _print(run, text, (first, second, third))


def _trace_vprintk(run: Run, text: memoryview, size: int, data: memoryview, data_size: int) -> int:
    arguments = _arguments(data)
    return -EINVAL if arguments is None else _print(run, text, arguments)


def _snprintf(run: Run, out: memoryview, size: int, text: bytes, data: memoryview, data_size: int) -> int:
    arguments = _arguments(data)
    line = -EINVAL if arguments is None else format_text(text, arguments, _readable(run))
    if isinstance(line, int):
        # The verifier refuses such programs: the format is constant.
        raise Fault("helper", f"invalid format {text!r} for {data_size} bytes of arguments")
    if size:
        kept = line[: size - 1] + b"\0"
        out[: len(kept)] = kept
    return len(line) + 1


def _compare(run: Run, text: memoryview, size: int, other: bytes) -> int:
    left, right = text.tobytes().partition(b"\0")[0], other[:size]
    return (left > right) - (left < right)


def _to_number(text: bytes, flags: int) -> tuple[bool, int, int] | int:
    """Read sign, magnitude and length of a number; a negative errno without one."""
    base = flags & _BASE_MASK
    if base not in _BASES or flags & ~_BASE_MASK:
        return -EINVAL
    blank = len(text) - len(text.lstrip(_SPACE))
    negative = text[blank : blank + 1] == b"-"
    start = blank + negative
    digits = text[start : start + _MAX_DIGITS].partition(b"\0")[0].lower()
    prefixed = digits.startswith(b"0x")
    if base == 0:
        base = 10 if digits[:1] != b"0" else 16 if prefixed and digits[2:3] in _hexadecimal() else 8
    skip = 2 if base == 16 and prefixed else 0
    length = 0
    while digits[skip + length : skip + length + 1] in _digits(base):
        length += 1
    if not length:
        return -EINVAL
    magnitude = int(digits[skip : skip + length], base)
    return (negative, magnitude, start + skip + length) if magnitude <= M64 else -ERANGE


def _digits(base: int) -> frozenset[bytes]:
    return frozenset(b"%x" % digit for digit in range(base))


def _hexadecimal() -> frozenset[bytes]:
    return _digits(16)


def _signed(run: Run, text: memoryview, size: int, flags: int, result: memoryview) -> int:
    result[:] = bytes(8)
    number = _to_number(text.tobytes(), flags)
    if isinstance(number, int):
        return number
    negative, magnitude, length = number
    value = -magnitude if negative else magnitude
    if not -(1 << 63) <= value < 1 << 63:
        return -ERANGE
    result[:] = pack("<q", value)
    return length


def _unsigned(run: Run, text: memoryview, size: int, flags: int, result: memoryview) -> int:
    result[:] = bytes(8)
    number = _to_number(text.tobytes(), flags)
    if isinstance(number, int):
        return number
    negative, magnitude, length = number
    if negative:
        return -EINVAL
    result[:] = pack("<Q", magnitude)
    return length


BODIES: dict[Helper, Callable[..., Any]] = {
    Helper.TRACE_PRINTK: _trace_printk,
    Helper.TRACE_VPRINTK: _trace_vprintk,
    Helper.SNPRINTF: _snprintf,
    Helper.STRNCMP: _compare,
    Helper.STRTOL: _signed,
    Helper.STRTOUL: _unsigned,
}
