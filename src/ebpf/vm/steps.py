"""Instructions as Python functions: what one slot does to the registers and the memory (RFC 9669, sections 4 and 5).

A step takes the eleven registers and the machine, acts, and returns the slot that comes next. Operands are bound
when a program is first run; nothing is decoded while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ebpf.abi.linux.functions import BPF_FUNC_TAIL_CALL
from ebpf.asm.opcodes import (
    BPF_ADDR_SPACE_CAST,
    BPF_ALU,
    BPF_ALU64,
    BPF_ATOMIC,
    BPF_CALL,
    BPF_END,
    BPF_EXIT,
    BPF_IND,
    BPF_JA,
    BPF_JCOND,
    BPF_JMP,
    BPF_JMP32,
    BPF_LD,
    BPF_LDX,
    BPF_MEMSX,
    BPF_MOV,
    BPF_NEG,
    BPF_PSEUDO_CALL,
    BPF_PSEUDO_MAP_IDX,
    BPF_PSEUDO_MAP_IDX_VALUE,
    BPF_ST,
    BPF_STX,
    BPF_SUB,
    BPF_TO_LE,
    BPF_X,
    LDIMM64,
    SIZES,
)
from ebpf.vm import M32, M64
from ebpf.vm.alu import (
    ALU32,
    ALU64,
    JUMP32,
    JUMP64,
    SIGNED32,
    SIGNED64,
    Operation,
    Test,
    signed,
    swap,
    truncate,
)
from ebpf.vm.atomics import atomic_step
from ebpf.vm.fault import Fault
from ebpf.vm.memory import OFFSET_BITS, OFFSET_MASK, UNSIGNED

if TYPE_CHECKING:
    from ebpf.vm.program import Program, Slot
    from ebpf.vm.reference import Machine

Registers: TypeAlias = list[int]
Step: TypeAlias = "Callable[[Registers, Machine], int]"


def compile_steps(program: Program) -> list[Step]:
    """Return one step per slot of the lowered program."""
    slots = program.lowered
    return [_STEP_OF_CLASS[slot.opcode & 7](slots, at) for at, slot in enumerate(slots)]


def compile_step(program: Program, at: int) -> Step:
    """Return the step of one slot."""
    return _STEP_OF_CLASS[program.lowered[at].opcode & 7](program.lowered, at)


def _alu(slots: tuple[Slot, ...], at: int) -> Step:
    slot = slots[at]
    wide = slot.opcode & 7 == BPF_ALU64
    kind = slot.opcode & 0xF0
    if kind == BPF_END:
        return _byte_swap(slot, at + 1)
    if kind == BPF_NEG:
        return _operate((ALU64 if wide else ALU32)[BPF_SUB], slot, at + 1, negate=True)
    if kind == BPF_MOV and slot.opcode & BPF_X and slot.off:
        return _extend(slot, at + 1)
    if kind == BPF_MOV and wide:
        return _move(slot, at + 1)
    table = (SIGNED64 if wide else SIGNED32) if slot.off == 1 else (ALU64 if wide else ALU32)
    return _operate(table[kind], slot, at + 1)


def _operate(operation: Operation, slot: Slot, after: int, *, negate: bool = False) -> Step:
    dst, src, constant = slot.dst, slot.src, slot.imm & M64

    def with_register(r: Registers, m: Machine) -> int:
        r[dst] = operation(r[dst], r[src])
        return after

    def with_constant(r: Registers, m: Machine) -> int:
        r[dst] = operation(r[dst], constant)
        return after

    def from_zero(r: Registers, m: Machine) -> int:
        r[dst] = operation(0, r[dst])
        return after

    if negate:
        return from_zero
    return with_register if slot.opcode & BPF_X else with_constant


def _move(slot: Slot, after: int) -> Step:
    dst, src, constant = slot.dst, slot.src, slot.imm & M64

    def from_register(r: Registers, m: Machine) -> int:
        r[dst] = r[src]
        return after

    def from_constant(r: Registers, m: Machine) -> int:
        r[dst] = constant
        return after

    return from_register if slot.opcode & BPF_X else from_constant


def _extend(slot: Slot, after: int) -> Step:
    dst, src, bits = slot.dst, slot.src, slot.off
    if bits == BPF_ADDR_SPACE_CAST:
        return _unavailable("addr_space_cast needs an arena")
    mask = M64 if slot.opcode & 7 == BPF_ALU64 else M32

    def extend(r: Registers, m: Machine) -> int:
        r[dst] = signed(r[src], bits) & mask
        return after

    return extend


def _byte_swap(slot: Slot, after: int) -> Step:
    dst, bits = slot.dst, slot.imm
    # BPF_ALU64 swaps always, BPF_ALU converts from or to little endian (source bit clear) or big endian (set).
    convert = truncate if slot.opcode == BPF_ALU | BPF_END | BPF_TO_LE else swap

    def change_order(r: Registers, m: Machine) -> int:
        r[dst] = convert(r[dst], bits)
        return after

    return change_order


def _jump(slots: tuple[Slot, ...], at: int) -> Step:
    slot = slots[at]
    wide = slot.opcode & 7 == BPF_JMP
    kind = slot.opcode & 0xF0
    if kind == BPF_JA:
        return _goto(at + 1 + (slot.off if wide else slot.imm))
    if kind == BPF_CALL and wide:
        return _call(slot, at)
    if kind == BPF_EXIT and wide:
        return _exit
    if kind == BPF_JCOND and wide:
        return _may_goto(at + 1 + slot.off, at + 1)
    return _branch((JUMP64 if wide else JUMP32)[kind], slot, at + 1)


def _goto(target: int) -> Step:
    def jump(r: Registers, m: Machine) -> int:
        return target

    return jump


def _branch(test: Test, slot: Slot, after: int) -> Step:
    dst, src, constant = slot.dst, slot.src, slot.imm & M64
    target = after + slot.off

    def on_register(r: Registers, m: Machine) -> int:
        return target if test(r[dst], r[src]) else after

    def on_constant(r: Registers, m: Machine) -> int:
        return target if test(r[dst], constant) else after

    return on_register if slot.opcode & BPF_X else on_constant


def _may_goto(target: int, after: int) -> Step:
    def jump_in_the_end(r: Registers, m: Machine) -> int:
        m.patience -= 1
        return after if m.patience > 0 else target

    return jump_in_the_end


def _exit(r: Registers, m: Machine) -> int:
    return m.leave()


def _call(slot: Slot, at: int) -> Step:
    if slot.opcode & BPF_X:
        return _call_helper_in_register(slot.dst or slot.imm, at + 1)
    if slot.src == BPF_PSEUDO_CALL:
        return _call_function(at + 1 + slot.imm, at + 1)
    if slot.src != 0:
        return _unavailable("functions of the kernel can't be called here")
    return _tail_call(at + 1) if slot.imm == BPF_FUNC_TAIL_CALL else _call_helper(slot.imm, at + 1)


def _call_function(target: int, after: int) -> Step:
    def call(r: Registers, m: Machine) -> int:
        m.enter(after)
        return target

    return call


def _call_helper(number: int, after: int) -> Step:
    def call(r: Registers, m: Machine) -> int:
        r[0] = m.helper(m.run, number, (r[1], r[2], r[3], r[4], r[5])) & M64
        return after

    return call


def _call_helper_in_register(register: int, after: int) -> Step:
    def call(r: Registers, m: Machine) -> int:
        r[0] = m.helper(m.run, r[register], (r[1], r[2], r[3], r[4], r[5])) & M64
        return after

    return call


def _tail_call(after: int) -> Step:
    def call(r: Registers, m: Machine) -> int:
        return m.tail_call(r[1], r[2], r[3] & M32, after)

    return call


def _load(slots: tuple[Slot, ...], at: int) -> Step:
    slot, after = slots[at], at + 1
    size = SIZES[slot.opcode & 0x18]
    dst, src, off = slot.dst, slot.src, slot.off
    unpack = UNSIGNED[size].unpack_from

    def load(r: Registers, m: Machine) -> int:
        address = (r[src] + off) & M64
        region = m.regions.get(address >> OFFSET_BITS)
        at = address & OFFSET_MASK
        if region is None or at < region.start or at + size > region.end or not region.readable:
            r[dst] = m.memory.load(address, size)  # a value of a native map, or a fault
        else:
            r[dst] = unpack(region.data, at)[0]
        return after

    def load_signed(r: Registers, m: Machine) -> int:
        load(r, m)
        r[dst] = signed(r[dst], 8 * size) & M64
        return after

    return load_signed if slot.opcode & 0xE0 == BPF_MEMSX else load


def _store(slots: tuple[Slot, ...], at: int) -> Step:
    slot, after = slots[at], at + 1
    if slot.opcode & 0xE0 == BPF_ATOMIC:
        return atomic_step(slot, SIZES[slot.opcode & 0x18], after)
    size = SIZES[slot.opcode & 0x18]
    dst, src, off = slot.dst, slot.src, slot.off
    pack, mask = UNSIGNED[size].pack_into, (1 << 8 * size) - 1
    constant = slot.imm & mask

    def put(address: int, value: int, m: Machine) -> int:
        region = m.regions.get(address >> OFFSET_BITS)
        at = address & OFFSET_MASK
        if region is None or at < region.start or at + size > region.end - region.kept or not region.writable:
            m.memory.store(address, size, value)  # to a value of a native map, or a fault
        else:
            pack(region.data, at, value)
        return after

    def store_register(r: Registers, m: Machine) -> int:
        return put((r[dst] + off) & M64, r[src] & mask, m)

    def store_constant(r: Registers, m: Machine) -> int:
        return put((r[dst] + off) & M64, constant, m)

    return store_register if slot.opcode & 7 == BPF_STX else store_constant


def _load_immediate(slots: tuple[Slot, ...], at: int) -> Step:
    slot, after = slots[at], at + 2
    if slot.opcode == 0x00:
        return _unavailable("this is the second half of a 64-bit immediate load")
    if slot.opcode != LDIMM64:
        return _load_packet(slot, at + 1)
    dst, low, high = slot.dst, slot.imm & M32, slots[at + 1].imm & M32

    def constant(r: Registers, m: Machine) -> int:
        r[dst] = value
        return after

    def map_pointer(r: Registers, m: Machine) -> int:
        r[dst] = m.map_address(low)
        return after

    def map_value(r: Registers, m: Machine) -> int:
        r[dst] = m.map_value_address(low) + high
        return after

    # With source BPF_PSEUDO_FUNC the lowered immediate is the function's slot, which is what Run.call takes.
    value = high << 32 | low
    loads = {BPF_PSEUDO_MAP_IDX: map_pointer, BPF_PSEUDO_MAP_IDX_VALUE: map_value}
    return loads.get(slot.src, constant)


def _load_packet(slot: Slot, after: int) -> Step:
    # Legacy BPF_ABS and BPF_IND: r6 is the context, data is big endian, outside of the packet the function returns 0.
    size, offset, indirect = SIZES[slot.opcode & 0x18], slot.imm, slot.opcode & 0xE0 == BPF_IND
    src = slot.src

    def load(r: Registers, m: Machine) -> int:
        data = m.run.context.packet_bytes(signed(offset + (r[src] if indirect else 0), 32), size)
        if data is None:
            r[0] = 0
            return m.leave()
        r[0] = int.from_bytes(data, "big")
        return after

    return load


def _unavailable(reason: str) -> Step:
    def refuse(r: Registers, m: Machine) -> int:
        raise Fault("instruction", reason)

    return refuse


_STEP_OF_CLASS: dict[int, Callable[[tuple[Slot, ...], int], Step]] = {
    BPF_LD: _load_immediate,
    BPF_LDX: _load,
    BPF_ST: _store,
    BPF_STX: _store,
    BPF_ALU: _alu,
    BPF_JMP: _jump,
    BPF_JMP32: _jump,
    BPF_ALU64: _alu,
}
