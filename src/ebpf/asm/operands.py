"""The pieces that instructions are made of in text: registers, numbers, addresses, jump targets."""

from __future__ import annotations

from collections.abc import Mapping

from ebpf.asm import opcodes as op
from ebpf.asm import syntax
from ebpf.asm.lexer import Cursor, Token

INT16 = (-(1 << 15), (1 << 15) - 1)
INT32 = (-(1 << 31), (1 << 31) - 1)
UINT32 = (0, (1 << 32) - 1)
UINT64 = (0, (1 << 64) - 1)


class Reader(Cursor):
    """A cursor that reads operands.

    `start` is the first token of the statement, `target` the label it goes to, if any, and `label` its name.
    """

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text, line)
        self.begin()

    def begin(self) -> None:
        """Begin a new statement."""
        self.start = self.token
        self.target: Token | None = None
        self.label = ""

    def register(self, width: str = "rw") -> tuple[str, int]:
        """Read `r1` or `w1`, of the allowed width; return width and number."""
        token = self.token
        match = syntax.REGISTER.fullmatch(token.text) if token.kind == "word" else None
        if match is None or match[1] not in width or int(match[2]) >= op.REGISTERS:
            raise self.error(" or ".join(f"a register {letter}0 to {letter}10" for letter in width))
        self.take()
        return match[1], int(match[2])

    def same_register(self, width: str, number: int) -> None:
        """Read this register, which the instruction names twice."""
        token = self.token
        if not self.accept(f"{width}{number}"):
            raise self.error(f"{width}{number} again", token)

    def is_register(self) -> bool:
        """Tell whether a register comes next."""
        token = self.token
        return token.kind == "word" and syntax.REGISTER.fullmatch(token.text) is not None

    def immediate(self) -> int:
        """Read a number of 32 bits, signed, or unsigned in hexadecimal."""
        return self.integer(*INT32, wrap=32)

    def operand(self, width: str) -> tuple[int, int, int]:
        """Read a register or a number; return (BPF_X or BPF_K, src, imm)."""
        if self.is_register():
            return op.BPF_X, self.register(width)[1], 0
        if self.token.kind != "number" and self.token.text not in ("+", "-"):
            raise self.error(f"a register {width}0 to {width}10 or a number")
        return op.BPF_K, 0, self.immediate()

    def choice(self, table: Mapping[str, int]) -> int:
        """Read one of the words of a table and return its number."""
        return table[self.expect(*table).text]

    def size(self, table: Mapping[str, int]) -> str:
        """Read `(u32 *)` and return the type."""
        self.expect("(")
        size = self.expect(*table).text
        self.expect("*")
        self.expect(")")
        return size

    def address(self) -> tuple[int, int]:
        """Read `r1 + 4`; return the register and the offset."""
        _, register = self.register("r")
        off = self.integer(*INT16) if self.token.text in ("+", "-") else 0
        return register, off

    def bracketed_address(self) -> tuple[int, int]:
        """Read `(r1 + 4)`; return the register and the offset."""
        self.expect("(")
        address = self.address()
        self.expect(")")
        return address

    def pointer(self, *sizes: str) -> tuple[int, int, int]:
        """Read `(u64 *)(r1 + 4)`; return size, register and offset."""
        size = syntax.SIZES[self.size({name: syntax.SIZES[name] for name in sizes or syntax.SIZES})]
        return size, *self.bracketed_address()

    def distance(self, low: int, high: int) -> int:
        """Read `+3`, `pc+3` or a label, which is resolved later."""
        if self.token.text in ("+", "-") or (self.token.text == "pc" and self.look(1).text in ("+", "-")):
            self.accept("pc")
            return self.integer(low, high)
        self.read_label("+N, -N or a label")
        return 0

    def read_label(self, what: str) -> None:
        """Read the label that the instruction goes to; the assembler resolves it."""
        self.target = self.token
        self.label = self.name(what)
