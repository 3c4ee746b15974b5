"""C names as Python names: of attributes, of enumeration members, of classes."""

from __future__ import annotations

import keyword
import re

_FOREIGN = re.compile(r"[^0-9A-Za-z_]")
_DUNDER = re.compile(r"__.*__\Z")
_SUNDER = re.compile(r"_[^_](.*[^_])?_\Z")
_LONGEST = 512


def python_name(text: str) -> str:
    """Return a name that Python accepts: a keyword or `__dunder__` gets a trailing `_`, foreign characters become `_`.

    Soft keywords such as `match` and `type` stay as they are. Other languages' names (`Option<u32>`) become ASCII.
    """
    name = _FOREIGN.sub("_", text[:_LONGEST])
    if not name or name[0].isdigit():
        name = f"_{name}"
    return f"{name}_" if keyword.iskeyword(name) or _DUNDER.match(name) else name


def enumerator_name(text: str) -> str:
    """Return a name that IntEnum accepts: besides, `_single_` and `mro` get a trailing `_`."""
    name = python_name(text)
    return f"{name}_" if name == "mro" or _SUNDER.match(name) else name


class Names:
    """Gives every member of one type a name of its own: a duplicate gets a trailing `_`, then a number."""

    def __init__(self, *reserved: str) -> None:
        self._taken = set(reserved)
        self._next: dict[str, int] = {}

    def add(self, wanted: str) -> str:
        """Return the name for the next member, which would like to be `wanted`."""
        name = wanted
        if name in self._taken:
            name = f"{wanted}_"
        while name in self._taken:
            number = self._next.get(wanted, 2)
            self._next[wanted] = number + 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name
