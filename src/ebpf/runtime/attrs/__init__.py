"""The part of `union bpf_attr` that each command takes (include/uapi/linux/bpf.h, up to Linux 7.0), and its members.

These are the one table of members: the offset stands beside the name, `within` is the name of the struct inside the
union. A member of a nested struct is spelled with its struct's name in front (`link_create.tracing.cookie` is
`LinkCreate.tracing_cookie`). tests/linux compares it all with the running kernel's BTF.

A record is a class whose body is the table: one line a member, with its offset. A metaclass turns the body into slots
and a constructor; packing and unpacking walk the table. Nothing here calls an operating system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, dataclass_transform

from ebpf.abi import types
from ebpf.abi.linux import EFAULT
from ebpf.abi.types import LINUX, NUMBER_MASK, TAG_SHIFT, TaggedEnum
from ebpf.errors import NotSupportedError
from ebpf.lazy import lazy_names

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.runtime.attrs.links import (
        IterCreate,
        LinkCreate,
        LinkDetach,
        LinkUpdate,
        ProgAttach,
        ProgQuery,
        RawTracepointOpen,
        TaskFdQuery,
    )
    from ebpf.runtime.attrs.loaded import ProgAssocStructOps, ProgBindMap, ProgStreamRead, ProgTestRun
    from ebpf.runtime.attrs.maps import MapBatch, MapCreate, MapElem
    from ebpf.runtime.attrs.objects import BtfLoad, EnableStats, GetId, ObjInfo, ObjPin, TokenCreate
    from ebpf.runtime.attrs.packing import Packed
    from ebpf.runtime.attrs.programs import ProgLoad
    from ebpf.runtime.attrs.table import RECORDS

    Tagged = Literal["AttachType", "MapType", "ProgramType"]
    """Names of enumerations of `ebpf.abi.types`, each of which is made when somebody needs it."""

__all__ = [
    "RECORDS", "Attr", "BtfLoad", "EnableStats", "GetId", "IterCreate", "LinkCreate", "LinkDetach", "LinkUpdate",
    "MapBatch", "MapCreate", "MapElem", "ObjInfo", "ObjPin", "ProgAssocStructOps", "ProgAttach", "ProgBindMap",
    "ProgLoad", "ProgQuery", "ProgStreamRead", "ProgTestRun", "RawTracepointOpen", "TaskFdQuery", "TokenCreate",
    "text_of",
]  # fmt: skip

__getattr__ = lazy_names(__name__, {
    "links": (
        "IterCreate", "LinkCreate", "LinkDetach", "LinkUpdate", "ProgAttach", "ProgQuery", "RawTracepointOpen",
        "TaskFdQuery",
    ),
    "loaded": ("ProgAssocStructOps", "ProgBindMap", "ProgStreamRead", "ProgTestRun"),
    "maps": ("MapBatch", "MapCreate", "MapElem"),
    "objects": ("BtfLoad", "EnableStats", "GetId", "ObjInfo", "ObjPin", "TokenCreate"),
    "programs": ("ProgLoad",),
    "table": ("RECORDS",),
})  # fmt: skip

_DEFAULTS: dict[str, Any] = {"int": 0, "name": b""}


class Member:
    """One member: where it lies, and how its Python value becomes bytes.

    `written` says which commands write it: True for all. `length` names the members whose product is the size of what
    a pointer points at.
    """

    __slots__ = (
        "code",
        "default",
        "end",
        "kind",
        "least",
        "length",
        "most",
        "name",
        "offset",
        "size",
        "tagged",
        "written",
    )

    def __init__(
        self,
        offset: int,
        size: int,
        code: str,
        *,
        kind: str = "int",
        written: bool | tuple[int, ...] = False,
        tagged: Tagged | None = None,
        length: tuple[str | int, ...] = (),
    ) -> None:
        self.offset, self.size, self.end = offset, size, offset + size
        self.code, self.kind = code, kind
        self.written, self.tagged, self.length = written, tagged, length
        self.name = ""
        signed = code.islower()
        self.least = -(1 << 8 * size - 1) if signed else 0
        self.most = (1 << 8 * size - signed) - 1
        self.default: Any = _DEFAULTS.get(kind)

    def is_written(self, cmd: int) -> bool:
        return self.written if isinstance(self.written, bool) else cmd in self.written


class Alias:
    """A second name for a member of the same record (a C union of the same type)."""

    __slots__ = ("of",)

    def __init__(self, of: str) -> None:
        self.of = of


def u32(offset: int, *, written: bool = False, tagged: Tagged | None = None) -> Any:
    """Declare an unsigned 32-bit member; `tagged` names the enumeration whose platform tag is stripped at packing."""
    return Member(offset, 4, "I", written=written, tagged=tagged)


def s32(offset: int) -> Any:
    """Declare a signed 32-bit member."""
    return Member(offset, 4, "i")


def u64(offset: int, *, written: bool = False) -> Any:
    """Declare an unsigned 64-bit member."""
    return Member(offset, 8, "Q", written=written)


def name16(offset: int) -> Any:
    """Declare a char[16]: bytes of which 15 are kept, so that a NUL follows."""
    return Member(offset, 16, "16s", kind="name")


def pointer(offset: int, *, length: str | tuple[str | int, ...] = (), written: bool | tuple[int, ...] = False) -> Any:
    """Declare a pointer to memory: a Buffer or None."""
    parts = (length,) if isinstance(length, str) else length
    return Member(offset, 8, "Q", kind="pointer", written=written, length=parts)


def string(offset: int) -> Any:
    """Declare a pointer to text that ends in NUL: bytes, with or without that NUL, or None."""
    return Member(offset, 8, "Q", kind="string")


def strings(offset: int) -> Any:
    """Declare a pointer to an array of pointers to text: a sequence of bytes or None."""
    return Member(offset, 8, "Q", kind="strings")


def nested(of: str) -> Any:
    """Declare what the pointers inside another member's buffer point at: {byte offset in it: Buffer} or None."""
    return Member(0, 0, "", kind="nested", length=(of,))


def alias(of: str) -> Any:
    """Declare a second name of a member."""
    return Alias(of)


@dataclass_transform(kw_only_default=True, eq_default=False)
class RecordType(type):
    """Metaclass of the records; `commands` take them, `within` is the name of the struct inside the union.

    An anonymous struct's name is "".
    """

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        commands: tuple[int, ...] = (),
        within: str = "",
    ) -> RecordType:
        members = {key: value for key, value in namespace.items() if isinstance(value, Member)}
        for key, member in members.items():
            member.name = key
            del namespace[key]
        for key, value in list(namespace.items()):
            if isinstance(value, Alias):
                namespace[key] = _forward(value.of)
        namespace |= {
            "__slots__": tuple(members),
            "MEMBERS": members,
            "WITHIN": within,
            "COMMANDS": frozenset(commands),
        }
        return super().__new__(mcls, name, bases, namespace)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: Any) -> None:
        super().__init__(name, bases, namespace)


def _forward(name: str) -> property:
    def get(record: Attr) -> Any:
        return getattr(record, name)

    def put(record: Attr, value: Any) -> None:
        setattr(record, name, value)

    return property(get, put, doc=f"The same member as `{name}`.")


class Attr(metaclass=RecordType):
    """What one bpf() command reads and writes. Members are keyword arguments, 0 or None where not given.

    A pointer member holds a buffer: `bytes` is enough where the kernel reads, a bytearray or writable memoryview is
    needed where it writes. Buffers stay the caller's. Not for use by several threads at once.
    """

    MEMBERS: ClassVar[dict[str, Member]]
    WITHIN: ClassVar[str]
    COMMANDS: ClassVar[frozenset[int]]

    def __init__(self, **values: Any) -> None:
        for name, member in self.MEMBERS.items():
            setattr(self, name, values.pop(name) if name in values else member.default)
        for name, value in values.items():
            if not isinstance(getattr(type(self), name, None), property):
                raise TypeError(f"{type(self).__name__} has no member {name!r}")
            setattr(self, name, value)

    def __repr__(self) -> str:
        shown = " ".join(f"{name}={_show(value)}" for name, value in self._set())
        return f"{type(self).__name__}({shown})"

    def _set(self) -> list[tuple[str, Any]]:
        values = ((name, getattr(self, name)) for name in self.MEMBERS)
        return [(name, value) for name, value in values if not unset(value)]

    def number(self, name: str, *, platform: int = LINUX, runtime: str = "linux") -> int:
        """Return a member's number without its platform tag; NotSupportedError where it is another platform's."""
        member = self.MEMBERS[name]
        return untag(getattr(self, name), member, platform=platform, runtime=runtime)

    def check_numbers(self) -> None:
        """Refuse a number that does not fit its member (ValueError), as packing does."""
        for name, member in self.MEMBERS.items():
            if member.kind == "int" and not member.least <= getattr(self, name) <= member.most:
                raise self.misfit(member)

    def misfit(self, member: Member) -> ValueError:
        """Return the error of a number that does not fit its member."""
        value = getattr(self, member.name)
        return ValueError(f"{type(self).__name__}.{member.name} = {value!r} does not fit {member.size} bytes")

    def check_lengths(self, cmd: int) -> None:
        """Refuse a buffer shorter than its length member says: EFAULT, as a kernel answers to an unmapped address."""
        for name, member in self.MEMBERS.items():
            if member.length and member.kind == "pointer":
                self._check_length(cmd, name, member)

    def _check_length(self, cmd: int, name: str, member: Member) -> None:
        buffer = getattr(self, name)
        if buffer is None:
            return
        needed = 1
        for factor in member.length:
            needed *= factor if isinstance(factor, int) else getattr(self, factor)
        have = memoryview(buffer).nbytes
        if have < needed:
            from ebpf.runtime.errors import system_call_error

            raise system_call_error(cmd, EFAULT, message=f"{name} holds {have} bytes, {needed} are asked for")

    def pack(self, cmd: int, *, platform: int = LINUX, runtime: str = "linux") -> Packed:
        """Return the record as bytes in this machine's byte order.

        The size ends with the last member that is set or that the kernel writes: a kernel that does not know the
        members behind it accepts zeroes there. Raises NotSupportedError for another platform's constant, ValueError
        for a number that does not fit, TypeError where the kernel would write to read-only memory.
        """
        from ebpf.runtime.attrs import packing

        return packing.pack(self, cmd, platform, runtime)

    def unpack(self, cmd: int, buffer: Buffer) -> None:
        """Write what the kernel left in a packed record back into the members that it writes."""
        from ebpf.runtime.attrs import packing

        packing.unpack(self, cmd, buffer)


def unset(value: Any) -> bool:
    """Whether a member says nothing."""
    # By type, because == and truth of an array of numbers are arrays.
    return value is None or (isinstance(value, int | bytes) and not value)


def untag(value: int, member: Member, *, platform: int, runtime: str) -> int:
    """Strip the platform tag of a constant; raise NotSupportedError when it belongs to another platform's kernel."""
    if member.tagged is None or value >> TAG_SHIFT == platform:
        return value & NUMBER_MASK if member.tagged else value
    enumeration: type[TaggedEnum] = getattr(types, member.tagged)
    constant = enumeration(value)
    from ebpf.abi.platform import Platform

    raise NotSupportedError(
        f"{member.tagged}.{constant.name} of {constant.platform.name.title()}",
        runtime=runtime,
        alternative=f"it takes constants of {Platform(platform).name.title()}",
    )


def text_of(value: Buffer | None) -> str:
    """Return the text of a string or name member, without its NUL; "" for None."""
    return bytes(value or b"").partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _show(value: Any) -> str:
    if isinstance(value, Enum):
        return value.name or repr(value.value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes) and len(value) <= 16 and value.isascii() and value.decode("ascii").isprintable():
        return value.decode("ascii")
    if isinstance(value, Mapping):
        return f"<{len(value)} buffers>"
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} items>"
    return f"<{memoryview(value).nbytes} bytes>"
