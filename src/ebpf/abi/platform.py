"""The platforms by name. What only compares their numbers does without this enumeration."""

from __future__ import annotations

from enum import IntEnum

from ebpf.abi import types


class Platform(IntEnum):
    """The kernel whose numbering a constant follows."""

    LINUX = types.LINUX
    WINDOWS = types.WINDOWS
