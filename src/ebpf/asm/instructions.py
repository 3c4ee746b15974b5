"""Instructions, a program's as a list, and their encoding as 8-byte slots (RFC 9669, section 3)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, overload

from ebpf.asm.opcodes import LDIMM64
from ebpf.errors import AsmError
from ebpf.plain import NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ebpf.asm.metadata import Reference, SourceLine

ByteOrder = Literal["little", "big"]

_SLOT = {"little": struct.Struct("<BBhi"), "big": struct.Struct(">BBhi")}
_U32 = 0xFFFFFFFF


class Insn(NamedTuple):
    """One instruction; immutable, so that threads may share it. `_replace` returns a changed copy.

    `opcode`, `dst`, `src`, `off` and `imm` are the kernel's fields. `off` is signed 16 bits; `imm` is signed 32
    bits, except for ldimm64 (opcode 0x18), which is one Insn of two slots with an `imm` of 64 unsigned bits.
    Jump offsets count slots, as in the kernel. `symbol` is the label or function that begins here, `reference`
    what `imm` stands for until load, `source` the line of source code, `core` a CO-RE relocation record.
    Metadata does not take part in comparison.
    """

    opcode: int
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0
    symbol: str | None = None
    reference: Reference | None = None
    source: SourceLine | None = None
    core: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Insn) and self[:5] == other[:5]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self[:5])

    @property
    def slots(self) -> int:
        """How many 8-byte slots the encoding takes: 2 for ldimm64, else 1."""
        return 2 if self.opcode == 0x18 else 1

    def __str__(self) -> str:
        from ebpf.asm.disassembler import format_insn

        return format_insn(self)


_FIELDS = itemgetter(0, 1, 2, 3, 4)
_NAMES = itemgetter(Insn._fields.index("symbol"), Insn._fields.index("reference"))
"""What encoding needs of an instruction: the kernel's fields, and whether a name has to be looked up."""


class Instructions(list[Insn]):
    """A list of `Insn` that keeps references symbolic until it is encoded.

    Jump offsets are numbers of slots and are not touched when the list is edited; calls and function pointers
    that have a `reference` to a `symbol` of the list are resolved anew by each `encode`. A list may be read by
    several threads, and changed by one.
    """

    @classmethod
    def decode(cls, data: Buffer, byte_order: ByteOrder = "little") -> Instructions:
        """Decode 8-byte slots in `byte_order`.

        Every slot is kept as it is, unknown opcodes and reserved fields included, so that `encode` gives the same
        bytes back. Raises AsmError for a length that is not a multiple of 8, and for an ldimm64 whose second slot
        is missing or has anything but an immediate (Linux refuses these too).
        """
        view = memoryview(data).cast("B")
        if len(view) % 8:
            raise AsmError(f"instructions take 8 bytes each, found {len(view)} bytes")
        slots = _slot(byte_order).iter_unpack(view)
        big = byte_order == "big"
        insns = cls()
        append, new = insns.append, tuple.__new__
        for opcode, registers, off, imm in slots:
            high, low = registers >> 4, registers & 15
            dst, src = (high, low) if big else (low, high)
            if opcode == LDIMM64:
                imm = imm & _U32 | _second_half(next(slots, None), len(insns)) << 32
            append(new(Insn, (opcode, dst, src, off, imm, None, None, None, None)))
        return insns

    @classmethod
    def from_asm(cls, text: str) -> Instructions:
        """Assemble text (see `ebpf.asm.assemble`). Raises AsmError with line and column."""
        from ebpf.asm.assembler import assemble

        return assemble(text)

    def encode(self, byte_order: ByteOrder = "little", resolve: Callable[[Insn], Insn] | None = None) -> bytes:
        """Encode as 8-byte slots in `byte_order`.

        References to functions of this list become distances. Each other instruction with a reference is passed to
        `resolve`, which returns the instruction to encode (of as many slots); without it they are encoded as they
        stand. Raises AsmError if a field does not fit, or if there are references and a symbol is defined twice.
        """
        pack = _slot(byte_order).pack
        big = byte_order == "big"
        parts: list[bytes] = []
        insns = self._resolved(resolve)
        for index, (opcode, dst, src, off, imm) in enumerate(map(_FIELDS, insns)):
            registers = dst << 4 | src if big else src << 4 | dst
            try:
                if opcode == LDIMM64:
                    parts.append(pack(LDIMM64, registers, off, _signed(imm & _U32)))
                    parts.append(pack(0, 0, 0, _signed(imm >> 32)))
                else:
                    parts.append(pack(opcode, registers, off, imm))
            except struct.error:
                raise _field_error(index, insns[index]) from None
            if dst > 15 or src > 15 or (imm < 0 and opcode == LDIMM64):
                raise _field_error(index, insns[index])
        return b"".join(parts)

    def copy(self) -> Instructions:
        """Return a new list of the same instructions (which are immutable)."""
        return Instructions(self)

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Insn: ...
    @overload
    def __getitem__(self, index: slice, /) -> Instructions: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> Insn | Instructions:
        found = super().__getitem__(index)
        return Instructions(found) if isinstance(found, list) else found

    @property
    def slots(self) -> int:
        """Number of 8-byte slots of the whole list."""
        return sum(insn.slots for insn in self)

    def raw_offset(self, index: int) -> int:
        """Return the slot at which instruction `index` begins; O(index)."""
        return sum(insn.slots for insn in self[:index])

    def raw_offsets(self) -> list[int]:
        """Return the slot at which each instruction begins."""
        offsets, slot = [], 0
        for insn in self:
            offsets.append(slot)
            slot += insn.slots
        return offsets

    def symbols(self) -> dict[str, int]:
        """Map each symbol to the index of its instruction. Raises AsmError if one is defined twice."""
        found: dict[str, int] = {}
        for index, insn in enumerate(self):
            if insn.symbol is not None and found.setdefault(insn.symbol, index) != index:
                raise AsmError(f"symbol {insn.symbol} is defined by instructions {found[insn.symbol]} and {index}")
        return found

    def __str__(self) -> str:
        from ebpf.asm.disassembler import disassemble

        return disassemble(self)

    def linked(self) -> Instructions:
        """Return the list with the distances of its own functions filled in; the references stay.

        `encode` does the same. Raises AsmError if there are references and a symbol is defined twice.
        """
        from ebpf.asm.linking import linked

        return linked(self)

    def _resolved(self, resolve: Callable[[Insn], Insn] | None) -> Instructions:
        if not any(map((None, None).__ne__, map(_NAMES, self))):
            return self
        from ebpf.asm.linking import resolved

        return resolved(self, resolve)


def _slot(byte_order: ByteOrder) -> struct.Struct:
    if byte_order not in _SLOT:
        raise AsmError(f"byte order is 'little' or 'big', found {byte_order!r}")
    return _SLOT[byte_order]


def _signed(imm: int) -> int:
    return imm - (1 << 32) if 1 << 31 <= imm < 1 << 32 else imm


def _second_half(slot: tuple[int, int, int, int] | None, index: int) -> int:
    if slot is None:
        raise AsmError(f"instruction {index} (ldimm64) lacks its second slot")
    opcode, registers, off, imm = slot
    if opcode or registers or off:
        raise AsmError(f"instruction {index} (ldimm64) has more than an immediate in its second slot")
    return imm & _U32


def _field_error(index: int, insn: Insn) -> AsmError:
    wide = insn.opcode == LDIMM64
    limits = {
        "opcode": (0, 255),
        "dst": (0, 15),
        "src": (0, 15),
        "off": (-(1 << 15), (1 << 15) - 1),
        "imm": (0, (1 << 64) - 1) if wide else (-(1 << 31), (1 << 31) - 1),
    }
    for name, (low, high) in limits.items():
        if not low <= (value := getattr(insn, name)) <= high:
            return AsmError(f"instruction {index}: {name} must be {low} to {high}, found {value}")
    raise AssertionError("every field fits")
