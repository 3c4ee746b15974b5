"""One case, run by the kernel and by the vm: what both answered, in a form that can be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace

import ebpf.runtime
from ebpf.abi.types import AttachType, Cmd, MapFlag, MapType, ProgramType
from ebpf.asm import Insn, assemble
from ebpf.errors import SystemCallError
from ebpf.runtime import Handle
from ebpf.runtime.attrs import MapCreate, MapElem, ProgLoad, ProgTestRun
from ebpf.vm.fault import Rejected
from ebpf.vm.maps import Map, MapShape, create_map
from ebpf.vm.program import LoadRequest, Program, load_program
from ebpf.vm.testrun import TestRequest, test_run

KERNEL = ebpf.runtime.linux()
OUT = MapShape(MapType.ARRAY, 4, 256, 1, name="out")
"""Where programs put what is to be compared: `r1 = map[out][0] ll`."""
_KEY = bytes(4)
_ROOM = 1 << 17


@dataclass(frozen=True, kw_only=True)
class Case:
    """A program (assembly text) and what it is run on. `constants` is the value of the read-only map `ro`.

    `maps` are further maps. `wants_ctx` asks for the context as the program left it.
    """

    name: str
    type: ProgramType
    text: str
    data: bytes = bytes(64)
    ctx: bytes | None = None
    attach_type: AttachType | None = None
    flags: int = 0
    repeat: int = 0
    cpu: int = 0
    batch_size: int = 0
    wants_data: bool = True
    wants_ctx: bool = False
    constants: bytes = b""
    maps: Mapping[str, MapShape] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def shapes(self) -> dict[str, MapShape]:
        """Return all maps that the program may name."""
        shapes = {"out": OUT, **self.maps}
        if self.constants:
            shapes["ro"] = MapShape(MapType.ARRAY, 4, len(self.constants), 1, int(MapFlag.RDONLY_PROG), name="ro")
        return shapes


@dataclass(frozen=True)
class Outcome:
    """What came of a case; `refused` is an errno."""

    refused: int = 0
    at_load: bool = False
    retval: int = 0
    data: bytes = b""
    ctx: bytes = b""
    out: bytes = b""


def on_kernel(case: Case) -> Outcome:
    """Load and run the case in the kernel."""
    with ExitStack() as stack:
        maps = {name: stack.enter_context(_owned(_create(shape))) for name, shape in case.shapes().items()}
        fds = {name: stack.enter_context(handle.borrow()) for name, handle in maps.items()}
        if case.constants:
            KERNEL.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fds["ro"], key=_KEY, value=case.constants))
            KERNEL.bpf(Cmd.MAP_FREEZE, MapElem(map_fd=fds["ro"]))
        try:
            program = stack.enter_context(_owned(_load(case, fds)))
        except SystemCallError as error:
            return Outcome(error.errno, at_load=True)
        attr = _request(case)
        with program.borrow() as fd:
            attr.prog_fd = fd
            try:
                KERNEL.bpf(Cmd.PROG_TEST_RUN, attr)
            except SystemCallError as error:
                return Outcome(error.errno)
        out = bytearray(OUT.value_size)
        KERNEL.bpf(Cmd.MAP_LOOKUP_ELEM, MapElem(map_fd=fds["out"], key=_KEY, value=out))
        ctx = attr.ctx_in if case.type == ProgramType.SYSCALL else (attr.ctx_out or b"")[: attr.ctx_size_out]
        data = bytes((attr.data_out or b"")[: attr.data_size_out])
        return Outcome(retval=attr.retval, data=data, ctx=bytes(ctx or b""), out=bytes(out))


def _owned(fd: int) -> closing[Handle]:
    return closing(KERNEL.own(fd))


def _create(shape: MapShape) -> int:
    attr = MapCreate(
        map_type=shape.type, key_size=shape.key_size, value_size=shape.value_size, max_entries=shape.max_entries,
        map_flags=shape.flags, map_name=shape.name.encode(),
    )  # fmt: skip
    return KERNEL.bpf(Cmd.MAP_CREATE, attr)


def _load(case: Case, fds: Mapping[str, int]) -> int:
    code = encode(case.text, fds.__getitem__)
    attr = ProgLoad(
        prog_type=case.type, insns=code, insn_cnt=len(code) // 8, license=b"GPL",
        expected_attach_type=case.attach_type or 0, prog_flags=16 if case.type == ProgramType.SYSCALL else 0,
    )  # fmt: skip
    return KERNEL.bpf(Cmd.PROG_LOAD, attr)


def _request(case: Case) -> ProgTestRun:
    attr = ProgTestRun(repeat=case.repeat, flags=case.flags, cpu=case.cpu, batch_size=case.batch_size)
    if case.data:
        attr.data_in, attr.data_size_in = case.data, len(case.data)
    if case.wants_data:
        attr.data_out, attr.data_size_out = bytearray(_ROOM), _ROOM
    if case.ctx is not None:
        attr.ctx_in, attr.ctx_size_in = bytearray(case.ctx), len(case.ctx)
    if case.wants_ctx:
        attr.ctx_out, attr.ctx_size_out = bytearray(256), 256
    return attr


def encode(text: str, number: Callable[[str], int]) -> bytes:
    """Assemble; `number` gives a map's descriptor."""

    def resolve(insn: Insn) -> Insn:
        assert insn.reference is not None
        if insn.opcode != 0x18:
            return insn
        return replace(insn, imm=insn.imm & ~0xFFFFFFFF | number(insn.reference.name))

    return assemble(text).encode(resolve=resolve)


def on_vm(case: Case) -> Outcome:
    """Load and run the case in the vm."""
    maps = {name: create_map(shape) for name, shape in case.shapes().items()}
    if case.constants:
        maps["ro"].write(_KEY, case.constants)
        maps["ro"].frozen = True
    try:
        program = load_in_vm(case, maps)
    except Rejected as error:
        return Outcome(error.errno, at_load=True)
    request = TestRequest(
        data=case.data, ctx=case.ctx, repeat=case.repeat, flags=case.flags, cpu=case.cpu, batch_size=case.batch_size,
        wants_data=case.wants_data, wants_ctx=case.wants_ctx,
    )  # fmt: skip
    try:
        result = test_run(program, QuietKernel(), request, on_cpu=0, cpus=1, budget=1 << 20)
    except Rejected as error:
        return Outcome(error.errno)
    out = maps["out"].lookup(_KEY)
    assert out is not None
    wants_ctx = case.wants_ctx or case.type == ProgramType.SYSCALL
    return Outcome(
        retval=result.retval,
        data=result.data if case.wants_data else b"",
        ctx=result.ctx if wants_ctx else b"",
        out=out.tobytes(),
    )


def load_in_vm(case: Case, maps: Mapping[str, Map]) -> Program:
    """Load the case's program; map descriptors are positions."""
    names = list(maps)
    request = LoadRequest(
        type=case.type,
        attach_type=case.attach_type,
        insns=encode(case.text, names.index),
        license="GPL",
        map_by_fd=lambda fd: maps[names[fd]],
    )
    return load_program(request, [].append)


class QuietKernel:
    """A kernel where time stands still. `lines` is what was traced."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def ktime_ns(self) -> int:
        return 1_000_000_007

    boot_ns = tai_ns = ktime_ns

    def random_u32(self) -> int:
        return 4

    def pid_tgid(self) -> int:
        return 7 << 32 | 8

    def uid_gid(self) -> int:
        return 9 << 32 | 10

    def comm(self) -> bytes:
        return b"python"

    def trace(self, text: str) -> None:
        self.lines.append(text)

    def program_of(self, prog_array: Map, index: int) -> Program | None:
        return None
