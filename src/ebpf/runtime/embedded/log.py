"""The log of PROG_LOAD and BTF_LOAD (kernel/bpf/log.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.linux import EINVAL, ENOSPC
from ebpf.runtime.embedded.buffers import put
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from typing_extensions import Buffer

_FIXED = 8
_KNOWN_LEVELS = 1 | 2 | 4 | _FIXED
_MAX_SIZE = 0xFFFFFFFF >> 2


class LoadLog:
    """Text for the caller's buffer: its end, or its beginning with BPF_LOG_FIXED, when it does not fit."""

    def __init__(self, level: int, size: int, buffer: Buffer | None) -> None:
        has_buffer = buffer is not None
        if has_buffer != bool(size) or (has_buffer and not level):
            raise Rejected(EINVAL, "log_buf, log_size and log_level go together")
        if level & ~_KNOWN_LEVELS or size > _MAX_SIZE:
            raise Rejected(EINVAL, f"log_level {level:#x} or log_size {size} is out of range")
        self._level = level
        self._size = size
        self._buffer = buffer
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Append a line, without its newline."""
        if self._level:
            self._lines.append(line)

    def finish(self) -> tuple[int, Rejected | None]:
        """Fill the buffer; return the bytes that the whole log takes, NUL included, and ENOSPC if it did not fit."""
        if not self._level:
            return 0, None
        text = "".join(f"{line}\n" for line in self._lines).encode() + b"\0"
        if self._buffer is None:
            return len(text), None
        if len(text) <= self._size:
            put(self._buffer, text, "log_buf")
            return len(text), None
        kept = text[: self._size - 1] + b"\0" if self._level & _FIXED else text[-self._size :]
        put(self._buffer, kept, "log_buf")
        return len(text), Rejected(ENOSPC, f"the log takes {len(text)} bytes, log_size is {self._size}")
