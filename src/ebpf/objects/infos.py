"""Types of functions and lines of source code, as PROG_LOAD takes them (`struct bpf_func_info`, `bpf_line_info`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.btf import encode_func_info, encode_line_info
from ebpf.objects.refusal import slots

if TYPE_CHECKING:
    from ebpf.asm import Instructions
    from ebpf.btf import Btf
    from ebpf.runtime import attrs
    from ebpf.spec import ProgramSpec

_FUNC_INFO_SIZE = 8
_LINE_INFO_SIZE = 16


def add_infos(attr: attrs.ProgLoad, spec: ProgramSpec, types: Btf) -> None:
    """Add function and line records; the kernel takes lines only if every function has one at its first instruction."""
    if not spec.func_info:
        attr.prog_btf_fd = 0
        return
    starts = slots(spec.insns)
    functions = [(starts[info.insn], info.type.id) for info in spec.func_info]
    attr.func_info = encode_func_info(functions, types)
    attr.func_info_rec_size, attr.func_info_cnt = _FUNC_INFO_SIZE, len(functions)
    lines = _lines(spec.insns, starts, types)
    if {slot for slot, _ in functions} <= {line[0] for line in lines}:
        attr.line_info = encode_line_info(lines, types)
        attr.line_info_rec_size, attr.line_info_cnt = _LINE_INFO_SIZE, len(lines)


def _lines(insns: Instructions, starts: list[int], types: Btf) -> list[tuple[int, int, int, int, int]]:
    """Return (slot, file offset, line offset, line, column) where the source line changes."""
    rows = []
    previous = None
    for slot, insn in zip(starts, insns, strict=True):
        source = insn.source
        if source is None or (source is previous and insn.symbol is None):
            continue
        previous = source
        file, text = types.string_offset(source.file), types.string_offset(source.text)
        if file is not None and text is not None:
            rows.append((slot, file, text, source.line, source.column))
    return rows
