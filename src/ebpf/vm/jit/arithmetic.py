"""Arithmetic and conditions as LLVM IR (RFC 9669, sections 4.1 to 4.3)."""

from __future__ import annotations

from ebpf.asm.opcodes import BPF_ALU64, BPF_JMP, BPF_X
from ebpf.vm.jit.writer import Writer
from ebpf.vm.program import Slot

_PLAIN = {0x00: "add", 0x10: "sub", 0x20: "mul", 0x40: "or", 0x50: "and", 0xA0: "xor"}
_SHIFTS = {0x60: "shl", 0x70: "lshr", 0xC0: "ashr"}
_DIV, _MOD, _NEG, _MOV, _END = 0x30, 0x90, 0x80, 0xB0, 0xD0
_KEEPS_LOW_BITS = 0xD4
CONDITIONS = {
    0x10: "eq", 0x20: "ugt", 0x30: "uge", 0x50: "ne", 0x60: "sgt", 0x70: "sge", 0xA0: "ult", 0xB0: "ule", 0xC0: "slt",
    0xD0: "sle",
}  # fmt: skip
"""Operation of a jump → predicate of icmp; JSET is no comparison."""
_JSET = 0x40


def arithmetic(writer: Writer, slot: Slot) -> bool:
    """Write an instruction of class ALU or ALU64; False where it is the host's."""
    bits = 64 if slot.opcode & 7 == BPF_ALU64 else 32
    operation = slot.opcode & 0xF0
    if operation == _END:
        return _byte_order(writer, slot)
    if operation == _MOV:
        return _move(writer, slot, bits)
    if operation in _PLAIN and bits == 64 and operation in (0x00, 0x10) and not slot.opcode & BPF_X:
        constant = slot.imm if operation == 0x00 else -slot.imm
        writer.write(slot.dst, writer.add(writer.read(slot.dst), constant))
        return True
    a = writer.read_narrow(slot.dst, bits)
    if operation == _NEG:
        result = writer.value(f"sub i{bits} 0, {a}")
    elif operation in _PLAIN:
        result = writer.value(f"{_PLAIN[operation]} i{bits} {a}, {_operand(writer, slot, bits)}")
    elif operation in _SHIFTS:
        result = writer.value(f"{_SHIFTS[operation]} i{bits} {a}, {_shift_count(writer, slot, bits)}")
    elif operation in (_DIV, _MOD):
        result = _division(
            writer, a, _operand(writer, slot, bits), bits, modulo=operation == _MOD, signed=slot.off == 1
        )
    else:
        return False
    writer.write(slot.dst, result, bits)
    return True


def _operand(writer: Writer, slot: Slot, bits: int) -> str:
    return writer.read_narrow(slot.src, bits) if slot.opcode & BPF_X else str(slot.imm)


def _shift_count(writer: Writer, slot: Slot, bits: int) -> str:
    if not slot.opcode & BPF_X:
        return str(slot.imm & bits - 1)
    return writer.value(f"and i{bits} {writer.read_narrow(slot.src, bits)}, {bits - 1}")


def _move(writer: Writer, slot: Slot, bits: int) -> bool:
    if not slot.opcode & BPF_X:
        writer.write(slot.dst, str(slot.imm if bits == 64 else slot.imm & 0xFFFFFFFF))
    elif slot.off == 0:
        source = writer.read_narrow(slot.src, bits)
        writer.write(slot.dst, source, bits)
    elif slot.off in (8, 16, 32) and slot.off < bits:
        narrow = writer.read_narrow(slot.src, slot.off)
        writer.write(slot.dst, writer.value(f"sext i{slot.off} {narrow} to i{bits}"), bits)
    else:
        return False
    return True


def _byte_order(writer: Writer, slot: Slot) -> bool:
    bits = slot.imm
    if bits not in (16, 32, 64):
        return False
    value = writer.read_narrow(slot.dst, bits)
    if slot.opcode != _KEEPS_LOW_BITS:
        value = writer.value(f"call i{bits} @llvm.bswap.i{bits}(i{bits} {value})")
    writer.write(slot.dst, value, bits)
    return True


def _division(writer: Writer, a: str, b: str, bits: int, *, modulo: bool, signed: bool) -> str:
    """Write a division without the cases in which LLVM's is undefined: by zero, and the least number by -1."""
    kind, constant = f"i{bits}", _constant(b, bits)
    operation = f"{'s' if signed else 'u'}{'rem' if modulo else 'div'}"
    if constant is not None and constant not in (0, -1):
        return writer.value(f"{operation} {kind} {a}, {b}")
    zero = writer.value(f"icmp eq {kind} {b}, 0")
    divisor = writer.value(f"select i1 {zero}, {kind} 1, {kind} {b}")
    if signed:
        minus_one = writer.value(f"icmp eq {kind} {b}, -1")
        divisor = writer.value(f"select i1 {minus_one}, {kind} 1, {kind} {divisor}")
        result = writer.value(f"{operation} {kind} {a}, {divisor}")
        special = "0" if modulo else writer.value(f"sub {kind} 0, {a}")
        result = writer.value(f"select i1 {minus_one}, {kind} {special}, {kind} {result}")
    else:
        result = writer.value(f"{operation} {kind} {a}, {divisor}")
    return writer.value(f"select i1 {zero}, {kind} {a if modulo else 0}, {kind} {result}")


def _constant(operand: str, bits: int) -> int | None:
    if operand.startswith("%"):
        return None
    value = int(operand) & (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def condition(writer: Writer, slot: Slot, *, small: bool = False) -> str:
    """Write the comparison of a conditional jump and return its i1; `small` numbers have upper halves of zero."""
    bits = 64 if slot.opcode & 7 == BPF_JMP or small else 32
    a, b = writer.read_narrow(slot.dst, bits), _operand(writer, slot, bits)
    operation = slot.opcode & 0xF0
    if operation == _JSET:
        return writer.value(f"icmp ne i{bits} {writer.value(f'and i{bits} {a}, {b}')}, 0")
    return writer.value(f"icmp {CONDITIONS[operation]} i{bits} {a}, {b}")
