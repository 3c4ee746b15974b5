"""The numbered types of the eBPF system call: maps, programs, attach points, links and commands.

Linux numbers are those of include/uapi/linux/bpf.h, Windows numbers those of efW's ebpf_structs.h. The tag
in bits 28-30 (0 Linux, 1 Windows) keeps the two apart, so that a constant of one platform is never sent to the other.

Each name is imported on first use: Python makes an enumeration in 8 µs a member, and a program needs few of the 240.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Self

from ebpf.lazy import lazy_names

if TYPE_CHECKING:
    from ebpf.abi.platform import Platform
    from ebpf.abi.types.attach import AttachType
    from ebpf.abi.types.commands import Cmd
    from ebpf.abi.types.links import LinkType
    from ebpf.abi.types.maps import MapFlag, MapType, UpdateFlag
    from ebpf.abi.types.programflags import ProgramFlag
    from ebpf.abi.types.programs import ProgramType

__all__ = [
    "AttachType",
    "Cmd",
    "LinkType",
    "MapFlag",
    "MapType",
    "ProgramFlag",
    "ProgramType",
    "UpdateFlag",
]

__getattr__ = lazy_names(__name__, {
    "attach": ("AttachType",),
    "commands": ("Cmd",),
    "links": ("LinkType",),
    "maps": ("MapFlag", "MapType", "UpdateFlag"),
    "programflags": ("ProgramFlag",),
    "programs": ("ProgramType",),
})  # fmt: skip

LINUX, WINDOWS = 0, 1
"""The tags; `Platform` names them."""
TAG_SHIFT = 28
NUMBER_MASK = (1 << TAG_SHIFT) - 1


def tag(platform: int, number: int) -> int:
    """Combine a platform and its own number into a tagged constant."""
    if not 0 <= number <= NUMBER_MASK:
        raise ValueError(f"number {number} does not fit 28 bits")
    return platform << TAG_SHIFT | number


class TaggedEnum(IntEnum):
    """An enumeration whose members know their platform.

    An unknown number becomes a member on the fly (extensions and newer kernels define their own), so
    that it prints, compares and hashes like the others. Threads may share members.
    """

    @property
    def platform(self) -> Platform:
        """The platform whose kernel understands this constant."""
        from ebpf.abi.platform import Platform

        return Platform(self.value >> TAG_SHIFT)

    @property
    def number(self) -> int:
        """The number as that platform's kernel expects it, without the tag."""
        return self.value & NUMBER_MASK

    @property
    def label(self) -> str:
        """The CamelCase name used in listings and JSON (`LRUHash`)."""
        from ebpf.abi.labels import LABELS

        return LABELS.get((type(self).__name__, self.name)) or camel_case(self.name)

    @classmethod
    def for_platform(cls, platform: int, number: int) -> Self:
        """Return the constant `number` of `platform`, known or not."""
        return cls(tag(platform, number))

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or not 0 <= value < 2 << TAG_SHIFT:
            return None
        member = int.__new__(cls, value)
        prefix = "WINDOWS_" if value >> TAG_SHIFT else ""
        member._name_ = f"{prefix}UNKNOWN_{value & NUMBER_MASK}"
        member._value_ = value
        known = cls._value2member_map_.setdefault(value, member)
        assert isinstance(known, cls)
        return known


def camel_case(name: str) -> str:
    """Turn `SK_STORAGE` into `SkStorage`."""
    return "".join(part.capitalize() for part in name.split("_"))
