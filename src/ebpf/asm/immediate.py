"""The 64-bit immediate in text: a number, or what it refers to in brackets."""

from __future__ import annotations

from ebpf.asm import opcodes as op
from ebpf.asm import syntax
from ebpf.asm.instructions import Insn
from ebpf.asm.lexer import Token
from ebpf.asm.metadata import Reference, ReferenceKind
from ebpf.asm.operands import INT32, UINT32, Reader


def read_reference(reader: Reader, token: Token, width: str, dst: int) -> Insn:
    """Read the rest of `r1 = map[name] ll`, from the bracket behind the word `token`."""
    reader.expect("[")
    if token.text == "func":
        return _function_pointer(reader, width, dst)
    if token.text in syntax.IMMEDIATES:
        return _by_number(reader, token.text, width, dst)
    if token.text not in syntax.REFERENCES:
        words = ", ".join((*syntax.REFERENCES, *syntax.IMMEDIATES, "func"))
        raise reader.error(f"one of {words}", token)
    return _by_name(reader, token.text, width, dst)


def _function_pointer(reader: Reader, width: str, dst: int) -> Insn:
    distance = reader.distance(*INT32) & UINT32[1]
    reader.expect("]")
    return wide_immediate(reader, width, dst, op.BPF_PSEUDO_FUNC, distance)


def _by_number(reader: Reader, word: str, width: str, dst: int) -> Insn:
    plain, paired = syntax.IMMEDIATES[word]
    low = reader.integer(*UINT32)
    reader.expect("]")
    high = _second_bracket(reader)
    return wide_immediate(reader, width, dst, plain if high is None else paired, low | (high or 0) << 32)


def _second_bracket(reader: Reader) -> int | None:
    if not reader.accept("["):
        return None
    value = reader.integer(*UINT32)
    reader.expect("]")
    return value


def _by_name(reader: Reader, word: str, width: str, dst: int) -> Insn:
    kind, src = syntax.REFERENCES[word]
    name = reader.name("a name")
    reader.expect("]")
    offset = _second_bracket(reader) if kind in (ReferenceKind.MAP, ReferenceKind.KCONFIG) else None
    if kind != ReferenceKind.MAP or offset is None:
        return wide_immediate(reader, width, dst, src, 0, Reference(kind, name, offset or 0))
    reference = Reference(ReferenceKind.MAP_VALUE, name, offset)
    return wide_immediate(reader, width, dst, op.BPF_PSEUDO_MAP_VALUE, offset << 32, reference)


def wide_immediate(
    reader: Reader, width: str, dst: int, src: int, imm: int, reference: Reference | None = None
) -> Insn:
    """Read the `ll` that ends an ldimm64, and make it."""
    token = reader.expect("ll")
    if width != "r":
        raise reader.wrong("a 64-bit immediate needs a 64-bit register", token)
    return Insn(op.LDIMM64, dst, src, 0, imm, reference=reference)
