"""A program as engines run it, and the request that makes one (what BPF_PROG_LOAD carries)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ebpf.plain import NamedTuple
from ebpf.vm.fault import Rejected

if TYPE_CHECKING:
    from ebpf.abi.types import AttachType, ProgramType
    from ebpf.vm.maps import Map

__all__ = [
    "LoadRequest", "Log", "Program", "Rejected", "Slot", "decode_slots", "encode_slots", "load_program", "positions",
    "table_of",
]  # fmt: skip

NATIVE = "native"
"""Name of the engine that runs code of images, and its key in `Program.compiled`."""

Log = Callable[[str], None]
"""Takes one line of the load log, without its newline (`lines.append` will do)."""

_SLOT = struct.Struct("<BBhi")


class Slot(NamedTuple):
    """Eight bytes of code. The second half of ldimm64 is a slot of its own with opcode 0."""

    opcode: int
    dst: int
    src: int
    off: int
    imm: int


def decode_slots(code: bytes) -> list[Slot]:
    """Split little-endian code into slots; `off` and `imm` are signed. The length must be a multiple of 8."""
    new = tuple.__new__
    return [new(Slot, (opcode, regs & 15, regs >> 4, off, imm)) for opcode, regs, off, imm in _SLOT.iter_unpack(code)]


def encode_slots(slots: list[Slot] | tuple[Slot, ...]) -> bytes:
    """Join slots into little-endian code."""
    pack = _SLOT.pack
    return b"".join([pack(opcode, src << 4 | dst, off, imm) for opcode, dst, src, off, imm in map(tuple, slots)])


def table_of(values: Iterable[int]) -> bytes:
    """Return a table for `bytes.translate` that has a 1 for these bytes, 0 for the others."""
    table = bytearray(256)
    for value in values:
        table[value] = 1
    return bytes(table)


def positions(data: bytes, value: int = 1) -> Iterator[int]:
    """Return where in `data` the byte is, in order. Of a few among many it is much faster than to look at each."""
    at = data.find(value)
    while at >= 0:
        yield at
        at = data.find(value, at + 1)


class LoadRequest(NamedTuple):
    """What is to be loaded.

    `insns` is little-endian code. `map_by_fd` and `map_by_index` (entries of fd_array) return None for a number that
    is no map's. `source_line` maps a slot to its line of source code. `limit` is the most slots accepted.
    `attach_type` is expected_attach_type. `license` decides about GPL-only helpers.
    """

    type: ProgramType
    insns: bytes
    attach_type: AttachType | None = None
    license: str = ""
    flags: int = 0
    name: str = ""
    map_by_fd: Callable[[int], Map | None] = lambda fd: None
    map_by_index: Callable[[int], Map | None] = lambda index: None
    source_line: Callable[[int], str | None] = lambda slot: None
    limit: int = 1_000_000


class Program:
    """A checked and lowered program. Not to be changed; threads may share it.

    `insns` is the code as it was given, `lowered` what engines run, one Slot per 8 bytes: accesses to the public
    context became accesses to the internal one, map references indices into `maps` (ldimm64 with src 5 or 6), function
    pointers the function's slot (src 4). `functions` are the first lowered slots of the main program (0) and its
    subprograms, `callbacks` what function pointers may name: all but the first. `origins` maps each lowered slot to the
    slot of `insns` that it comes from. `max_context_offset` is the end of the highest access to a plain context: a test
    run has to give that much. `compiled` is where engines keep what they made of the program, by engine name.
    """

    __slots__ = (
        "__weakref__", "_tag", "attach_type", "callbacks", "compiled", "flags", "functions", "gpl_compatible", "insns",
        "lowered", "maps", "max_context_offset", "name", "origins", "source_line", "type",
    )  # fmt: skip

    def __init__(
        self,
        *,
        type: ProgramType,
        attach_type: AttachType | None,
        name: str,
        insns: bytes,
        lowered: tuple[Slot, ...],
        maps: tuple[Map, ...],
        functions: tuple[int, ...],
        origins: Sequence[int],
        gpl_compatible: bool,
        flags: int,
        max_context_offset: int = 0,
        source_line: Callable[[int], str | None],
    ) -> None:
        self.type, self.attach_type = type, attach_type
        self.name, self.flags, self.gpl_compatible = name, flags, gpl_compatible
        self.insns, self.lowered, self.maps = insns, lowered, maps
        self.functions, self.callbacks = functions, frozenset(functions[1:])
        self.origins, self.source_line = origins, source_line
        self.max_context_offset = max_context_offset
        self.compiled: dict[str, Any] = {}
        self._tag: bytes | None = None

    @property
    def tag(self) -> bytes:
        """The kernel's 8-byte tag, a hash of the code; few ask for it."""
        if self._tag is None:
            self._tag = program_tag(decode_slots(self.insns))
        return self._tag

    def source(self, slot: int) -> str | None:
        """Return the line of source code that a lowered slot comes from, None if unknown."""
        return self.source_line(self.origins[slot])

    @property
    def xlated(self) -> bytes:
        """The lowered code as bytes (what bpf_prog_info calls xlated_prog_insns)."""
        return encode_slots(self.lowered)


def load_program(request: LoadRequest, log: Log) -> Program:
    """Check and lower a program.

    Raises:
        Rejected: with the errno of Linux; the reason is in the log, too.
    """
    from ebpf.vm.check import check
    from ebpf.vm.lower import lower

    checked = check(request, log)
    lowered = lower(request, checked, log)
    return Program(
        type=request.type,
        attach_type=request.attach_type,
        name=request.name,
        insns=request.insns,
        lowered=tuple(lowered.slots),
        maps=lowered.maps,
        functions=lowered.functions,
        origins=lowered.origins,
        gpl_compatible=checked.gpl_compatible,
        flags=request.flags,
        max_context_offset=lowered.max_context_offset,
        source_line=request.source_line,
    )


def program_tag(slots: list[Slot]) -> bytes:
    """Return the kernel's 8-byte tag: hash of the code with the numbers of maps left out."""
    from hashlib import sha256  # not for a program that nobody asks about: this is most of OpenSSL

    neutral = list(slots)
    for index, slot in enumerate(slots):
        if slot.opcode == 0x18 and slot.src in (1, 2, 5, 6):
            neutral[index] = slot._replace(imm=0)
            neutral[index + 1] = slots[index + 1]._replace(imm=0)
    return sha256(encode_slots(neutral)).digest()[:8]


def digest_of(program: Program) -> bytes:
    """Return the hash of all that code compiled for a program is made from, but its maps."""
    from hashlib import sha256

    attach = 0 if program.attach_type is None else program.attach_type + 1
    head = struct.pack(
        f"<QQQ{len(program.functions)}I", program.type, attach, len(program.functions), *program.functions
    )
    return sha256(head + program.xlated).digest()
