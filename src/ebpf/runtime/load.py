"""Loading a program with the verifier's log, the same way on every runtime (kernel/bpf/log.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.linux import BPF_PROG_LOAD, ENOSPC
from ebpf.errors import MissingPrivilegeError, SystemCallError
from ebpf.runtime.attrs import text_of

if TYPE_CHECKING:
    from ebpf.runtime.attrs import ProgLoad
    from ebpf.runtime.base import Runtime

LOG_START = 64 << 10
LOG_LIMIT = (1 << 30) - 1
"""Bytes of a log: at first, and what the kernel accepts at most (UINT_MAX >> 2)."""

BRANCHES = 1
"""Log level of a second attempt: every instruction once along each path (BPF_LOG_LEVEL1)."""

_ATTEMPTS = 30


def load_program(runtime: Runtime, attr: ProgLoad, *, log_level: int = 0) -> int:
    """Load a program; return its number, which the caller owns.

    With `log_level` 0 the first attempt writes no log, which is faster, and only a refusal is repeated for its
    reasons. Another level logs at once; `log_of(attr)` gives the text after success. The buffer grows until the log
    fits. Raises the runtime's SystemCallError with one more attribute, `log`: the verifier's text, "" without one.
    """
    if log_level == 0:
        attr.log_level, attr.log_size, attr.log_buf = 0, 0, None
        try:
            return runtime.bpf(BPF_PROG_LOAD, attr)
        except MissingPrivilegeError as error:
            # The verifier was never asked.
            error.log = ""  # type: ignore[attr-defined]  # a fact of this call alone
            raise
        except SystemCallError:
            log_level = BRANCHES
    return _load_with_log(runtime, attr, log_level)


def log_of(attr: ProgLoad) -> str:
    """Return the text in the log buffer of a load."""
    return text_of(attr.log_buf)


def _load_with_log(runtime: Runtime, attr: ProgLoad, level: int) -> int:
    size = LOG_START
    for _ in range(_ATTEMPTS):
        attr.log_level, attr.log_size, attr.log_buf, attr.log_true_size = level, size, bytearray(size), 0
        try:
            return runtime.bpf(BPF_PROG_LOAD, attr)
        except SystemCallError as error:
            # ENOSPC with an unfilled buffer is not about the log.
            if error.errno != ENOSPC or size >= LOG_LIMIT or not log_of(attr):
                error.log = log_of(attr)  # type: ignore[attr-defined]  # a fact of this call alone
                raise
            last = error
        size = min(max(attr.log_true_size, size * 2), LOG_LIMIT)
    last.log = log_of(attr)  # type: ignore[attr-defined]  # a fact of this call alone
    raise last


def object_name(text: str) -> bytes:
    """Return a name as kernels accept it: 15 bytes of letters, digits, `_` and `.`, others become `_`."""
    allowed = (char if char.isascii() and (char.isalnum() or char in "_.") else "_" for char in text)
    return "".join(allowed)[:15].encode("ascii")
