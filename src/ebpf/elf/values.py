"""Numbers of an object file that become members of enumerations."""

from __future__ import annotations

from ebpf.abi.types import MapFlag, MapType
from ebpf.errors import ElfError

_NUMBER_LIMIT = 1 << 28


def map_type(number: int, section: str, name: str) -> MapType:
    """Return a Linux map type, known to us or not. Raises ElfError for a number that no kernel can have."""
    if number >= _NUMBER_LIMIT:
        raise ElfError(f"map {name} is of type {number}, expected less than {_NUMBER_LIMIT}", section=section)
    return MapType(number)


def map_flags(number: int) -> MapFlag:
    """Return the flags, unknown ones included."""
    return MapFlag(number)
