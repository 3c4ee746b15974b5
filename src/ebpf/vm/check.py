"""The structural check of PROG_LOAD, with a log in the kernel's words (kernel/bpf/verifier.c).

It looks at the shape of a program, not at what values do; that is a verifier's work. What it refuses, Linux
refuses with the same errno.
"""

from __future__ import annotations

from collections.abc import Sequence

from ebpf.abi.linux import E2BIG, EINVAL
from ebpf.abi.types import ProgramType
from ebpf.asm.instructions import Instructions
from ebpf.asm.opcodes import BPF_PSEUDO_CALL, BPF_PSEUDO_KFUNC_CALL, CALL, LDIMM64
from ebpf.errors import AsmError
from ebpf.plain import NamedTuple
from ebpf.vm.encoding import LEGACY, check_fields, suspects
from ebpf.vm.fault import Rejected
from ebpf.vm.flow import Flow, check_flow, second_halves
from ebpf.vm.program import LoadRequest, Log, Slot, decode_slots, encode_slots, positions, table_of

GPL_LICENSES = frozenset({"GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"})
"""include/linux/license.h."""

_LEGACY_TYPES = (ProgramType.SOCKET_FILTER, ProgramType.SCHED_CLS, ProgramType.SCHED_ACT)
_CAST_TO_ARENA = 0xBF
_LIMITED = table_of({CALL, _CAST_TO_ARENA, *LEGACY})
"""Opcodes that are not for every program, as a table."""


class Checked(NamedTuple):
    """A program whose structure is sound."""

    slots: list[Slot]
    flow: Flow
    gpl_compatible: bool

    @property
    def functions(self) -> tuple[int, ...]:
        """First slots of the functions, the main program's 0 first."""
        return self.flow.functions


def check(request: LoadRequest, log: Log) -> Checked:
    """Check a program that is to be loaded.

    Raises:
        Rejected: E2BIG for an empty or too long program, EINVAL or EACCES for what is wrong in it.
    """
    if not request.insns or len(request.insns) > 8 * request.limit:
        raise refused(log, E2BIG, f"a program has 1 to {request.limit} instructions, not {len(request.insns) // 8}")
    if len(request.insns) % 8:
        raise refused(log, EINVAL, f"instructions take 8 bytes each, the program has {len(request.insns)} bytes")
    slots = decode_slots(request.insns)
    gpl_compatible = request.license in GPL_LICENSES
    flow = check_code(request.insns, slots, log, strict=True)
    for at in positions(request.insns[::8].translate(_LIMITED)):
        reason = _not_allowed(request.type, slots[at], gpl_compatible)
        if reason is not None:
            raise refused(log, EINVAL, reason, slots, at)
    return Checked(slots, flow, gpl_compatible)


def check_code(code: bytes, slots: Sequence[Slot], log: Log, *, strict: bool) -> Flow:
    """Check what does not depend on the type of the program; `slots` are those of `code`.

    `strict` as in check_fields and check_flow.

    Raises:
        Rejected: EINVAL, EACCES or E2BIG.
    """
    halves = second_halves(code[::8])
    for at in sorted(suspects(code) | halves):
        if at in halves:
            if at == len(slots) or slots[at][:4] != (0, 0, 0, 0):
                raise refused(log, EINVAL, "invalid bpf_ld_imm64 insn", slots, at - 1)
            continue
        try:
            check_fields(slots[at], strict=strict)
        except Rejected as error:
            raise refused(log, error.errno, error.message, slots, at) from None
    try:
        return check_flow(slots, code[::8], halves, strict=strict)
    except Rejected as error:
        raise refused(log, error.errno, error.message) from None


def refused(log: Log, errno: int, reason: str, slots: Sequence[Slot] = (), at: int = 0) -> Rejected:
    """Write the instruction and the reason to the log and return the error to raise."""
    if slots:
        log(f"{at}: ({slots[at].opcode:02x}) {spelled(slots, at)}")
    log(reason)
    return Rejected(errno, reason)


def spelled(slots: Sequence[Slot], at: int) -> str:
    """Return an instruction as text, or its bytes where there is no text for it."""
    from ebpf.asm.disassembler import format_insn  # only refusals are spelled

    code = encode_slots(list(slots[at : at + (2 if slots[at].opcode == LDIMM64 else 1)]))
    try:
        return format_insn(Instructions.decode(code)[0])
    except AsmError:
        return code.hex(" ")


def _not_allowed(type_: ProgramType, slot: Slot, gpl_compatible: bool) -> str | None:
    if slot.opcode == CALL and slot.src != BPF_PSEUDO_CALL:
        if slot.src == BPF_PSEUDO_KFUNC_CALL:
            return "calling kernel function is not allowed"
        from ebpf.vm.permission import helper_refusal  # its tables are large

        return helper_refusal(type_, slot.imm, gpl_compatible)
    if slot.opcode == _CAST_TO_ARENA and slot.off == 1:
        return "addr_space_cast insn can only be used in a program that has an associated arena"
    if slot.opcode in LEGACY and type_ not in _LEGACY_TYPES:
        return "BPF_LD_[ABS|IND] instructions not allowed for this program type"
    return None
