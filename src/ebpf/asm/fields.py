"""The fields of one instruction → text; what they refer to by name is the disassembler's part."""

from __future__ import annotations

from collections.abc import Mapping

from ebpf.asm import opcodes as op
from ebpf.asm import syntax
from ebpf.asm.instructions import Insn
from ebpf.plain import NamedTuple

_SIZE = {size: name for name, size in syntax.SIZES.items()}
_SIGNED_SIZE = {size: name for name, size in syntax.SIGNED_SIZES.items()}
_EXTENSION = {bits: name for name, bits in syntax.EXTENSIONS.items()}
_ARITHMETIC = {number: text for text, number in syntax.ARITHMETIC.items()}
_CONDITION = {number: text for text, number in syntax.CONDITIONS.items()}
_SWAP = {number: text for text, number in syntax.SWAPS.items()}
_LOCKED = {number: text for text, number in syntax.LOCKED.items()}
_FETCH = {number | op.BPF_FETCH: text for text, number in syntax.FETCHES.items()}
_U32 = 0xFFFFFFFF


class Labels(NamedTuple):
    """Labels as one instruction sees them: by distance from the slot behind it."""

    by_slot: Mapping[int, str]
    after: int

    def target(self, distance: int) -> str:
        name = self.by_slot.get(self.after + distance)
        return f"{distance:+}" if name is None else syntax.quote(name)


NO_LABELS = Labels({}, 0)


def format_fields(insn: Insn, labels: Labels) -> str:
    """Format an instruction by its fields alone; as `.insn` if one is in use that has no meaning there."""
    text = None
    if insn.dst < op.REGISTERS and insn.src < op.REGISTERS:
        text = _CLASSES[insn.opcode & 7](insn, labels)
    return text or f".insn {insn.opcode:#04x}, {insn.dst}, {insn.src}, {insn.off}, {insn.imm}"


def _arithmetic(insn: Insn, _: Labels) -> str | None:
    operation, width = insn.opcode & 0xF0, "r" if insn.opcode & 7 == op.BPF_ALU64 else "w"
    dst = f"{width}{insn.dst}"
    if operation == op.BPF_END:
        swap = _SWAP.get((insn.opcode, insn.imm))
        return f"r{insn.dst} = {swap} r{insn.dst}" if swap and not insn.src and not insn.off else None
    if operation == op.BPF_NEG:
        return f"{dst} = -{dst}" if not (insn.opcode & op.BPF_X or insn.src or insn.off or insn.imm) else None
    if operation == op.BPF_MOV and insn.opcode & op.BPF_X and insn.off:
        return _extending_move(insn, width)
    operand = _operand(insn, width)
    if operand is None:
        return None
    if operation == op.BPF_MOV:
        return f"{dst} = {operand}" if not insn.off else None
    symbol = _ARITHMETIC.get((operation, insn.off))
    return f"{dst} {symbol} {operand}" if symbol else None


def _extending_move(insn: Insn, width: str) -> str | None:
    if insn.off in _EXTENSION and not insn.imm and (width == "r" or insn.off < 32):
        return f"{width}{insn.dst} = ({_EXTENSION[insn.off]}){width}{insn.src}"
    if insn.off == op.BPF_ADDR_SPACE_CAST and width == "r":
        return f"r{insn.dst} = addr_space_cast(r{insn.src}, {insn.imm >> 16 & 0xFFFF}, {insn.imm & 0xFFFF})"
    return None


def _operand(insn: Insn, width: str) -> str | None:
    if insn.opcode & op.BPF_X:
        return f"{width}{insn.src}" if not insn.imm else None
    return str(insn.imm) if not insn.src else None


def _offset(off: int) -> str:
    return f"- {-off}" if off < 0 else f"+ {off}"


def _pointer(insn: Insn, register: int) -> str:
    return f"({_SIZE[insn.opcode & 0x18]} *)(r{register} {_offset(insn.off)})"


def _load(insn: Insn, _: Labels) -> str | None:
    mode = insn.opcode & 0xE0
    if insn.imm:
        return None
    if mode == op.BPF_MEM:
        return f"r{insn.dst} = *{_pointer(insn, insn.src)}"
    size = _SIGNED_SIZE.get(insn.opcode & 0x18)
    if mode == op.BPF_MEMSX and size:
        return f"r{insn.dst} = *({size} *)(r{insn.src} {_offset(insn.off)})"
    return None


def _store(insn: Insn, _: Labels) -> str | None:
    if insn.opcode & 0xE0 != op.BPF_MEM or insn.src:
        return None
    return f"*{_pointer(insn, insn.dst)} = {insn.imm}"


def _store_register(insn: Insn, _: Labels) -> str | None:
    mode = insn.opcode & 0xE0
    if mode == op.BPF_MEM:
        return f"*{_pointer(insn, insn.dst)} = r{insn.src}" if not insn.imm else None
    return _atomic(insn) if mode == op.BPF_ATOMIC else None


def _atomic(insn: Insn) -> str | None:
    size = insn.opcode & 0x18
    width = "r" if size == op.BPF_DW else "w"
    src = f"{width}{insn.src}"
    if insn.imm == op.BPF_LOAD_ACQ:
        return f"{width}{insn.dst} = load_acquire({_pointer(insn, insn.src)})"
    if insn.imm == op.BPF_STORE_REL:
        return f"store_release({_pointer(insn, insn.dst)}, {src})"
    if size not in (op.BPF_W, op.BPF_DW):
        return None
    if insn.imm in _LOCKED:
        return f"lock *{_pointer(insn, insn.dst)} {_LOCKED[insn.imm]} {src}"
    if insn.imm in _FETCH:
        return f"{src} = atomic_fetch_{_FETCH[insn.imm]}({_pointer(insn, insn.dst)}, {src})"
    suffix, address = "_64" if width == "r" else "32_32", f"r{insn.dst} {_offset(insn.off)}"
    if insn.imm == op.BPF_XCHG:
        return f"{src} = xchg{suffix}({address}, {src})"
    if insn.imm == op.BPF_CMPXCHG:
        return f"{width}0 = cmpxchg{suffix}({address}, {width}0, {src})"
    return None


def _load_immediate_or_packet(insn: Insn, _: Labels) -> str | None:
    if insn.opcode == op.LDIMM64:
        value = _wide_immediate(insn)
        return f"r{insn.dst} = {value} ll" if value and not insn.off else None
    mode, size = insn.opcode & 0xE0, insn.opcode & 0x18
    if insn.dst or insn.off or size == op.BPF_DW:
        return None
    if mode == op.BPF_ABS and not insn.src:
        return f"r0 = *({_SIZE[size]} *)skb[{insn.imm}]"
    if mode == op.BPF_IND:
        return f"r0 = *({_SIZE[size]} *)skb[r{insn.src}{f' {_offset(insn.imm)}' if insn.imm else ''}]"
    return None


def _wide_immediate(insn: Insn) -> str | None:
    low, high = insn.imm & _U32, insn.imm >> 32
    if insn.src == 0:
        return f"{insn.imm:#x}"
    if insn.src == op.BPF_PSEUDO_FUNC:
        return f"func[{_signed(low):+}]" if not high else None
    for word, (plain, paired) in syntax.IMMEDIATES.items():
        if insn.src == plain and not high:
            return f"{word}[{low}]"
        if insn.src == paired:
            return f"{word}[{low}][{high}]"
    return None


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value


def _jump(insn: Insn, labels: Labels) -> str | None:
    if insn.opcode in _PLAIN:
        return _PLAIN[insn.opcode](insn, labels)
    condition = _CONDITION.get(insn.opcode & 0xF0)
    width = "r" if insn.opcode & 7 == op.BPF_JMP else "w"
    operand = _operand(insn, width)
    if condition is None or operand is None:
        return None
    return f"if {width}{insn.dst} {condition} {operand} goto {labels.target(insn.off)}"


def _goto(insn: Insn, labels: Labels) -> str | None:
    word = "goto" if insn.opcode == op.GOTO else "may_goto"
    return f"{word} {labels.target(insn.off)}" if not (insn.dst or insn.src or insn.imm) else None


def _gotol(insn: Insn, labels: Labels) -> str | None:
    return f"gotol {labels.target(insn.imm)}" if not (insn.dst or insn.src or insn.off) else None


def _register_jump(insn: Insn, _: Labels) -> str | None:
    word = "gotox" if insn.opcode == op.GOTOX else "callx"
    return f"{word} r{insn.dst}" if not (insn.src or insn.off or insn.imm) else None


def _exit(insn: Insn, _: Labels) -> str | None:
    return "exit" if not (insn.dst or insn.src or insn.off or insn.imm) else None


def _call(insn: Insn, _: Labels) -> str | None:
    if insn.dst or (insn.off and insn.src != op.BPF_PSEUDO_KFUNC_CALL):
        return None
    if insn.src == 0 and insn.imm >= 0:
        return f"call {insn.imm}"
    if insn.src == op.BPF_PSEUDO_CALL:
        return f"call pc{insn.imm:+}"
    if insn.src == op.BPF_PSEUDO_KFUNC_CALL:
        return f"call kfunc {insn.imm}{f', {insn.off}' if insn.off else ''}"
    return None


_PLAIN = {
    op.GOTO: _goto,
    op.MAY_GOTO: _goto,
    op.GOTOL: _gotol,
    op.GOTOX: _register_jump,
    op.CALLX: _register_jump,
    op.EXIT: _exit,
    op.CALL: _call,
}

_CLASSES = (_load_immediate_or_packet, _load, _store, _store_register, _arithmetic, _jump, _jump, _arithmetic)
