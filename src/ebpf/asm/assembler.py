"""Text → instructions (the language is described in syntax.py)."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches

from ebpf.abi.helpers import Helper
from ebpf.abi.tagged import Platform
from ebpf.asm import opcodes as op
from ebpf.asm.insn import Insn, Reference, ReferenceKind
from ebpf.asm.instructions import Instructions, link
from ebpf.asm.lexer import Cursor, Token
from ebpf.asm.statement import Statement, parse_statement
from ebpf.errors import AsmError

_INT16 = range(-(1 << 15), 1 << 15)


def assemble(text: str, *, platform: Platform = Platform.LINUX) -> Instructions:
    """Assemble text into instructions.

    Labels become symbols of the instructions behind them, jumps to them numbers; calls of functions keep a
    reference besides. A name that is called is a label of the text or else a helper of `platform`. Raises AsmError
    with line and column.
    """
    program = _Program(platform)
    for number, line in enumerate(text.split("\n"), 1):
        program.read_line(Cursor(line, number))
    return program.finish()


class _Program:
    """The statements read so far, and where each label stands."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.statements: list[Statement] = []
        self.labels: dict[str, int] = {}
        self.symbols: dict[int, str] = {}
        self.slot = 0

    def read_line(self, cursor: Cursor) -> None:
        while True:
            while self._is_label(cursor):
                self._define(cursor)
            if cursor.token.kind != "end" and cursor.token.text != ";":
                self._append(parse_statement(cursor))
            if cursor.token.kind == "end":
                return
            if not cursor.accept(";"):
                raise cursor.error("the end of the instruction")

    @staticmethod
    def _is_label(cursor: Cursor) -> bool:
        following = cursor.look(1)
        return cursor.token.kind in ("word", "string") and (following.kind, following.text) == ("operator", ":")

    def _define(self, cursor: Cursor) -> None:
        token = cursor.token
        name = cursor.name("a label")
        cursor.expect(":")
        if name in self.labels:
            raise cursor.wrong(f"label {name} is defined twice", token)
        self.labels[name] = self.slot
        # Of several labels at one place the first becomes the symbol.
        self.symbols.setdefault(self.slot, name)

    def _append(self, statement: Statement) -> None:
        self.statements.append(statement)
        self.slot += statement.insn.slots

    def finish(self) -> Instructions:
        """Resolve the labels."""
        insns = Instructions()
        slot = 0
        for statement in self.statements:
            insn = statement.insn
            after = slot + 1
            if statement.target is not None:
                insn = self._resolve(statement, statement.target, after)
            symbol = self.symbols.get(slot)
            insns.append(insn if symbol is None else replace(insn, symbol=symbol))
            slot += insn.slots
        return insns

    def _resolve(self, statement: Statement, target: str, after: int) -> Insn:
        insn = statement.insn
        if insn.opcode == op.CALL and target not in self.labels:
            return replace(insn, imm=self._helper(statement, target))
        if target not in self.labels:
            raise self._unknown(statement, f"no label {target}", self.labels)
        slot = self.labels[target]
        distance = slot - after
        if insn.opcode in (op.CALL, op.LDIMM64):
            kind = ReferenceKind.FUNCTION if insn.opcode == op.CALL else ReferenceKind.FUNCTION_POINTER
            return replace(link(insn, distance), reference=Reference(kind, self.symbols[slot]))
        if insn.opcode == op.GOTOL:
            return replace(insn, imm=distance)
        if distance not in _INT16:
            raise _at(statement, f"label {target} is {distance} slots away, a jump reaches 32767: use gotol")
        return replace(insn, off=distance)

    def _helper(self, statement: Statement, name: str) -> int:
        helper = None if statement.quoted else Helper.find(name, platform=self.platform)
        if helper is None:
            system = "Linux" if self.platform is Platform.LINUX else "Windows"
            known = [*self.labels, *(member.function for member in Helper if member.platform is self.platform)]
            raise self._unknown(statement, f"{name} is neither a label nor a helper of {system}", known)
        return helper.number

    @staticmethod
    def _unknown(statement: Statement, reason: str, known: object) -> AsmError:
        assert statement.target is not None
        names = list(known) if isinstance(known, (dict, list)) else []
        near = get_close_matches(statement.target, names, n=1)
        return _at(statement, f"{reason}; did you mean {near[0]}?" if near else reason)


def _at(statement: Statement, reason: str) -> AsmError:
    token: Token = statement.token
    return AsmError(reason, line=statement.line, column=token.column)
