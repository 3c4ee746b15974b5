"""Random programs over the whole instruction set: two maps, a context, functions, callbacks and tail calls."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import strategies as st

from ebpf.abi.types import MapType, ProgramType
from ebpf.errors import ProgramFault
from ebpf.vm.check import check_code
from ebpf.vm.context import PlainContext
from ebpf.vm.engines import Execute
from ebpf.vm.helpers.dispatch import call_helper
from ebpf.vm.machine import Run
from ebpf.vm.maps import Map, MapShape, create_map
from ebpf.vm.program import Program, decode_slots
from tests.isa.case import EXIT, slot, wide
from tests.unit.vm.bench import StillKernel

BUDGET = 600
_ALU = [op << 4 for op in range(13)]
_JUMPS = [op << 4 for op in (1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13)]
_ATOMICS = [0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xA0, 0xA1, 0xE1, 0xF1, 0x100, 0x110]
_HELPERS = [1, 2, 3, 5, 7, 12, 12, 87, 88, 130, 131, 132, 164, 181]
_IMMEDIATES = [0, 1, 2, 3, 4, 7, 8, 16, 31, 32, 33, 63, 64, 255, -1, -2, -8, -64, 1 << 31, 0x7FFFFFFF, 0xDEADBEEF]
_OFFSETS = [-520, -512, -64, -16, -12, -8, -7, -4, -2, -1, 0, 1, 2, 4, 6, 8, 12, 16, 24, 60, 64]
CONTEXT_SIZE = 64
CALLBACK = 0x0BAD_CA11
_CALLBACK = slot(0xB7, 2, imm=CALLBACK)
_SCRATCH = -32
"""Where phrases keep keys and values on the stack."""


@dataclass(frozen=True)
class Draft:
    """An instruction before it is known where its jump may lead."""

    kind: int
    dst: int
    src: int
    off: int
    imm: int
    choice: int


_KINDS = [0, 0, *range(26), 22, 23, 24, 25, 21]
DRAFTS = st.builds(
    Draft,
    kind=st.sampled_from(_KINDS),
    dst=st.integers(0, 9),
    src=st.integers(0, 10),
    off=st.sampled_from(_OFFSETS),
    imm=st.one_of(st.sampled_from(_IMMEDIATES), st.integers(-(1 << 31), (1 << 31) - 1)),
    choice=st.integers(0, 1 << 16),
)
FUNCTIONS = st.lists(st.lists(DRAFTS, min_size=1, max_size=14), min_size=1, max_size=4)


def random_functions(choose: random.Random) -> list[list[Draft]]:
    """Draw functions evenly: Hypothesis likes small numbers and repetition."""

    def draft() -> Draft:
        imm = choose.choice((choose.choice(_IMMEDIATES), choose.randrange(-(1 << 31), 1 << 31)))
        return Draft(
            choose.choice(_KINDS), choose.randrange(10), choose.randrange(11), choose.choice(_OFFSETS), imm,
            choose.randrange(1 << 16),
        )  # fmt: skip

    return [[draft() for _ in range(choose.randrange(1, 15))] for _ in range(choose.randrange(1, 5))]


def _place(draft: Draft) -> tuple[int, int]:
    """Base register and offset of a memory access; mostly inside the stack, the context or the map value."""
    base = (10, 6, 7, 10, 6, 7, 10, draft.src % 10)[draft.choice >> 2 & 7]
    if draft.choice >> 9 & 7 == 0:
        return base, draft.off
    return base, -8 - abs(draft.off) // 8 % 32 * 8 if base == 10 else abs(draft.off) % 24 & ~7


def _encode(draft: Draft) -> bytes:
    """One instruction that neither jumps nor calls."""
    kind, dst, src, imm, choice = draft.kind, draft.dst, draft.src, draft.imm, draft.choice
    base, off = _place(draft)
    if kind < 5:
        op, width, by_register = _ALU[choice % 13], choice >> 4 & 3, choice >> 6 & 1
        opcode = op | (7 if width else 4) | (8 if by_register and op != 0x80 else 0)
        odd = 1 if op in (0x30, 0x90) and choice >> 7 & 1 else 0
        if op == 0xB0 and by_register:
            odd = (0, 8, 16, 32 if width else 8)[choice >> 7 & 3]
        if op == 0x80:
            return slot(opcode, dst)
        return slot(opcode, dst, src, odd) if by_register else slot(opcode, dst, 0, odd, imm)
    if kind == 5:
        return slot((0xD4, 0xDC, 0xD7)[choice % 3], dst, imm=(16, 32, 64)[choice // 3 % 3])
    if kind < 10:
        return slot((0x61, 0x69, 0x71, 0x79, 0x81, 0x89, 0x91)[choice % 7], dst, base, off)
    if kind < 12:
        return slot((0x63, 0x6B, 0x73, 0x7B)[choice % 4], base, src, off)
    if kind == 12:
        return slot((0x62, 0x6A, 0x72, 0x7A)[choice % 4], base, 0, off, imm)
    if kind < 15:
        return _atomic(draft)
    if kind == 15:
        return wide(dst, imm << 17 ^ imm)
    if kind == 16:
        return slot(0x18, dst, 5, imm=choice % 4) + slot(0)
    if kind >= 22:
        return _phrase(draft)
    if kind == 17:
        return slot(0x18, dst, 6) + slot(0, imm=choice % 3 * 8)
    return slot(0x85, imm=_HELPERS[choice % len(_HELPERS)])


def _phrase(draft: Draft) -> bytes:
    """A helper call whose arguments fit."""
    choice, key = draft.choice, slot(0x62, 10, 0, _SCRATCH, draft.choice >> 4 & 3)
    scratch = slot(0xBF, 2, 10) + slot(0x07, 2, imm=_SCRATCH)
    number = 1 if draft.kind == 22 else 0
    map_ = slot(0x18, 1, 5, imm=number) + slot(0)
    value = slot(0xBF, 3, 10) + slot(0x07, 3, imm=_SCRATCH + 8)
    if draft.kind < 24:
        if choice & 1:
            return key + map_ + scratch + slot(0x85, imm=1) + slot(0x15, 0, off=1) + slot(0x7B, 0, 8, draft.off % 24)
        return key + map_ + scratch + value + slot(0xB7, 4) + slot(0x85, imm=3 if choice & 2 else 2)
    if choice & 1:
        ring = slot(0x18, 1, 5, imm=3) + slot(0)
        return ring + scratch + slot(0xB7, 3, imm=12) + slot(0xB7, 4) + slot(0x85, imm=130)
    if choice & 2:
        tail = slot(0x18, 2, 5, imm=2) + slot(0) + slot(0xBF, 1, 6)
        return tail + slot(0xB7, 3, imm=choice >> 2 & 1) + slot(0x85, imm=12)
    # Which function is called back is decided later: its slot stands where the constant is.
    back = map_ + slot(0xB7, 2, imm=CALLBACK) + slot(0xBF, 3, 10) + slot(0xB7, 4) + slot(0x85, imm=164)
    loop = slot(0xB7, 1, imm=2) + slot(0xB7, 2, imm=CALLBACK) + slot(0xBF, 3, 10) + slot(0xB7, 4) + slot(0x85, imm=181)
    return back if choice & 4 else loop


def _atomic(draft: Draft) -> bytes:
    base, off = _place(draft)
    operation = _ATOMICS[draft.choice % 12]
    opcode = (0xC3, 0xDB, 0xCB, 0xD3)[draft.choice // 12 % (4 if operation >= 0x100 else 2)]
    if operation == 0x100:
        return slot(opcode, draft.dst, base, off, operation)
    return slot(opcode, base, draft.src % 10, off, operation)


@dataclass(frozen=True)
class Code:
    """Lowered code and the slots of its functions."""

    slots: bytes
    functions: tuple[int, ...]


def assemble(functions: list[list[Draft]]) -> Code:
    """Write the functions one after the other; jumps and calls lead to the start of an instruction."""
    start = slot(0xBF, 6, 1) + slot(0x18, 7, 6) + slot(0) + slot(0xB7, 8, imm=3)
    bodies: list[tuple[Draft | None, bytes]] = [(None, start)]
    entries = []
    for function in functions:
        entries.append(len(bodies))
        bodies += [(draft, _encode(draft)) for draft in function]
        bodies.append((None, EXIT))
    places = [sum(len(code) // 8 for _, code in bodies[:at]) for at in range(len(bodies) + 1)]
    entries[0] = 0
    code = b""
    for at, (draft, body) in enumerate(bodies):
        if draft is None or not 19 <= draft.kind < 22:
            function = places[entries[-1 if draft.choice >> 3 & 7 else 0]] if draft is not None else 0
            code += body.replace(_CALLBACK, slot(0xB7, 2, imm=function))
            continue
        targets = [places[to] for to in range(at - 6, at + 12) if 0 < to < len(bodies)]
        code += _transfer(draft, places[at], targets, [places[entry] for entry in entries[1:]])
        assert len(body) == 8
    return Code(code, tuple(places[entry] for entry in entries))


def _transfer(draft: Draft, at: int, targets: list[int], functions: list[int]) -> bytes:
    choice, distance = draft.choice, targets[draft.choice % len(targets)] - at - 1
    if draft.kind == 21 and functions:
        return slot(0x85, 0, 1, imm=functions[choice % len(functions)] - at - 1)
    if draft.kind == 20 or choice % 8:
        by_register, narrow = choice >> 4 & 1, choice >> 5 & 1
        opcode = _JUMPS[choice // 64 % 11] | (6 if narrow else 5) | (8 if by_register else 0)
        source = draft.src if by_register else 0
        return slot(opcode, draft.dst, source, distance, 0 if by_register else draft.imm)
    if choice & 8:
        return slot(0xE5, off=distance)
    return slot(0x06, imm=distance) if choice & 16 else slot(0x05, off=distance)


class Kernel(StillKernel):
    """A kernel where index 1 of a program array is `target`."""

    def __init__(self, target: Program) -> None:
        super().__init__()
        self.target = target

    def program_of(self, prog_array: Map, index: int) -> Program | None:
        return self.target if prog_array.type is MapType.PROG_ARRAY and index & 1 else None


def make_program(code: Code, maps: tuple[Map, ...]) -> Program:
    """Make a program of lowered code, checked as the conformance command does."""
    slots = decode_slots(code.slots)
    flow = check_code(code.slots, slots, lambda line: None, strict=False)
    return Program(
        type=ProgramType.SYSCALL,
        attach_type=None,
        name="generated",
        insns=code.slots,
        lowered=tuple(slots),
        maps=maps,
        functions=tuple(sorted({*flow.functions, *code.functions})),
        origins=range(len(slots)),
        gpl_compatible=True,
        flags=0,
        source_line=lambda slot: None,
    )


@dataclass
class Outcome:
    """All that can be seen of a run afterwards."""

    r0: int | None = None
    fault: tuple[object, ...] | None = None
    context: bytes = b""
    maps: list[object] = field(default_factory=list)
    regions: list[str] = field(default_factory=list)
    next_number: int = 0


def make_maps() -> tuple[Map, ...]:
    """Fresh maps: an array, a hash, a program array, a ring buffer."""
    return (
        create_map(MapShape(MapType.ARRAY, 4, 24, 1, name="array")),
        create_map(MapShape(MapType.HASH, 4, 16, 4, name="hash")),
        create_map(MapShape(MapType.PROG_ARRAY, 4, 4, 2, name="programs")),
        create_map(MapShape(MapType.RINGBUF, 0, 0, 4096, name="ring")),
    )


def outcome(execute: Execute, code: Code, target: Code, *, budget: int = BUDGET) -> Outcome:
    """Run `code` in a new world where tail calls lead to `target`."""
    maps = make_maps()
    context = PlainContext(bytearray(range(CONTEXT_SIZE)), writable=True)
    run = Run(make_program(code, maps), Kernel(make_program(target, maps)), budget=budget, context=context)
    seen = Outcome()
    try:
        seen.r0 = execute(run, context.attach(run.memory), helper=call_helper)
    except ProgramFault as error:
        seen.fault = (error.kind, error.insn, error.address, str(error), error.regions)
    seen.context = bytes(context.data)
    seen.maps = [[(bytes(key), bytes(value)) for key, _, value in map_.elements_on(0)] for map_ in maps[:2]]
    seen.maps.append(bytes(maps[3].data))  # type: ignore[attr-defined]  # the last is a ring buffer
    seen.regions = run.memory.describe()
    seen.next_number = run.memory.next_number
    return seen
