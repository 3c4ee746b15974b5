"""How decoded values are shown: on one line for people, as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from ebpf.btf import ByteTuple

_MOST_NUMBERS = 4
"""Bytes that are shown as numbers, as in an IPv4 address; more of them are hex."""


class _Bytes(list[int]):
    """What `plain` makes of a ByteTuple: a list in JSON, hex on a line."""


def plain(value: Any) -> Any:
    """Turn a decoded value into what JSON knows: structs become objects, bytes hex, enumeration members their names."""
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, ByteTuple):
        return _Bytes(value)
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    # A union shows its members, not its bytes (`btf.Codec`).
    fields = getattr(value, "__shown__", None) or getattr(value, "__dataclass_fields__", None)
    if fields is not None:
        return {name: plain(getattr(value, name)) for name in fields}
    return str(value)


def brief(value: Any) -> str:
    """Show a decoded value on one line: `pid=7 comm=ls`, `{…}` around nested structs, hex for bytes."""
    shown = plain(value)
    if isinstance(shown, dict):
        return " ".join(f"{name}={_inner(item)}" for name, item in shown.items())
    return _inner(shown)


def members(value: Any) -> dict[str, str] | None:
    """Show each member of a decoded struct, as `brief` would; None for other values."""
    shown = plain(value)
    return {name: _inner(item) for name, item in shown.items()} if isinstance(shown, dict) else None


def _inner(shown: Any) -> str:
    if isinstance(shown, dict):
        return "{" + " ".join(f"{name}={_inner(item)}" for name, item in shown.items()) + "}"
    if isinstance(shown, _Bytes) and len(shown) > _MOST_NUMBERS:
        return bytes(shown).hex()
    if isinstance(shown, list):
        return "[" + " ".join(map(_inner, shown)) + "]"
    return str(shown)
