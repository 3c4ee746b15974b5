"""Text → instructions (the language is described in syntax.py)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from ebpf.abi.helpers import Helper
from ebpf.abi.platform import Platform
from ebpf.asm import opcodes as op
from ebpf.asm.instructions import Insn, Instructions
from ebpf.asm.lexer import Token
from ebpf.asm.linking import link
from ebpf.asm.metadata import Reference, ReferenceKind
from ebpf.asm.operands import INT16, Reader
from ebpf.asm.statement import read_statement
from ebpf.errors import AsmError


def assemble(text: str, *, platform: Platform = Platform.LINUX) -> Instructions:
    """Assemble text into instructions.

    Labels become symbols of the instructions behind them, jumps to them numbers; calls of functions keep a
    reference besides. A name that is called is a label of the text or else a helper of `platform`. Raises AsmError
    with line and column.
    """
    program = _Program(platform)
    for number, line in enumerate(text.split("\n"), 1):
        program.read_line(Reader(line, number))
    return program.finish()


@dataclass(frozen=True, slots=True)
class _Statement:
    """An instruction and the label that it goes to."""

    insn: Insn
    target: Token | None
    label: str
    line: int

    def error(self, reason: str, *, known: Iterable[str] = ()) -> AsmError:
        """Make an error about the label; the most similar of the known names is proposed."""
        assert self.target is not None
        near = get_close_matches(self.label, list(known), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return AsmError(reason + hint, line=self.line, column=self.target.column)


class _Program:
    """The statements read so far, and where each label stands."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.statements: list[_Statement] = []
        self.labels: dict[str, int] = {}
        self.symbols: dict[int, str] = {}
        self.slot = 0

    def read_line(self, reader: Reader) -> None:
        while True:
            while self._is_label(reader):
                self._define(reader)
            if reader.token.kind != "end" and reader.token.text != ";":
                self._append(reader)
            if reader.token.kind == "end":
                return
            if not reader.accept(";"):
                raise reader.error("the end of the instruction")

    @staticmethod
    def _is_label(reader: Reader) -> bool:
        following = reader.look(1)
        return reader.token.kind in ("word", "string") and (following.kind, following.text) == ("operator", ":")

    def _define(self, reader: Reader) -> None:
        token = reader.token
        name = reader.name("a label")
        reader.expect(":")
        if name in self.labels:
            raise reader.wrong(f"label {name} is defined twice", token)
        self.labels[name] = self.slot
        # Of several labels at one place the first becomes the symbol.
        self.symbols.setdefault(self.slot, name)

    def _append(self, reader: Reader) -> None:
        insn = read_statement(reader)
        self.statements.append(_Statement(insn, reader.target, reader.label, reader.line))
        self.slot += insn.slots

    def finish(self) -> Instructions:
        """Resolve the labels."""
        insns = Instructions()
        slot = 0
        for statement in self.statements:
            insn = statement.insn if statement.target is None else self._resolve(statement, slot + 1)
            symbol = self.symbols.get(slot)
            insns.append(insn if symbol is None else insn._replace(symbol=symbol))
            slot += insn.slots
        return insns

    def _resolve(self, statement: _Statement, after: int) -> Insn:
        insn, label = statement.insn, statement.label
        if label not in self.labels:
            if insn.opcode == op.CALL:
                return insn._replace(imm=self._helper(statement))
            raise statement.error(f"no label {label}", known=self.labels)
        slot = self.labels[label]
        distance = slot - after
        if insn.opcode in (op.CALL, op.LDIMM64):
            kind = ReferenceKind.FUNCTION if insn.opcode == op.CALL else ReferenceKind.FUNCTION_POINTER
            return link(insn, distance)._replace(reference=Reference(kind, self.symbols[slot]))
        if insn.opcode == op.GOTOL:
            return insn._replace(imm=distance)
        if not INT16[0] <= distance <= INT16[1]:
            raise statement.error(f"label {label} is {distance} slots away, a jump reaches {INT16[1]}: use gotol")
        return insn._replace(off=distance)

    def _helper(self, statement: _Statement) -> int:
        name, quoted = statement.label, statement.target is not None and statement.target.kind == "string"
        helper = None if quoted else Helper.find(name, platform=self.platform)
        if helper is None:
            system = "Linux" if self.platform is Platform.LINUX else "Windows"
            helpers = (member.function for member in Helper if member.platform is self.platform and member.number)
            reason = f"{name} is neither a label nor a helper of {system}"
            raise statement.error(reason, known=(*self.labels, *helpers))
        return helper.number
