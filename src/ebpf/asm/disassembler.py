"""Instructions → text (the language is described in syntax.py)."""

from __future__ import annotations

from collections.abc import Iterable, Set

from ebpf.abi.helpers import Helper
from ebpf.abi.platform import Platform
from ebpf.asm import opcodes as op
from ebpf.asm import syntax
from ebpf.asm.fields import NO_LABELS, Labels, format_fields
from ebpf.asm.instructions import Insn
from ebpf.asm.metadata import Reference, ReferenceKind

_OFFSETS = {kind: range(1 << 32 if kind == ReferenceKind.KCONFIG else 1) for kind, _ in syntax.REFERENCES.values()}
"""Offsets that a reference may have in text."""


def disassemble(
    insns: Iterable[Insn], *, offsets: bool = False, source: bool = False, helpers: Platform | None = None
) -> str:
    """Format instructions as text that `assemble` reads back to equal instructions.

    Symbols become labels. `offsets` puts the slot number before each instruction, `source` the line of source
    code above it where it changes, `helpers` the name of a called helper of that platform behind it (as a comment).
    What has no syntax (unknown opcodes, reserved fields in use) is written as `.insn`.
    """
    listed = list(insns)
    labels = _labels(listed)
    names = frozenset(labels.values())
    lines: list[str] = []
    slot = 0
    line: str | None = None
    for insn in listed:
        if insn.symbol is not None:
            repeated = labels.get(slot) != insn.symbol
            lines.append(f"# {syntax.quote(insn.symbol)}:" if repeated else f"{syntax.quote(insn.symbol)}:")
        if source and insn.source is not None and str(insn.source) != line:
            line = str(insn.source)
            lines.append("; " + " ".join(line.split()))
        after = slot + insn.slots
        named = _reference(insn, names)
        text = named or format_fields(insn, Labels(labels, after))
        comment = "" if named else _comment(insn, helpers)
        lines.append(f"{f'{slot:6}: ' if offsets else '    '}{text}{f'  # {comment}' if comment else ''}")
        slot = after
    return "\n".join(lines) + "\n" if lines else ""


def format_insn(insn: Insn) -> str:
    """Format one instruction; functions of the program are given as distances."""
    return _reference(insn, frozenset()) or format_fields(insn, NO_LABELS)


def _labels(insns: list[Insn]) -> dict[int, str]:
    found: dict[int, str] = {}
    seen: set[str] = set()
    slot = 0
    for insn in insns:
        if insn.symbol is not None and insn.symbol not in seen:
            seen.add(insn.symbol)
            found[slot] = insn.symbol
        slot += insn.slots
    return found


def _comment(insn: Insn, helpers: Platform | None) -> str:
    if insn.reference is not None:
        return f"{insn.reference.kind} {syntax.quote(insn.reference.name)}"
    if helpers is not None and insn.opcode == op.CALL and insn.src == 0:
        helper = Helper.known(insn.imm, platform=helpers)
        return helper.function if helper else ""
    return ""


def _reference(insn: Insn, names: Set[str]) -> str | None:
    """Format an instruction by the name that it refers to, if its fields are those that this name assembles to."""
    reference = insn.reference
    if reference is None or insn.off or insn.dst >= op.REGISTERS:
        return None
    name = syntax.quote(reference.name)
    if insn.opcode == op.CALL and insn.dst == 0:
        unlinked = (insn.src, insn.imm) == (op.BPF_PSEUDO_KFUNC_CALL, syntax.UNLINKED)
        if reference.kind == ReferenceKind.KFUNC and unlinked:
            return f"call kfunc {name}"
        if reference.kind == ReferenceKind.FUNCTION and reference.name in names:
            return f"call {name}"
    if insn.opcode == op.LDIMM64:
        value = _named_immediate(insn, reference, names)
        return f"r{insn.dst} = {value} ll" if value else None
    return None


def _named_immediate(insn: Insn, reference: Reference, names: Set[str]) -> str | None:
    name, fields = syntax.quote(reference.name), (insn.src, insn.imm)
    offset = f"[{reference.offset}]" if reference.offset else ""
    if reference.kind == ReferenceKind.FUNCTION_POINTER:
        return f"func[{name}]" if reference.name in names else None
    if reference.kind == ReferenceKind.MAP_VALUE:
        same = fields == (op.BPF_PSEUDO_MAP_VALUE, reference.offset << 32)
        return f"map[{name}][{reference.offset}]" if same else None
    for word, (kind, src) in syntax.REFERENCES.items():
        if kind == reference.kind and fields == (src, 0) and reference.offset in _OFFSETS[kind]:
            return f"{word}[{name}]{offset}"
    return None
