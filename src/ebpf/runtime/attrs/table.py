"""Which record each command takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.abi.types import Cmd
from ebpf.runtime import attrs

if TYPE_CHECKING:
    from ebpf.runtime.attrs import Attr

_RECORDS = [getattr(attrs, name) for name in attrs.__all__ if name[0].isupper() and name not in ("Attr", "RECORDS")]

RECORDS: dict[Cmd, type[Attr]] = {cmd: record for record in _RECORDS for cmd in map(Cmd, sorted(record.COMMANDS))}
"""Command → record."""
