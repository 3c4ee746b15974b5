"""One instruction from text, its label not yet resolved."""

from __future__ import annotations

from collections.abc import Callable

from ebpf.asm import opcodes as op
from ebpf.asm import syntax
from ebpf.asm.assignment import read_assignment
from ebpf.asm.instructions import Insn
from ebpf.asm.metadata import Reference, ReferenceKind
from ebpf.asm.operands import INT16, INT32, UINT64, Reader


def read_statement(reader: Reader) -> Insn:
    """Read one instruction; the label it goes to is left in the reader. Raises AsmError at what does not fit."""
    reader.begin()
    if reader.accept("*"):
        return _store(reader)
    if reader.is_register():
        return read_assignment(reader)
    if reader.token.kind != "word" or reader.token.text not in _STATEMENTS:
        hint = " (a comment behind an instruction begins with # or //)" if reader.follows(";") else ""
        raise reader.error(f"an instruction{hint}")
    return _STATEMENTS[reader.take().text](reader)


def _store(reader: Reader) -> Insn:
    size, dst, off = reader.pointer()
    reader.expect("=")
    width = "r" if size == op.BPF_DW else "rw"
    if reader.is_register():
        return Insn(op.BPF_STX | op.BPF_MEM | size, dst, reader.register(width)[1], off)
    return Insn(op.BPF_ST | op.BPF_MEM | size, dst, 0, off, reader.immediate())


def _lock(reader: Reader) -> Insn:
    reader.expect("*")
    size, dst, off = reader.pointer("u32", "u64")
    imm = reader.choice(syntax.LOCKED)
    _, src = reader.register("r" if size == op.BPF_DW else "rw")
    return Insn(op.BPF_STX | op.BPF_ATOMIC | size, dst, src, off, imm)


def _store_release(reader: Reader) -> Insn:
    reader.expect("(")
    size, dst, off = reader.pointer()
    reader.expect(",")
    _, src = reader.register("r" if size == op.BPF_DW else "rw")
    reader.expect(")")
    return Insn(op.BPF_STX | op.BPF_ATOMIC | size, dst, src, off, op.BPF_STORE_REL)


def _if(reader: Reader) -> Insn:
    width, dst = reader.register()
    condition = reader.choice(syntax.CONDITIONS)
    source, src, imm = reader.operand(width)
    reader.expect("goto")
    off = reader.distance(*INT16)
    return Insn((op.BPF_JMP if width == "r" else op.BPF_JMP32) | condition | source, dst, src, off, imm)


def _goto(reader: Reader) -> Insn:
    return Insn(op.GOTO, off=reader.distance(*INT16))


def _gotol(reader: Reader) -> Insn:
    return Insn(op.GOTOL, imm=reader.distance(*INT32))


def _may_goto(reader: Reader) -> Insn:
    return Insn(op.MAY_GOTO, src=op.BPF_MAY_GOTO, off=reader.distance(*INT16))


def _gotox(reader: Reader) -> Insn:
    return Insn(op.GOTOX, reader.register("r")[1])


def _callx(reader: Reader) -> Insn:
    return Insn(op.CALLX, reader.register("r")[1])


def _exit(_: Reader) -> Insn:
    return Insn(op.EXIT)


def _call(reader: Reader) -> Insn:
    if reader.token.kind == "number":
        return Insn(op.CALL, imm=reader.integer(0, INT32[1]))
    if reader.accept("kfunc"):
        return _call_kfunc(reader)
    if reader.token.text in ("+", "-", "pc"):
        return Insn(op.CALL, 0, op.BPF_PSEUDO_CALL, 0, reader.distance(*INT32))
    reader.read_label("a helper's name or number, a label, pc+N, or kfunc")
    return Insn(op.CALL)


def _call_kfunc(reader: Reader) -> Insn:
    if reader.token.kind == "number" or reader.token.text == "-":
        imm = reader.integer(*INT32)
        off = reader.integer(*INT16) if reader.accept(",") else 0
        return Insn(op.CALL, 0, op.BPF_PSEUDO_KFUNC_CALL, off, imm)
    name = reader.name("the name or the BTF id of a kfunc")
    reference = Reference(ReferenceKind.KFUNC, name)
    return Insn(op.CALL, 0, op.BPF_PSEUDO_KFUNC_CALL, 0, syntax.UNLINKED, reference=reference)


def _raw(reader: Reader) -> Insn:
    fields = [reader.integer(0, 255)]
    wide = fields[0] == op.LDIMM64
    for low, high in ((0, 15), (0, 15), INT16, UINT64 if wide else INT32):
        reader.expect(",")
        fields.append(reader.integer(low, high))
    opcode, dst, src, off, imm = fields
    return Insn(opcode, dst, src, off, imm)


_STATEMENTS: dict[str, Callable[[Reader], Insn]] = {
    "if": _if,
    "goto": _goto,
    "gotol": _gotol,
    "gotox": _gotox,
    "may_goto": _may_goto,
    "call": _call,
    "callx": _callx,
    "exit": _exit,
    "lock": _lock,
    "store_release": _store_release,
    ".insn": _raw,
}
