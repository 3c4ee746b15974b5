"""One statement of assembly text → one instruction, its label not yet resolved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ebpf.asm import opcodes as op
from ebpf.asm import syntax
from ebpf.asm.insn import Insn, Reference, ReferenceKind
from ebpf.asm.lexer import Cursor, Token

_INT16 = (-(1 << 15), (1 << 15) - 1)
_INT32 = (-(1 << 31), (1 << 31) - 1)
_UINT32 = (0, (1 << 32) - 1)
_U64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Statement:
    """An instruction, the label that its jump, call or function pointer goes to, and where the label stands."""

    insn: Insn
    target: str | None
    quoted: bool
    token: Token
    line: int


def parse_statement(cursor: Cursor) -> Statement:
    """Read one statement. Raises AsmError at the first token that does not fit."""
    return _Parser(cursor).statement()


class _Parser:
    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.target: str | None = None
        self.token = cursor.token

    def statement(self) -> Statement:
        insn = self._instruction()
        return Statement(insn, self.target, self.token.kind == "string", self.token, self.cursor.line)

    def _instruction(self) -> Insn:
        start = self.cursor.token
        if self.cursor.accept("*"):
            return self._store()
        if start.kind == "word" and syntax.REGISTER.fullmatch(start.text):
            return self._assignment()
        if start.kind != "word" or start.text not in _STATEMENTS:
            hint = " (a comment behind an instruction begins with # or //)" if self.cursor.follows(";") else ""
            raise self.cursor.error(f"an instruction{hint}")
        self.cursor.take()
        return _STATEMENTS[start.text](self)

    # Pieces

    def _register(self, width: str = "rw") -> tuple[str, int]:
        token = self.cursor.token
        match = syntax.REGISTER.fullmatch(token.text) if token.kind == "word" else None
        if match is None or match[1] not in width or int(match[2]) >= op.REGISTERS:
            raise self.cursor.error(" or ".join(f"a register {letter}0 to {letter}10" for letter in width))
        self.cursor.take()
        return match[1], int(match[2])

    def _same_register(self, width: str, number: int) -> None:
        token = self.cursor.token
        if not self.cursor.accept(f"{width}{number}"):
            raise self.cursor.error(f"{width}{number} again", token)

    def _is_register(self) -> bool:
        token = self.cursor.token
        return token.kind == "word" and syntax.REGISTER.fullmatch(token.text) is not None

    def _immediate(self) -> int:
        return self.cursor.integer(*_INT32, wrap=32)

    def _operand(self, width: str) -> tuple[int, int, int]:
        """Read a register or a number; return (BPF_X or BPF_K, src, imm)."""
        if self._is_register():
            return op.BPF_X, self._register(width)[1], 0
        if self.cursor.token.kind != "number" and self.cursor.token.text not in ("+", "-"):
            raise self.cursor.error(f"a register {width}0 to {width}10 or a number")
        return op.BPF_K, 0, self._immediate()

    def _choice(self, table: Mapping[str, int]) -> int:
        return table[self.cursor.expect(*table).text]

    def _size(self, table: Mapping[str, int]) -> str:
        """Read `(u32 *)` and return the type."""
        self.cursor.expect("(")
        size = self.cursor.expect(*table).text
        self.cursor.expect("*")
        self.cursor.expect(")")
        return size

    def _address(self) -> tuple[int, int]:
        """Read `r1 + 4`; return the register and the offset."""
        _, register = self._register("r")
        off = self.cursor.integer(*_INT16) if self.cursor.token.text in ("+", "-") else 0
        return register, off

    def _bracketed_address(self) -> tuple[int, int]:
        self.cursor.expect("(")
        address = self._address()
        self.cursor.expect(")")
        return address

    def _pointer(self, *sizes: str) -> tuple[int, int, int]:
        """Read `(u64 *)(r1 + 4)`; return size, register and offset."""
        size = syntax.SIZES[self._size({name: syntax.SIZES[name] for name in sizes or syntax.SIZES})]
        return size, *self._bracketed_address()

    def _distance(self, low: int, high: int) -> int:
        """Read `+3`, `pc+3` or a label, which is resolved later."""
        cursor = self.cursor
        if cursor.token.text in ("+", "-") or (cursor.token.text == "pc" and cursor.look(1).text in ("+", "-")):
            cursor.accept("pc")
            return cursor.integer(low, high)
        self._label("+N, -N or a label")
        return 0

    def _label(self, what: str) -> None:
        self.token = self.cursor.token
        self.target = self.cursor.name(what)

    # Statements

    def _store(self) -> Insn:
        size, dst, off = self._pointer()
        self.cursor.expect("=")
        width = "r" if size == op.BPF_DW else "rw"
        if self._is_register():
            return Insn(op.BPF_STX | op.BPF_MEM | size, dst, self._register(width)[1], off)
        return Insn(op.BPF_ST | op.BPF_MEM | size, dst, 0, off, self._immediate())

    def _lock(self) -> Insn:
        self.cursor.expect("*")
        size, dst, off = self._pointer("u32", "u64")
        imm = self._choice(syntax.LOCKED)
        _, src = self._register("r" if size == op.BPF_DW else "rw")
        return Insn(op.BPF_STX | op.BPF_ATOMIC | size, dst, src, off, imm)

    def _store_release(self) -> Insn:
        self.cursor.expect("(")
        size, dst, off = self._pointer()
        self.cursor.expect(",")
        _, src = self._register("r" if size == op.BPF_DW else "rw")
        self.cursor.expect(")")
        return Insn(op.BPF_STX | op.BPF_ATOMIC | size, dst, src, off, op.BPF_STORE_REL)

    def _if(self) -> Insn:
        width, dst = self._register()
        condition = self._choice(syntax.CONDITIONS)
        source, src, imm = self._operand(width)
        self.cursor.expect("goto")
        off = self._distance(*_INT16)
        return Insn((op.BPF_JMP if width == "r" else op.BPF_JMP32) | condition | source, dst, src, off, imm)

    def _goto(self) -> Insn:
        return Insn(op.GOTO, off=self._distance(*_INT16))

    def _gotol(self) -> Insn:
        return Insn(op.GOTOL, imm=self._distance(*_INT32))

    def _may_goto(self) -> Insn:
        return Insn(op.MAY_GOTO, src=op.BPF_MAY_GOTO, off=self._distance(*_INT16))

    def _gotox(self) -> Insn:
        return Insn(op.GOTOX, self._register("r")[1])

    def _callx(self) -> Insn:
        return Insn(op.CALLX, self._register("r")[1])

    def _exit(self) -> Insn:
        return Insn(op.EXIT)

    def _call(self) -> Insn:
        cursor = self.cursor
        if cursor.token.kind == "number":
            return Insn(op.CALL, imm=cursor.integer(0, _INT32[1]))
        if cursor.accept("kfunc"):
            return self._call_kfunc()
        if cursor.token.text in ("+", "-", "pc"):
            return Insn(op.CALL, 0, op.BPF_PSEUDO_CALL, 0, self._distance(*_INT32))
        self._label("a helper's name or number, a label, pc+N, or kfunc")
        return Insn(op.CALL)

    def _call_kfunc(self) -> Insn:
        cursor = self.cursor
        if cursor.token.kind == "number" or cursor.token.text == "-":
            imm = cursor.integer(*_INT32)
            off = cursor.integer(*_INT16) if cursor.accept(",") else 0
            return Insn(op.CALL, 0, op.BPF_PSEUDO_KFUNC_CALL, off, imm)
        name = cursor.name("the name or the BTF id of a kfunc")
        reference = Reference(ReferenceKind.KFUNC, name)
        return Insn(op.CALL, 0, op.BPF_PSEUDO_KFUNC_CALL, 0, syntax.UNLINKED, reference=reference)

    def _raw(self) -> Insn:
        cursor = self.cursor
        fields = [cursor.integer(0, 255)]
        wide = fields[0] == op.LDIMM64
        for low, high in ((0, 15), (0, 15), _INT16, (0, _U64) if wide else _INT32):
            cursor.expect(",")
            fields.append(cursor.integer(low, high))
        return Insn(*fields)

    # Assignments

    def _assignment(self) -> Insn:
        cursor = self.cursor
        width, dst = self._register()
        if cursor.accept("="):
            return self._value(width, dst)
        if cursor.token.text not in syntax.ARITHMETIC:
            raise cursor.error("'=' or an assignment operator such as '+='")
        operation, off = syntax.ARITHMETIC[cursor.take().text]
        source, src, imm = self._operand(width)
        return Insn(_arithmetic(width) | operation | source, dst, src, off, imm)

    def _value(self, width: str, dst: int) -> Insn:
        cursor = self.cursor
        token = cursor.token
        if token.text == "*":
            cursor.take()
            return self._load(width, dst)
        if token.text == "(":
            return self._extending_move(width, dst)
        if token.text == "-" and cursor.look(1).kind == "word":
            cursor.take()
            self._same_register(width, dst)
            return Insn(_arithmetic(width) | op.BPF_NEG, dst)
        if token.kind == "number" or token.text in ("+", "-"):
            return self._number(width, dst)
        if self._is_register():
            return Insn(_arithmetic(width) | op.BPF_MOV | op.BPF_X, dst, self._register(width)[1])
        if token.kind == "word":
            return self._named_value(width, dst)
        raise cursor.error("a value")

    def _number(self, width: str, dst: int) -> Insn:
        signed = self.cursor.token.text in ("+", "-")
        follower = self.cursor.look(2 if signed else 1)
        if (follower.kind, follower.text) != ("word", "ll"):
            return Insn(_arithmetic(width) | op.BPF_MOV, dst, 0, 0, self._immediate())
        imm = self.cursor.integer(-(1 << 63), _U64) & _U64
        return self._wide(width, dst, 0, imm)

    def _load(self, width: str, dst: int) -> Insn:
        cursor = self.cursor
        # LLVM writes w for a load that clears the high half, which the three narrow unsigned ones do.
        size = self._size({**syntax.SIZES, **syntax.SIGNED_SIZES} if width == "r" else _NARROW)
        if size in syntax.SIGNED_SIZES:
            src, off = self._bracketed_address()
            return Insn(op.BPF_LDX | op.BPF_MEMSX | syntax.SIGNED_SIZES[size], dst, src, off)
        if cursor.token.text == "skb":
            return self._packet_load(dst, size)
        src, off = self._bracketed_address()
        return Insn(op.BPF_LDX | op.BPF_MEM | syntax.SIZES[size], dst, src, off)

    def _packet_load(self, dst: int, size: str) -> Insn:
        cursor = self.cursor
        token = cursor.take()
        if dst != 0 or size == "u64":
            raise cursor.wrong("a legacy packet load puts a u8, u16 or u32 into r0", token)
        cursor.expect("[")
        if self._is_register():
            _, src = self._register("r")
            imm = cursor.integer(*_INT32) if cursor.token.text in ("+", "-") else 0
            insn = Insn(op.BPF_LD | op.BPF_IND | syntax.SIZES[size], 0, src, 0, imm)
        else:
            insn = Insn(op.BPF_LD | op.BPF_ABS | syntax.SIZES[size], imm=self._immediate())
        cursor.expect("]")
        return insn

    def _extending_move(self, width: str, dst: int) -> Insn:
        self.cursor.expect("(")
        names = [name for name in syntax.EXTENSIONS if width == "r" or name != "s32"]
        off = syntax.EXTENSIONS[self.cursor.expect(*names).text]
        self.cursor.expect(")")
        return Insn(_arithmetic(width) | op.BPF_MOV | op.BPF_X, dst, self._register(width)[1], off)

    def _named_value(self, width: str, dst: int) -> Insn:
        token = self.cursor.take()
        if token.text in syntax.SWAPS and width == "r":
            opcode, imm = syntax.SWAPS[token.text]
            self._same_register("r", dst)
            return Insn(opcode, dst, 0, 0, imm)
        if self.cursor.token.text == "[":
            return self._bracketed(token, width, dst)
        if self.cursor.token.text != "(":
            raise self.cursor.error("a value", token)
        self.cursor.take()
        insn = self._function(token, width, dst)
        self.cursor.expect(")")
        return insn

    def _function(self, token: Token, width: str, dst: int) -> Insn:
        """Read the arguments of what looks like a function: an atomic operation or a cast."""
        name = token.text
        if name == "addr_space_cast" and width == "r":
            return self._cast(dst)
        if name == "load_acquire":
            size, src, off = self._pointer()
            if size == op.BPF_DW and width == "w":
                raise self.cursor.wrong("load_acquire of a u64 needs a 64-bit register", token)
            return Insn(op.BPF_STX | op.BPF_ATOMIC | size, dst, src, off, op.BPF_LOAD_ACQ)
        if name in _EXCHANGES:
            return self._exchange(name, width, dst)
        operation = _KERNEL_ATOMICS.get(name)
        if operation is None:
            raise self.cursor.error("a value", token)
        sizes = ("u64",) if name.startswith("atomic64") else ("u32", "u64")
        size, register, off = self._pointer(*sizes)
        return self._fetch(operation, size, register, off, width, dst)

    def _cast(self, dst: int) -> Insn:
        _, src = self._register("r")
        self.cursor.expect(",")
        to = self.cursor.integer(0, 0xFFFF)
        self.cursor.expect(",")
        imm = to << 16 | self.cursor.integer(0, 0xFFFF)
        imm -= imm >> 31 << 32
        return Insn(op.BPF_ALU64 | op.BPF_MOV | op.BPF_X, dst, src, op.BPF_ADDR_SPACE_CAST, imm)

    def _exchange(self, name: str, width: str, dst: int) -> Insn:
        operation, size = _EXCHANGES[name]
        register, off = self._address()
        return self._fetch(operation, size, register, off, width, dst)

    def _fetch(self, operation: int, size: int, register: int, off: int, width: str, dst: int) -> Insn:
        """Read the operands behind the address; the register that gets the old value must be the right one."""
        self.cursor.expect(",")
        if size == op.BPF_DW and width != "r":
            raise self.cursor.wrong("an atomic operation on a u64 needs 64-bit registers", self.token)
        if operation != op.BPF_CMPXCHG:
            self._same_register(width, dst)
            return Insn(op.BPF_STX | op.BPF_ATOMIC | size, register, dst, off, operation)
        if dst != 0:
            raise self.cursor.wrong(f"a compare and exchange returns the old value in {width}0", self.token)
        self._same_register(width, 0)
        self.cursor.expect(",")
        return Insn(op.BPF_STX | op.BPF_ATOMIC | size, register, self._register(width)[1], off, operation)

    def _bracketed(self, token: Token, width: str, dst: int) -> Insn:
        """Read what stands in the brackets of an ldimm64 that refers to something."""
        self.cursor.expect("[")
        if token.text == "func":
            return self._function_pointer(width, dst)
        if token.text in syntax.IMMEDIATES:
            return self._by_number(token.text, width, dst)
        if token.text not in syntax.REFERENCES:
            words = ", ".join((*syntax.REFERENCES, *syntax.IMMEDIATES, "func"))
            raise self.cursor.error(f"one of {words}", token)
        return self._by_name(token.text, width, dst)

    def _function_pointer(self, width: str, dst: int) -> Insn:
        distance = self._distance(*_INT32) & _UINT32[1]
        self.cursor.expect("]")
        return self._wide(width, dst, op.BPF_PSEUDO_FUNC, distance)

    def _by_number(self, word: str, width: str, dst: int) -> Insn:
        plain, paired = syntax.IMMEDIATES[word]
        low = self.cursor.integer(*_UINT32)
        self.cursor.expect("]")
        high = self._second_bracket()
        return self._wide(width, dst, plain if high is None else paired, low | (high or 0) << 32)

    def _second_bracket(self) -> int | None:
        if not self.cursor.accept("["):
            return None
        value = self.cursor.integer(*_UINT32)
        self.cursor.expect("]")
        return value

    def _by_name(self, word: str, width: str, dst: int) -> Insn:
        kind, src = syntax.REFERENCES[word]
        name = self.cursor.name("a name")
        self.cursor.expect("]")
        offset = self._second_bracket() if kind in (ReferenceKind.MAP, ReferenceKind.KCONFIG) else None
        if kind != ReferenceKind.MAP or offset is None:
            return self._wide(width, dst, src, 0, Reference(kind, name, offset or 0))
        reference = Reference(ReferenceKind.MAP_VALUE, name, offset)
        return self._wide(width, dst, op.BPF_PSEUDO_MAP_VALUE, offset << 32, reference)

    def _wide(self, width: str, dst: int, src: int, imm: int, reference: Reference | None = None) -> Insn:
        token = self.cursor.expect("ll")
        if width != "r":
            raise self.cursor.wrong("a 64-bit immediate needs a 64-bit register", token)
        return Insn(op.LDIMM64, dst, src, 0, imm, reference=reference)


def _arithmetic(width: str) -> int:
    return op.BPF_ALU64 if width == "r" else op.BPF_ALU


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

_STATEMENTS: dict[str, Callable[[_Parser], Insn]] = {
    "if": _Parser._if,
    "goto": _Parser._goto,
    "gotol": _Parser._gotol,
    "gotox": _Parser._gotox,
    "may_goto": _Parser._may_goto,
    "call": _Parser._call,
    "callx": _Parser._callx,
    "exit": _Parser._exit,
    "lock": _Parser._lock,
    "store_release": _Parser._store_release,
    ".insn": _Parser._raw,
}
