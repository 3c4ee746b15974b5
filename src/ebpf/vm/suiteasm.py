"""The assembly language of the public conformance suite (bpf_conformance): `mnemonic operand, operand`, one a line.

A label stands on a line of its own, `name:`; the first `exit` is also the label `exit`. `#` begins a comment.
Registers are written with `%` or without. Of a constant wider than 32 bits an instruction gets the low 32, as in the
suite's own assembler. `map_by_fd(name)` stands for a map of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ebpf.abi.helpers import Helper
from ebpf.asm import opcodes as op
from ebpf.errors import AsmError
from ebpf.vm import M32
from ebpf.vm.program import Slot, encode_slots

_ALU = {
    "add": op.BPF_ADD, "sub": op.BPF_SUB, "mul": op.BPF_MUL, "div": op.BPF_DIV, "sdiv": op.BPF_DIV, "or": op.BPF_OR,
    "and": op.BPF_AND, "lsh": op.BPF_LSH, "rsh": op.BPF_RSH, "mod": op.BPF_MOD, "smod": op.BPF_MOD,
    "xor": op.BPF_XOR, "mov": op.BPF_MOV, "arsh": op.BPF_ARSH,
}  # fmt: skip
_JUMPS = {
    "jeq": op.BPF_JEQ, "jgt": op.BPF_JGT, "jge": op.BPF_JGE, "jset": op.BPF_JSET, "jne": op.BPF_JNE,
    "jsgt": op.BPF_JSGT, "jsge": op.BPF_JSGE, "jlt": op.BPF_JLT, "jle": op.BPF_JLE, "jslt": op.BPF_JSLT,
    "jsle": op.BPF_JSLE,
}  # fmt: skip
_SIZES = {"b": op.BPF_B, "h": op.BPF_H, "w": op.BPF_W, "dw": op.BPF_DW}
_SWAPS = {
    "le": op.BPF_ALU | op.BPF_END | op.BPF_TO_LE,
    "be": op.BPF_ALU | op.BPF_END | op.BPF_TO_BE,
    "swap": op.BPF_ALU64 | op.BPF_END,
    "bswap": op.BPF_ALU64 | op.BPF_END,
}
_ATOMICS = {"add": op.BPF_ADD, "or": op.BPF_OR, "and": op.BPF_AND, "xor": op.BPF_XOR}
_EXCHANGES = {"xchg": op.BPF_XCHG, "cmpxchg": op.BPF_CMPXCHG}
_CALL_MODES = {"helper": 0, "local": op.BPF_PSEUDO_CALL, "runtime": op.BPF_PSEUDO_KFUNC_CALL}

_REGISTER = re.compile(r"%?r(\d|1[0-5])")
_ADDRESS = re.compile(r"\[(%?r\d+)([+-][0-9a-fA-Fx]+)?\]")
_NUMBER = re.compile(r"[+-]?(0x[0-9a-fA-F]+|\d+)")
_MAP = re.compile(r"map_by_fd\((\w+)\)")


_Encode: TypeAlias = Callable[["_Program", re.Match[str], list[str]], list[Slot]]


def assemble_suite(text: str, maps: Sequence[str] = ()) -> bytes:
    """Translate the text of an `-- asm` section into little-endian code. Raises AsmError with the line.

    `maps` are the names of the file's maps; code holds their numbers, from 1, where a program has file descriptors.
    """
    return _Program(maps).read(text)


class _Program:
    """Instructions so far, where labels are, and which instructions wait for one."""

    def __init__(self, maps: Sequence[str]) -> None:
        self.maps = list(maps)
        self.slots: list[Slot] = []
        self.labels: dict[str, int] = {}
        self.waiting: list[tuple[int, str, int]] = []
        self.line = 0

    def read(self, text: str) -> bytes:
        for number, line in enumerate(text.splitlines(), 1):
            self.line = number
            words = line.partition("#")[0].split()
            if words:
                self._statement(words[0], [word.removesuffix(",") for word in words[1:]])
        for at, label, number in self.waiting:
            self.line = number
            if label not in self.labels:
                raise self.error(f"no label {label}")
            self.slots[at] = _directed(self.slots[at], self.labels[label] - at - 1)
        return encode_slots(self.slots)

    def error(self, reason: str) -> AsmError:
        return AsmError(reason, line=self.line)

    def _statement(self, mnemonic: str, operands: list[str]) -> None:
        if mnemonic.endswith(":"):
            if self.labels.setdefault(mnemonic[:-1], len(self.slots)) != len(self.slots):
                raise self.error(f"label {mnemonic[:-1]} is defined twice")
            return
        if mnemonic == "exit":
            self.labels.setdefault("exit", len(self.slots))
        for pattern, count, encode in _FORMS:
            match = pattern.fullmatch(mnemonic)
            if match is None:
                continue
            if len(operands) not in count:
                raise self.error(f"{mnemonic} takes {' or '.join(map(str, count))} operands, found {len(operands)}")
            self.slots += encode(self, match, operands)
            return
        raise self.error(f"unknown instruction {mnemonic}")

    # Operands.

    def register(self, text: str) -> int:
        match = _REGISTER.fullmatch(text)
        if match is None:
            raise self.error(f"expected a register such as %r1, found {text}")
        return int(match[1])

    def address(self, text: str) -> tuple[int, int]:
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise self.error(f"expected an address such as [%r1+8], found {text}")
        return self.register(match[1]), self.number(match[2] or "0", 16)

    def constant(self, text: str) -> int:
        """Read a number and keep its low 32 bits, signed."""
        return (self.number(text, 64) + (1 << 31) & M32) - (1 << 31)

    def map(self, name: str) -> int:
        if name not in self.maps:
            raise self.error(f"no map {name} in the file")
        return self.maps.index(name) + 1

    def helper(self, text: str) -> int:
        if not text.startswith("bpf_"):
            return self.constant(text)
        helper = Helper.find(text)
        if helper is None:
            raise self.error(f"no helper {text}")
        return int(helper)

    def number(self, text: str, bits: int) -> int:
        """Read a number that fits `bits`; hexadecimal ones may be unsigned. The result is signed."""
        if not _NUMBER.fullmatch(text):
            raise self.error(f"expected a number, found {text}")
        value = int(text, 0)
        low, high = -(1 << bits - 1), 1 << (bits if "0x" in text else bits - 1)
        if not low <= value < high:
            raise self.error(f"{text} does not fit {bits} bits")
        return value - (1 << bits) if value >= 1 << bits - 1 else value

    def source(self, opcode: int, dst: int, text: str, off: int = 0) -> Slot:
        """Return an instruction whose second operand is a register or a constant."""
        if _REGISTER.fullmatch(text):
            return Slot(opcode | op.BPF_X, dst, self.register(text), off, 0)
        return Slot(opcode | op.BPF_K, dst, 0, off, self.constant(text))

    def target(self, slot: Slot, text: str) -> Slot:
        """Make an instruction go to a label, or so many slots on."""
        if _NUMBER.fullmatch(text):
            return _directed(slot, self.number(text, 16))
        self.waiting.append((len(self.slots), text, self.line))
        return slot


def _directed(slot: Slot, distance: int) -> Slot:
    return slot._replace(imm=distance) if slot.opcode in (op.CALL, op.GOTOL) else slot._replace(off=distance)


def _width(narrow: str | None) -> int:
    return op.BPF_ALU if narrow == "32" else op.BPF_ALU64


def _binary(program: _Program, match: re.Match[str], operands: list[str]) -> list[Slot]:
    dst, off = program.register(operands[0]), int(match[1] in ("sdiv", "smod"))
    return [program.source(_width(match[2]) | _ALU[match[1]], dst, operands[1], off)]


def _negate(program: _Program, match: re.Match[str], operands: list[str]) -> list[Slot]:
    return [Slot(_width(match[1]) | op.BPF_NEG, program.register(operands[0]), 0, 0, 0)]


def _extend(program: _Program, match: re.Match[str], operands: list[str]) -> list[Slot]:
    dst, src = map(program.register, operands)
    return [Slot(_width(match[2]) | op.BPF_MOV | op.BPF_X, dst, src, int(match[1]), 0)]


def _swap(program: _Program, match: re.Match[str], operands: list[str]) -> list[Slot]:
    return [Slot(_SWAPS[match[1]], program.register(operands[0]), 0, 0, int(match[2]))]


def _load(program: _Program, match: re.Match[str], operands: list[str]) -> list[Slot]:
    src, off = program.address(operands[1])
    mode = op.BPF_MEMSX if match[1] else op.BPF_MEM
    return [Slot(op.BPF_LDX | mode | _SIZES[match[2]], program.register(operands[0]), src, off, 0)]


def _store(program: _Program, match: re.Match[str], operands: list[str]) -> list[Slot]:
    dst, off = program.address(operands[0])
    if match[1]:
        src = program.register(operands[1])
        return [Slot(op.BPF_STX | op.BPF_MEM | _SIZES[match[2]], dst, src, off, 0)]
    return [Slot(op.BPF_ST | op.BPF_MEM | _SIZES[match[2]], dst, 0, off, program.constant(operands[1]))]


def _constant(program: _Program, match: re.Match[str], operands: list[str]) -> list[Slot]:
    named = _MAP.fullmatch(operands[1])
    if named:
        number = program.map(named[1])
        return [Slot(op.LDIMM64, program.register(operands[0]), op.BPF_PSEUDO_MAP_FD, 0, number), Slot(0, 0, 0, 0, 0)]
    value = program.number(operands[1], 64)
    low, high = (part - (1 << 32) if part >> 31 else part for part in (value & M32, value >> 32 & M32))
    return [Slot(op.LDIMM64, program.register(operands[0]), 0, 0, low), Slot(0, 0, 0, 0, high)]


def _always(program: _Program, match: re.Match[str], operands: list[str]) -> list[Slot]:
    return [program.target(Slot(op.GOTOL if match[1] else op.GOTO, 0, 0, 0, 0), operands[0])]


def _branch(program: _Program, match: re.Match[str], operands: list[str]) -> list[Slot]:
    width = op.BPF_JMP32 if match[2] else op.BPF_JMP
    slot = program.source(width | _JUMPS[match[1]], program.register(operands[0]), operands[1])
    return [program.target(slot, operands[2])]


def _call(program: _Program, match: re.Match[str], operands: list[str]) -> list[Slot]:
    mode, what = ("helper", *operands)[-2:]
    if mode not in _CALL_MODES:
        raise program.error(f"expected {', '.join(_CALL_MODES)}, found {mode}")
    if mode == "local":
        return [program.target(Slot(op.CALL, 0, _CALL_MODES[mode], 0, 0), what)]
    if mode == "helper" and _REGISTER.fullmatch(what):
        return [Slot(op.CALLX, program.register(what), 0, 0, 0)]
    return [
        Slot(op.CALL, 0, _CALL_MODES[mode], 0, program.helper(what) if mode == "helper" else program.constant(what))
    ]


def _lock(program: _Program, match: re.Match[str], operands: list[str]) -> list[Slot]:
    fetch = operands[0] == "fetch"
    name, place, src = operands[-3:]
    operation = name.removesuffix("32")
    if len(operands) != 3 + fetch or operation not in _ATOMICS | _EXCHANGES:
        raise program.error(f"expected lock [fetch] operation address, register, found {' '.join(operands)}")
    imm = _EXCHANGES.get(operation) or _ATOMICS[operation] | (op.BPF_FETCH if fetch else 0)
    size = op.BPF_W if name != operation else op.BPF_DW
    dst, off = program.address(place)
    return [Slot(op.BPF_STX | op.BPF_ATOMIC | size, dst, program.register(src), off, imm)]


def _exit(program: _Program, match: re.Match[str], operands: list[str]) -> list[Slot]:
    return [Slot(op.EXIT, 0, 0, 0, 0)]


_FORMS: tuple[tuple[re.Pattern[str], tuple[int, ...], _Encode], ...] = (
    (re.compile(f"({'|'.join(_ALU)})(32|64)?"), (2,), _binary),
    (re.compile("neg(32|64)?"), (1,), _negate),
    (re.compile("movsx(8|16|32)(32|64)"), (2,), _extend),
    (re.compile("(le|be|swap|bswap)(16|32|64)"), (1,), _swap),
    (re.compile("ldx(s?)(b|h|w|dw)"), (2,), _load),
    (re.compile("st(x?)(b|h|w|dw)"), (2,), _store),
    (re.compile("lddw"), (2,), _constant),
    (re.compile("ja(32)?"), (1,), _always),
    (re.compile(f"({'|'.join(_JUMPS)})(32)?"), (3,), _branch),
    (re.compile("call"), (1, 2), _call),
    (re.compile("lock"), (3, 4), _lock),
    (re.compile("exit"), (0,), _exit),
)
"""Form of a mnemonic, how many operands it takes, what encodes it."""
