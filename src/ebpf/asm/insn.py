"""One eBPF instruction (RFC 9669, section 3; include/uapi/linux/bpf.h `struct bpf_insn`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from ebpf.plain import NamedTuple


class ReferenceKind(StrEnum):
    """What a symbolic reference stands for."""

    MAP = "map"
    MAP_VALUE = "map_value"
    FUNCTION = "function"
    FUNCTION_POINTER = "function_pointer"
    KFUNC = "kfunc"
    KSYM = "ksym"
    KCONFIG = "kconfig"


class Reference(NamedTuple):
    """A name that load (or `Instructions.encode`) turns into a number. `offset` is in bytes, into a map value.

    Immutable, so that threads may share it.
    """

    kind: ReferenceKind
    name: str
    offset: int = 0


class SourceLine(NamedTuple):
    """Where an instruction comes from. `line` and `column` count from 1, 0 where unknown.

    Immutable, so that threads may share it.
    """

    file: str
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text.strip()}"


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
