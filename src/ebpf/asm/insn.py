"""One eBPF instruction (RFC 9669, section 3; include/uapi/linux/bpf.h `struct bpf_insn`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpf.plain import NamedTuple

if TYPE_CHECKING:
    from ebpf.asm.metadata import Reference, SourceLine


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
