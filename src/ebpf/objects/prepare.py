"""Load one program: references become numbers, types and lines are added (kernel/bpf/syscall.c `bpf_prog_load`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ebpf.asm import Insn, Instructions, ReferenceKind
from ebpf.asm.opcodes import BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE
from ebpf.errors import NotSupportedError, RelocationError, SystemCallError
from ebpf.objects.program import Program
from ebpf.runtime import attrs
from ebpf.runtime.load import load_program as load
from ebpf.runtime.load import log_of, object_name

if TYPE_CHECKING:
    from ebpf.btf import Btf
    from ebpf.objects.map import Map
    from ebpf.objects.sources import Sources
    from ebpf.runtime.base import Runtime
    from ebpf.runtime.handle import Handle
    from ebpf.spec import ProgramSpec

_TOKEN_FD = 1 << 16
_FUNC_INFO_SIZE = 8
_LINE_INFO_SIZE = 16


def load_program(
    spec: ProgramSpec,
    *,
    runtime: Runtime,
    maps: Mapping[str, Map],
    types: Btf | None,
    btf: Handle | None,
    sources: Sources,
    engine: str = "auto",
    trusted: bool = False,
    token: int | None = None,
    log_level: int = 0,
) -> Program:
    """Load one program whose maps exist.

    Raises VerifierError with the log, RelocationError for a map that is not there, LoadError, MissingPrivilegeError,
    NotSupportedError.
    """
    attr = attrs.ProgLoad(
        prog_type=spec.type,
        license=spec.license.encode() + b"\0",  # an empty license is a text too: a null pointer is EFAULT
        kern_version=spec.kernel_version,
        prog_flags=spec.flags | (_TOKEN_FD if token is not None else 0),
        prog_name=object_name(spec.name),
        prog_ifindex=spec.ifindex,
        expected_attach_type=0 if spec.attach_type is None else spec.attach_type,
        prog_token_fd=token or 0,
    )
    with ExitStack() as held:
        insns = spec.insns.encode(sys.byteorder, lambda insn: _resolve(insn, spec, maps, held))
        attr.insns, attr.insn_cnt = insns, len(insns) // 8
        if btf is not None and types is not None:
            attr.prog_btf_fd = held.enter_context(btf.borrow())
            _add_infos(attr, spec, types)
        try:
            fd = load(runtime, attr, log_level=log_level)
        except SystemCallError as error:
            from ebpf.objects.refusal import explain

            raise explain(spec, error) from error
    return Program(
        runtime,
        runtime.own(fd),
        spec,
        engine=engine,
        trusted=trusted,
        verifier_log=log_of(attr) if log_level else "",
        sources=sources,
    )


def _resolve(insn: Insn, spec: ProgramSpec, maps: Mapping[str, Map], held: ExitStack) -> Insn:
    """Put a map's number into an instruction; the map stays open until the load is over."""
    reference = insn.reference
    assert reference is not None
    if reference.kind not in (ReferenceKind.MAP, ReferenceKind.MAP_VALUE):
        raise NotSupportedError(f"program {spec.name}: a reference to {reference.kind} {reference.name!r}")
    if reference.name not in maps:
        error = RelocationError(
            f"load program {spec.name}: there is no map {reference.name!r}", candidates=tuple(sorted(maps))
        )
        error.program = spec.name
        raise error
    fd = held.enter_context(maps[reference.name].handle.borrow())
    if reference.kind is ReferenceKind.MAP:
        return insn._replace(src=BPF_PSEUDO_MAP_FD, imm=fd)
    return insn._replace(src=BPF_PSEUDO_MAP_VALUE, imm=fd | reference.offset << 32)


def _add_infos(attr: attrs.ProgLoad, spec: ProgramSpec, types: Btf) -> None:
    """Add function and line records; the kernel takes lines only if every function has one at its first instruction."""
    if not spec.func_info:
        attr.prog_btf_fd = 0
        return
    from ebpf.btf import encode_func_info, encode_line_info
    from ebpf.objects.refusal import slots

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
