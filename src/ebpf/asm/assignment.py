"""Instructions that are assignments to a register in text: arithmetic, moves, loads, atomics that return a value."""

from __future__ import annotations

from ebpf.asm import opcodes as op
from ebpf.asm import syntax
from ebpf.asm.immediate import read_reference, wide_immediate
from ebpf.asm.instructions import Insn
from ebpf.asm.lexer import Token
from ebpf.asm.operands import INT32, UINT64, Reader

_NARROW = {name: size for name, size in syntax.SIZES.items() if name != "u64"}

_EXCHANGES = {
    "xchg_64": (op.BPF_XCHG, op.BPF_DW),
    "xchg32_32": (op.BPF_XCHG, op.BPF_W),
    "cmpxchg_64": (op.BPF_CMPXCHG, op.BPF_DW),
    "cmpxchg32_32": (op.BPF_CMPXCHG, op.BPF_W),
}

_KERNEL_ATOMICS = {
    f"{prefix}_{name}": operation
    for prefix in ("atomic", "atomic64")
    for name, operation in (
        *((f"fetch_{name}", number | op.BPF_FETCH) for name, number in syntax.FETCHES.items()),
        ("xchg", op.BPF_XCHG),
        ("cmpxchg", op.BPF_CMPXCHG),
    )
}
"""The kernel's spelling, which names the size in the pointer (and with `64` once more)."""


def read_assignment(reader: Reader) -> Insn:
    """Read an instruction that begins with the register it changes."""
    width, dst = reader.register()
    if reader.accept("="):
        return _value(reader, width, dst)
    if reader.token.text not in syntax.ARITHMETIC:
        raise reader.error("'=' or an assignment operator such as '+='")
    operation, off = syntax.ARITHMETIC[reader.take().text]
    source, src, imm = reader.operand(width)
    return Insn(_arithmetic(width) | operation | source, dst, src, off, imm)


def _value(reader: Reader, width: str, dst: int) -> Insn:
    token = reader.token
    if token.text == "*":
        reader.take()
        return _load(reader, width, dst)
    if token.text == "(":
        return _extending_move(reader, width, dst)
    if token.text == "-" and reader.look(1).kind == "word":
        reader.take()
        reader.same_register(width, dst)
        return Insn(_arithmetic(width) | op.BPF_NEG, dst)
    if token.kind == "number" or token.text in ("+", "-"):
        return _number(reader, width, dst)
    if reader.is_register():
        return Insn(_arithmetic(width) | op.BPF_MOV | op.BPF_X, dst, reader.register(width)[1])
    if token.kind == "word":
        return _named_value(reader, width, dst)
    raise reader.error("a value")


def _number(reader: Reader, width: str, dst: int) -> Insn:
    signed = reader.token.text in ("+", "-")
    follower = reader.look(2 if signed else 1)
    if (follower.kind, follower.text) != ("word", "ll"):
        return Insn(_arithmetic(width) | op.BPF_MOV, dst, 0, 0, reader.immediate())
    imm = reader.integer(-(1 << 63), UINT64[1]) & UINT64[1]
    return wide_immediate(reader, width, dst, 0, imm)


def _load(reader: Reader, width: str, dst: int) -> Insn:
    # LLVM writes w for a load that clears the high half, which the three narrow unsigned ones do.
    size = reader.size({**syntax.SIZES, **syntax.SIGNED_SIZES} if width == "r" else _NARROW)
    if size in syntax.SIGNED_SIZES:
        src, off = reader.bracketed_address()
        return Insn(op.BPF_LDX | op.BPF_MEMSX | syntax.SIGNED_SIZES[size], dst, src, off)
    if reader.token.text == "skb":
        return _packet_load(reader, dst, size)
    src, off = reader.bracketed_address()
    return Insn(op.BPF_LDX | op.BPF_MEM | syntax.SIZES[size], dst, src, off)


def _packet_load(reader: Reader, dst: int, size: str) -> Insn:
    token = reader.take()
    if dst != 0 or size == "u64":
        raise reader.wrong("a legacy packet load puts a u8, u16 or u32 into r0", token)
    reader.expect("[")
    if reader.is_register():
        _, src = reader.register("r")
        imm = reader.integer(*INT32) if reader.token.text in ("+", "-") else 0
        insn = Insn(op.BPF_LD | op.BPF_IND | syntax.SIZES[size], 0, src, 0, imm)
    else:
        insn = Insn(op.BPF_LD | op.BPF_ABS | syntax.SIZES[size], imm=reader.immediate())
    reader.expect("]")
    return insn


def _extending_move(reader: Reader, width: str, dst: int) -> Insn:
    reader.expect("(")
    names = [name for name in syntax.EXTENSIONS if width == "r" or name != "s32"]
    off = syntax.EXTENSIONS[reader.expect(*names).text]
    reader.expect(")")
    return Insn(_arithmetic(width) | op.BPF_MOV | op.BPF_X, dst, reader.register(width)[1], off)


def _named_value(reader: Reader, width: str, dst: int) -> Insn:
    token = reader.take()
    if token.text in syntax.SWAPS and width == "r":
        opcode, imm = syntax.SWAPS[token.text]
        reader.same_register("r", dst)
        return Insn(opcode, dst, 0, 0, imm)
    if reader.token.text == "[":
        return read_reference(reader, token, width, dst)
    if reader.token.text != "(":
        raise reader.error("a value", token)
    reader.take()
    insn = _function(reader, token, width, dst)
    reader.expect(")")
    return insn


def _function(reader: Reader, token: Token, width: str, dst: int) -> Insn:
    """Read the arguments of what looks like a function: an atomic operation or a cast."""
    name = token.text
    if name == "addr_space_cast" and width == "r":
        return _cast(reader, dst)
    if name == "load_acquire":
        size, src, off = reader.pointer()
        if size == op.BPF_DW and width == "w":
            raise reader.wrong("load_acquire of a u64 needs a 64-bit register", token)
        return Insn(op.BPF_STX | op.BPF_ATOMIC | size, dst, src, off, op.BPF_LOAD_ACQ)
    if name in _EXCHANGES:
        return _exchange(reader, name, width, dst)
    operation = _KERNEL_ATOMICS.get(name)
    if operation is None:
        raise reader.error("a value", token)
    sizes = ("u64",) if name.startswith("atomic64") else ("u32", "u64")
    size, register, off = reader.pointer(*sizes)
    return _fetch(reader, operation, size, register, off, width, dst)


def _cast(reader: Reader, dst: int) -> Insn:
    _, src = reader.register("r")
    reader.expect(",")
    to = reader.integer(0, 0xFFFF)
    reader.expect(",")
    imm = to << 16 | reader.integer(0, 0xFFFF)
    imm -= imm >> 31 << 32
    return Insn(op.BPF_ALU64 | op.BPF_MOV | op.BPF_X, dst, src, op.BPF_ADDR_SPACE_CAST, imm)


def _exchange(reader: Reader, name: str, width: str, dst: int) -> Insn:
    operation, size = _EXCHANGES[name]
    register, off = reader.address()
    return _fetch(reader, operation, size, register, off, width, dst)


def _fetch(reader: Reader, operation: int, size: int, register: int, off: int, width: str, dst: int) -> Insn:
    """Read the operands behind the address; the register that gets the old value must be the right one."""
    reader.expect(",")
    if size == op.BPF_DW and width != "r":
        raise reader.wrong("an atomic operation on a u64 needs 64-bit registers", reader.start)
    if operation != op.BPF_CMPXCHG:
        reader.same_register(width, dst)
        return Insn(op.BPF_STX | op.BPF_ATOMIC | size, register, dst, off, operation)
    if dst != 0:
        raise reader.wrong(f"a compare and exchange returns the old value in {width}0", reader.start)
    reader.same_register(width, 0)
    reader.expect(",")
    return Insn(op.BPF_STX | op.BPF_ATOMIC | size, register, reader.register(width)[1], off, operation)


def _arithmetic(width: str) -> int:
    return op.BPF_ALU64 if width == "r" else op.BPF_ALU
