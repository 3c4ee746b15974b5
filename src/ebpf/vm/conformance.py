"""Runs bare instructions as the public conformance protocol asks (plugins of bpf_conformance).

Nothing but the instruction set counts here: no program type, no licence. Shift counts are masked, division by an
immediate 0 is division by zero, and callx calls the helper whose number is in a register. Helpers are the protocol's
own six. Only where a test has maps, Linux' rules for a program and its helpers hold instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from ebpf.abi.types import ProgramType
from ebpf.asm.opcodes import BPF_PSEUDO_CALL, CALL, LDIMM64
from ebpf.errors import AsmError
from ebpf.vm import M64
from ebpf.vm.check import check_code, spelled
from ebpf.vm.engines import choose_engine
from ebpf.vm.fault import Fault, Rejected, Unwind
from ebpf.vm.machine import DEFAULT_BUDGET, Run
from ebpf.vm.program import LoadRequest, Program, Slot, decode_slots, load_program

if TYPE_CHECKING:
    from ebpf.vm.kernel import Kernel
    from ebpf.vm.maps import MapShape

Arguments = tuple[int, int, int, int, int]
Helper = Callable[[Run, Arguments], int]
_HEX = frozenset("0123456789abcdefABCDEF")


def parse_hex(text: str) -> bytes:
    """Read bytes in hexadecimal, with or without blanks between them. Raises AsmError for anything else."""
    words = text.split()
    try:
        if all(len(word) <= 2 for word in words):
            return bytes(int(word, 16) for word in words)
        return bytes.fromhex(text)
    except ValueError:
        wrong = next((word for word in words if not _HEX.issuperset(word)), None)
        found = f"{wrong!r}" if wrong else "an odd number of digits"
        raise AsmError(f"bytes in hexadecimal are expected, as in `b7 00 00 00 2a 00 00 00`, found {found}") from None


def run_instructions(
    code: bytes,
    memory: bytes | bytearray = b"",
    *,
    maps: Sequence[MapShape] = (),
    budget: int = DEFAULT_BUDGET,
    engine: str = "auto",
) -> int:
    """Run little-endian code with r1 = address and r2 = length of `memory` (both 0 without); return r0.

    A bytearray is the memory itself: what the code stores is in it afterwards. `maps` are made for this run; the code
    has their numbers, from 1, in the place of file descriptors.

    Raises:
        NotSupportedError: the engine can't run here.
        AsmError: the code is not a program.
        ProgramFault: it did something forbidden, or ran for more than `budget` instructions.
    """
    chosen = choose_engine(engine)
    program = _load_with_maps(code, maps) if maps else program_of(code)
    run = Run(program, cast("Kernel", _NoKernel()), budget=budget)
    address = run.memory.add(memory if isinstance(memory, bytearray) else bytearray(memory), "memory") if memory else 0
    return chosen.execute(run, address, len(memory), helper=None if maps else _call_helper)


class _NoKernel:
    """Stands for the kernel: no helper of the protocol asks for anything, nor do those that work on maps."""

    closed = waits = False
    native_clock = native_random = 0

    def __getattr__(self, name: str) -> object:
        raise Fault("helper", f"{name} is asked of the kernel, of which there is none here")


def _load_with_maps(code: bytes, shapes: Sequence[MapShape]) -> Program:
    from ebpf.vm.maps import create_map

    maps = dict(enumerate(map(create_map, shapes), 1))
    log: list[str] = []
    try:
        request = LoadRequest(type=ProgramType.SYSCALL, insns=code, license="GPL", map_by_fd=maps.get)
        return load_program(request, log.append)
    except Rejected:
        raise AsmError(": ".join(log)) from None


def program_of(code: bytes) -> Program:
    """Check bare code and make a program of it. Raises AsmError for what is not a program."""
    if not code or len(code) % 8:
        raise AsmError(f"a program has one or more instructions of 8 bytes, found {len(code)} bytes")
    slots = decode_slots(code)
    log: list[str] = []
    try:
        flow = check_code(code, slots, log.append, strict=False)
    except Rejected:
        raise AsmError(": ".join(log)) from None
    for at, slot in enumerate(slots):
        if at not in flow.halves:
            _check_meaning(slot, slots, at)
    return Program(
        type=ProgramType.UNSPEC,
        attach_type=None,
        name="",
        insns=code,
        lowered=tuple(slots),
        maps=(),
        functions=flow.functions,
        origins=range(len(slots)),
        gpl_compatible=True,
        flags=0,
        source_line=lambda slot: spelled(slots, slot),
    )


def _check_meaning(slot: Slot, slots: list[Slot], at: int) -> None:
    if slot.opcode & 7 == 0 and (slot.opcode != LDIMM64 or slot.src):
        raise AsmError(f"{at}: {spelled(slots, at)}: needs maps or packets, of which there are none here")
    if slot.opcode == CALL and slot.src != BPF_PSEUDO_CALL and (slot.src or slot.imm not in HELPERS):
        raise AsmError(f"{at}: {spelled(slots, at)}: helpers are 0 to {max(HELPERS)}")


def _call_helper(run: Run, number: int, args: Arguments) -> int:
    helper = HELPERS.get(number)
    if helper is None:
        raise Fault("helper", f"there is no helper {number}: they are 0 to {max(HELPERS)}")
    return helper(run, args)


def _gather_bytes(run: Run, args: Arguments) -> int:
    return int.from_bytes(bytes(argument & 0xFF for argument in args), "big")


def _memfrob(run: Run, args: Arguments) -> int:
    address, size = args[:2]
    view = run.memory.view(address, size, write=True)
    view[:] = bytes(byte ^ 42 for byte in view)
    return 0


def _no_operation(run: Run, args: Arguments) -> int:
    return 0


def _square_root(run: Run, args: Arguments) -> int:
    # By way of a double, as the protocol's plugins compute it.
    return int(math.sqrt(args[0]))


def _compare_strings(run: Run, args: Arguments) -> int:
    left, right = args[:2]
    while True:
        a, b = run.memory.load(left, 1), run.memory.load(right, 1)
        if a != b or a == 0:
            return (a - b) & M64
        left, right = left + 1, right + 1


def _unwind(run: Run, args: Arguments) -> int:
    # A result of zero ends the whole program.
    if args[0] == 0:
        raise Unwind(0)
    return args[0]


HELPERS: dict[int, Helper] = {
    0: _gather_bytes,
    1: _memfrob,
    2: _no_operation,
    3: _square_root,
    4: _compare_strings,
    5: _unwind,
}
"""Number → helper of the protocol."""
