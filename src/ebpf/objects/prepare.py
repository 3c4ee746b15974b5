"""Load one program: references become numbers, types and lines are added (kernel/bpf/syscall.c `bpf_prog_load`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ebpf.errors import SystemCallError
from ebpf.objects.program import Program
from ebpf.runtime import attrs
from ebpf.runtime.load import load_program as load
from ebpf.runtime.load import log_of, object_name

if TYPE_CHECKING:
    from ebpf.asm import Insn
    from ebpf.btf import Btf
    from ebpf.objects.map import Map
    from ebpf.objects.sources import Sources
    from ebpf.runtime.base import Runtime
    from ebpf.runtime.handle import Handle
    from ebpf.spec import ProgramSpec

_TOKEN_FD = 1 << 16


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

    def resolve(insn: Insn) -> Insn:
        from ebpf.objects.mapfds import resolve

        return resolve(insn, spec, maps, held)

    with ExitStack() as held:
        insns = spec.insns.encode(sys.byteorder, resolve)
        attr.insns, attr.insn_cnt = insns, len(insns) // 8
        if btf is not None and types is not None:
            attr.prog_btf_fd = held.enter_context(btf.borrow())
            from ebpf.objects.infos import add_infos

            add_infos(attr, spec, types)
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
