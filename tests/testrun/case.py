"""A test run, and what a runtime answers to it, in a form that can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cache

from ebpf.abi.types import AttachType, Cmd, MapFlag, MapType, ProgramType
from ebpf.asm import Insn, assemble
from ebpf.errors import SystemCallError
from ebpf.runtime import Handle, Runtime
from ebpf.runtime.attrs import MapCreate, MapElem, ProgLoad, ProgTestRun
from ebpf.vm.maps import MapShape

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


@contextmanager
def loaded(runtime: Runtime, case: Case) -> Iterator[tuple[Handle, dict[str, int]]]:
    """Load a case's program for the length of a block; give its handle, and the numbers of its maps."""
    with ExitStack() as stack:

        def own(fd: int) -> Handle:
            return stack.enter_context(closing(runtime.own(fd)))

        maps = {name: own(_create(runtime, shape)) for name, shape in case.shapes().items()}
        fds = {name: stack.enter_context(handle.borrow()) for name, handle in maps.items()}
        if case.constants:
            runtime.bpf(Cmd.MAP_UPDATE_ELEM, MapElem(map_fd=fds["ro"], key=_KEY, value=case.constants))
            runtime.bpf(Cmd.MAP_FREEZE, MapElem(map_fd=fds["ro"]))
        yield own(_load(runtime, case, fds)), fds


def output(runtime: Runtime, fds: Mapping[str, int]) -> bytes:
    """Return what the program left in its map `out`."""
    out = bytearray(OUT.value_size)
    runtime.bpf(Cmd.MAP_LOOKUP_ELEM, MapElem(map_fd=fds["out"], key=_KEY, value=out))
    return bytes(out)


def on(runtime: Runtime, case: Case) -> Outcome:
    """Load and run the case by way of bpf()."""
    with ExitStack() as stack:
        try:
            program, fds = stack.enter_context(loaded(runtime, case))
        except SystemCallError as error:
            return Outcome(error.linux_errno, at_load=True)
        attr = _request(case)
        with program.borrow() as fd:
            attr.prog_fd = fd
            try:
                runtime.bpf(Cmd.PROG_TEST_RUN, attr)
            except SystemCallError as error:
                return Outcome(error.linux_errno)
        in_place = case.type == ProgramType.SYSCALL
        given = attr.ctx_in if in_place else memoryview(attr.ctx_out or b"")[: attr.ctx_size_out]
        data = memoryview(attr.data_out or b"")[: attr.data_size_out]
        return Outcome(retval=attr.retval, data=bytes(data), ctx=bytes(given or b""), out=output(runtime, fds))


def _create(runtime: Runtime, shape: MapShape) -> int:
    attr = MapCreate(
        map_type=shape.type, key_size=shape.key_size, value_size=shape.value_size, max_entries=shape.max_entries,
        map_flags=shape.flags, map_name=shape.name.encode(),
    )  # fmt: skip
    return runtime.bpf(Cmd.MAP_CREATE, attr)


def _load(runtime: Runtime, case: Case, fds: Mapping[str, int]) -> int:
    code = encode(case.text, fds.__getitem__)
    attr = ProgLoad(
        prog_type=case.type, insns=code, insn_cnt=len(code) // 8, license=b"GPL",
        expected_attach_type=case.attach_type or 0, prog_flags=16 if case.type == ProgramType.SYSCALL else 0,
    )  # fmt: skip
    return runtime.bpf(Cmd.PROG_LOAD, attr)


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
        return insn._replace(imm=insn.imm & ~0xFFFFFFFF | number(insn.reference.name))

    return _assembled(text).encode(resolve=resolve)


_assembled = cache(assemble)
"""Each case is run on every engine and in the kernel, and most have their text in common with others."""
