"""Functions of the program sections: where they lie, and their instructions with all that is known about each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from ebpf.asm import Insn, Instructions, Reference, SourceLine
from ebpf.asm.opcodes import CALL, LDIMM64
from ebpf.elf.file import STT_FUNC, Section, Symbol
from ebpf.elf.object import ObjectFile, Use
from ebpf.elf.relocate import FUNCTION_KINDS, Placed, Relocator
from ebpf.errors import AsmError, ElfError
from ebpf.plain import NamedTuple

if TYPE_CHECKING:
    from ebpf.btf import ExtInfo, Type
    from ebpf.btf.ext import CoreRelocation, Line


_REFERRING = frozenset((CALL, LDIMM64))
_SLOT_LIMIT = 1 << 20
"""No kernel loads a program of more instructions (BPF_COMPLEXITY_LIMIT_INSNS), nor is an object that large."""


class Span(NamedTuple):
    """A function's name, unique in the object, and its bytes in the section."""

    name: str
    start: int
    end: int


class Function(NamedTuple):
    """A function on its own: calls of others are references by name, in `calls` by first use."""

    name: str
    section: Section
    insns: Instructions
    calls: tuple[str, ...]
    type: Type | None


def find_spans(obj: ObjectFile) -> dict[int, list[Span]]:
    """Return the functions of each program section, by section index and in order of offset.

    Raises ElfError for functions that pass the end of their section or overlap, and for two programs of one name.
    """
    taken: dict[str, str] = {}
    spans = {}
    # Programs are named first, so that a static subprogram of the same name is the one to get a number.
    for section in sorted(obj.sections(Use.PROGRAM), key=lambda section: section.name == ".text"):
        spans[section.index] = [
            Span(_unique(symbol.name, section.name, taken), start, end)
            for symbol, start, end in _extents(_function_symbols(obj, section), section)
        ]
    return spans


def read_functions(obj: ObjectFile, spans: Mapping[int, list[Span]], relocator: Relocator) -> dict[str, Function]:
    """Decode every function; return them by name, in file order. Raises ElfError, LinkingError, BtfError."""
    functions = {}
    slots = sum(span.end - span.start for found in spans.values() for span in found) // 8
    if slots > _SLOT_LIMIT:
        raise ElfError(f"{slots} instructions, an object has at most {_SLOT_LIMIT}")
    # Sections may share a name, and with it these.
    records: dict[str, _Records] = {}
    texts: dict[int, str] = {}
    for index in sorted(spans):
        section = obj.elf.sections[index]
        if section.name not in records:
            records[section.name] = _Records(obj.info, section.name)
        notes = _Notes(obj, section, records[section.name], texts)
        for span in spans[index]:
            functions[span.name] = _read_function(obj, section, span, notes, relocator)
    return functions


def _function_symbols(obj: ObjectFile, section: Section) -> list[Symbol]:
    symbols = obj.symbols(section)
    # Compilers before clang 8 gave functions no type; later ones use untyped symbols for other labels.
    typed = [symbol for symbol in symbols if symbol.type == STT_FUNC]
    by_offset = {symbol.value: symbol for symbol in typed or symbols}
    return [by_offset[offset] for offset in sorted(by_offset)]


def _extents(symbols: list[Symbol], section: Section) -> Iterator[tuple[Symbol, int, int]]:
    starts = [*(symbol.value for symbol in symbols), section.size]
    for symbol, (start, following) in zip(symbols, pairwise(starts), strict=True):
        end = start + symbol.size if symbol.size else following
        if not start < end <= following:
            what = "the end of the section" if symbol is symbols[-1] else "the next function"
            reason = f"function {symbol.name} ({start:#x} to {end:#x}) passes {what} at {following:#x}"
            raise ElfError(reason, section=section.name, offset=start)
        yield symbol, start, end


def _unique(name: str, section: str, taken: dict[str, str]) -> str:
    """Return a name for a function; static subprograms of linked objects may share one, and get a number then."""
    if name in taken:
        if section != ".text":
            raise ElfError(f"two programs are named {name}", section=section)
        number = len(taken)
        while f"{name}.{number}" in taken:
            number += 1
        name = f"{name}.{number}"
    taken[name] = section
    return name


class _Records:
    """What `.BTF.ext` says about all sections of one name, by byte offset."""

    def __init__(self, info: ExtInfo | None, section_name: str) -> None:
        self.lines: dict[int, Line] = {}
        self.cores: dict[int, CoreRelocation] = {}
        self.functions: dict[int, int] = {}
        if info is not None:
            self.lines.update((line.offset, line) for line in info.lines.get(section_name, ()))
            self.cores.update((core.offset, core) for core in info.cores.get(section_name, ()))
            self.functions.update(info.funcs.get(section_name, ()))


class _Notes:
    """What is known about the instructions of a section, by byte offset; texts are decoded once, when asked for."""

    def __init__(self, obj: ObjectFile, section: Section, records: _Records, texts: dict[int, str]) -> None:
        self.relocations = obj.relocations[section.index]
        self.lines, self.cores, self._functions = records.lines, records.cores, records.functions
        self._types = obj.types
        self._texts = texts
        self._relocated = sorted(self.relocations)

    def __contains__(self, offset: int) -> bool:
        return offset in self.relocations or offset in self.lines or offset in self.cores

    def relocations_within(self, span: Span) -> int:
        """Count the relocations between the ends of a function, wherever they point."""
        return bisect_left(self._relocated, span.end) - bisect_left(self._relocated, span.start)

    def source(self, offset: int) -> SourceLine | None:
        """Return the line of source code that begins at an instruction."""
        line = self.lines.get(offset)
        if line is None:
            return None
        return SourceLine(self._text(line.file_off), line.line, line.column, self._text(line.line_off))

    def function_type(self, offset: int) -> Type | None:
        """Return the BTF function that begins at an instruction."""
        type_id = self._functions.get(offset)
        return self._types.by_id(type_id) if type_id is not None and self._types is not None else None

    def _text(self, offset: int) -> str:
        known = self._texts.get(offset)
        if known is None and self._types is not None:
            known = self._texts[offset] = self._types.string(offset)
        return known or ""


def _read_function(obj: ObjectFile, section: Section, span: Span, notes: _Notes, relocator: Relocator) -> Function:
    insns = _decode(obj, section, span)
    calls: dict[str, None] = {}
    relocated, offset = 0, span.start
    for index, insn in enumerate(insns):
        opcode = insn.opcode
        if opcode in _REFERRING or offset in notes or not index:
            symbol = notes.relocations.get(offset)
            relocated += symbol is not None
            insns[index], reference = _annotate(
                insn, offset, span, notes, relocator.place(insn, symbol, section, offset)
            )
            if reference is not None and reference.kind in FUNCTION_KINDS:
                calls[reference.name] = None
        offset += 16 if opcode == LDIMM64 else 8
    if relocated != notes.relocations_within(span):
        raise ElfError(f"relocation inside an instruction of {span.name}", section=section.name, offset=span.start)
    return Function(span.name, section, insns, tuple(calls), notes.function_type(span.start))


def _annotate(
    insn: Insn, offset: int, span: Span, notes: _Notes, placed: Placed | None
) -> tuple[Insn, Reference | None]:
    """Return the instruction with all that is known about it, and what it refers to."""
    src, imm, reference = placed or (insn.src, insn.imm, None)
    symbol = span.name if offset == span.start else None
    source, core = notes.source(offset), notes.cores.get(offset)
    if symbol or reference or source or core:
        fields = insn.opcode, insn.dst, src, insn.off, imm
        insn = Insn(*fields, symbol=symbol, reference=reference, source=source, core=core)
    return insn, reference


def _decode(obj: ObjectFile, section: Section, span: Span) -> Instructions:
    try:
        return Instructions.decode(section.data[span.start : span.end], obj.byte_order)
    except AsmError as error:
        raise ElfError(f"function {span.name}: {error}", section=section.name, offset=span.start) from None
