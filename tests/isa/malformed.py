"""Programs that PROG_LOAD refuses, with Linux's errno and a part of its reason."""

from __future__ import annotations

from dataclasses import dataclass

from ebpf.abi.linux import E2BIG, EACCES, EBADF, EINVAL
from ebpf.abi.types import ProgramType
from tests.isa.case import EXIT, slot


@dataclass(frozen=True, slots=True)
class Malformed:
    """Code that is refused with `errno` and `reason`; errno 0 is code that is accepted."""

    name: str
    code: bytes
    reason: str
    errno: int = EINVAL
    type: ProgramType = ProgramType.SOCKET_FILTER
    license: str = "GPL"

    def __str__(self) -> str:
        return self.name


ZERO = slot(0xB7)
HALF = slot(0)
END = ZERO + EXIT
FILL = slot(0x7A, 10, 0, -8)
SKB = slot(0xBF, 6, 1)


def after_zero(name: str, insn: bytes, reason: str, errno: int = EINVAL) -> Malformed:
    """Return a case of one instruction between `r0 = 0` and `exit`."""
    return Malformed(name, ZERO + insn + EXIT, reason, errno)


_ALU, _MOV, _JMP, _JA = "BPF_ALU uses", "BPF_MOV uses", "BPF_JMP/JMP32 uses", "BPF_JA uses"
_OUT, _LAST, _LD64 = "jump out of range", "last insn is not an exit or jmp", "invalid bpf_ld_imm64 insn"

CASES: list[Malformed] = [
    Malformed("accepted", END, "", 0),
    Malformed("empty", b"", "", E2BIG),
    Malformed("unreachable", END + END, "unreachable insn 2"),
    Malformed("unreachable-after-jump", slot(0x05, off=1) + ZERO + END, "unreachable insn 1"),
    Malformed("no-exit", ZERO, _LAST),
    Malformed("ends-behind-exit", END + ZERO, _LAST),
    Malformed("infinite", slot(0x05, off=-1) + END, "unreachable insn 1"),
    # Jumps.
    Malformed("jump-out", slot(0x05, off=5) + END, _OUT + " from insn 0 to 6"),
    Malformed("jump-before", slot(0x05, off=-5) + END, _OUT + " from insn 0 to -4"),
    Malformed("branch-out", slot(0x15, 1, off=9) + END, _OUT),
    Malformed("jump-into-ldimm64", slot(0x15, 1, off=1) + slot(0x18) + HALF + END, "jump into the middle of ldimm64"),
    after_zero("ja-src", slot(0x05, 0, 1), _JA),
    after_zero("ja-imm", slot(0x05, imm=1), _JA),
    after_zero("ja32", slot(0x06), "", 0),
    after_zero("ja32-off", slot(0x06, off=1), _JA),
    after_zero("ja-register", slot(0x0D), "unknown opcode 0d"),
    after_zero("jeq-src", slot(0x15, 0, 1), _JMP),
    after_zero("jeq-register-imm", slot(0x1D, imm=3), _JMP),
    after_zero("may-goto", slot(0xE5), "", 0),
    after_zero("may-goto-src", slot(0xE5, 0, 1), "invalid may_goto imm"),
    after_zero("may-goto-imm", slot(0xE5, imm=1), "invalid may_goto imm 1"),
    after_zero("jmp-f0", slot(0xF5), "unknown opcode f5"),
    after_zero("exit32", slot(0x96), "unknown opcode 96"),
    Malformed("exit-src", ZERO + slot(0x95, 0, 1), "BPF_EXIT uses"),
    Malformed("exit-dst", ZERO + slot(0x95, 1), "BPF_EXIT uses"),
    Malformed("exit-imm", ZERO + slot(0x95, imm=1), "BPF_EXIT uses"),
    Malformed("exit-off", ZERO + slot(0x95, off=1), "", 0),
    # Opcodes and registers.
    after_zero("opcode-ff", slot(0xFF), "unknown opcode ff"),
    after_zero("opcode-0", slot(0x00), "unknown opcode 00"),
    after_zero("r11", slot(0xB7, 11), "R11 is invalid"),
    after_zero("r15-source", slot(0xBF, 0, 15), "R15 is invalid"),
    after_zero("r10-mov", slot(0xB7, 10), "frame pointer is read only", EACCES),
    after_zero("r10-add", slot(0x07, 10, imm=8), "frame pointer is read only", EACCES),
    after_zero("r10-load", slot(0x79, 10, 10, -8), "frame pointer is read only", EACCES),
    after_zero("r10-lddw", slot(0x18, 10) + HALF, "frame pointer is read only", EACCES),
    # Arithmetic.
    after_zero("shift-64", slot(0x67, imm=64), "invalid shift 64"),
    after_zero("shift-63", slot(0x67, imm=63), "", 0),
    after_zero("shift-32", slot(0x64, imm=32), "invalid shift 32"),
    after_zero("shift-negative", slot(0xC7, imm=-1), "invalid shift -1"),
    after_zero("divide-by-0", slot(0x37), "div by zero"),
    after_zero("modulo-by-0", slot(0x94), "div by zero"),
    after_zero("mov-off", slot(0xB7, 0, 0, 3), _MOV),
    after_zero("mov-src", slot(0xB7, 0, 3), _MOV),
    after_zero("movsx-7", slot(0xBF, 0, 0, 7), _MOV),
    after_zero("movsx-32-of-32", slot(0xBC, 0, 0, 32), _MOV),
    after_zero("movsx-immediate", slot(0xB7, 0, 0, 8), _MOV),
    after_zero("add-register-imm", slot(0x0F, imm=4), _ALU),
    after_zero("add-src", slot(0x07, 0, 3, 0, 4), _ALU),
    after_zero("add-off", slot(0x07, 0, 0, 1, 4), _ALU),
    after_zero("sdiv", slot(0x37, 0, 0, 1, 5), "", 0),
    after_zero("sdiv-off-2", slot(0x37, 0, 0, 2, 5), _ALU),
    after_zero("neg-src", slot(0x87, 0, 1), "BPF_NEG uses"),
    after_zero("neg-imm", slot(0x87, imm=1), "BPF_NEG uses"),
    after_zero("neg-register", slot(0x8F), "unknown opcode 8f"),
    after_zero("swap-24", slot(0xD4, imm=24), "BPF_END uses"),
    after_zero("bswap-24", slot(0xD7, imm=24), "BPF_END uses"),
    after_zero("bswap-register", slot(0xDF, imm=16), "unknown opcode df"),
    after_zero("swap-off", slot(0xD4, 0, 0, 1, 16), "BPF_END uses"),
    after_zero("cast-to-arena", slot(0xBF, 0, 0, 1, 1), "addr_space_cast insn can only be used"),
    # Memory.
    Malformed("ldx-imm", FILL + slot(0x79, 0, 10, -8, 5) + EXIT, "BPF_LDX uses"),
    Malformed("ldx-mode", FILL + slot(0x41, 0, 10, -8) + EXIT, ""),
    Malformed("ldxs-64", FILL + slot(0x99, 0, 10, -8) + EXIT, "unknown opcode 99"),
    after_zero("stx-imm", slot(0x7B, 10, 0, -8, 1), "BPF_STX uses"),
    after_zero("st-src", slot(0x7A, 10, 1, -8), "BPF_ST uses"),
    after_zero("st-atomic", slot(0xC2, 10, 0, -8), "unknown opcode c2"),
    after_zero("atomic", FILL + slot(0xDB, 10, 0, -8, 0x01), "", 0),
    after_zero("atomic-20", FILL + slot(0xDB, 10, 0, -8, 0x20), "BPF_ATOMIC uses invalid atomic opcode 20"),
    after_zero("atomic-e0", FILL + slot(0xDB, 10, 0, -8, 0xE0), "BPF_ATOMIC uses invalid atomic opcode e0"),
    after_zero("atomic-8-bits", FILL + slot(0xD3, 10, 0, -8), "invalid atomic operand size"),
    after_zero("acquire-8-bits", FILL + slot(0xD3, 0, 10, -8, 0x100), "", 0),
    # 64-bit immediates.
    Malformed("lddw-broken", slot(0x18) + END, _LD64),
    Malformed("lddw-second-half", slot(0x18) + slot(0, 1) + END, _LD64),
    Malformed("lddw-cut", END + slot(0x18), ""),
    Malformed("lddw-last", slot(0x18) + HALF, _LAST),
    Malformed("lddw-src-9", slot(0x18, 0, 9) + HALF + END, "unrecognized bpf_ld_imm64 insn"),
    Malformed("lddw-off", slot(0x18, 0, 0, 1) + HALF + END, "BPF_LD_IMM64 uses"),
    Malformed("map-fd", slot(0x18, 1, 1, 0, 777) + HALF + END, "fd 777 is not pointing to valid bpf_map", EBADF),
    Malformed("map-fd-high", slot(0x18, 1, 1, 0, 777) + slot(0, imm=5) + END, "unrecognized bpf_ld_imm64 insn"),
    Malformed("function-pointer-out", slot(0x18, 1, 4, 0, 99) + HALF + END, "call to invalid destination"),
    # Legacy loads.
    Malformed("ld-abs", SKB + slot(0x20) + EXIT, "", 0),
    Malformed("ld-abs-src", SKB + slot(0x20, 0, 1) + EXIT, "BPF_LD_[ABS|IND] uses"),
    Malformed("ld-abs-dst", SKB + slot(0x20, 1) + EXIT, "BPF_LD_[ABS|IND] uses"),
    Malformed("ld-abs-off", SKB + slot(0x20, 0, 0, 1) + EXIT, "BPF_LD_[ABS|IND] uses"),
    Malformed("ld-abs-64", SKB + slot(0x38) + EXIT, "unknown opcode 38"),
    Malformed("ld-ind", SKB + ZERO + slot(0x40, 0, 0, 0, 1) + EXIT, "", 0),
    Malformed("ld-mode", SKB + slot(0x60) + EXIT, "unknown opcode 60"),
    Malformed("ld-abs-xdp", SKB + slot(0x20) + EXIT, "not allowed for this program type", type=ProgramType.XDP),
    # Calls.
    Malformed("call-unknown", slot(0x85, imm=9999) + EXIT, "invalid func unknown#9999"),
    Malformed("call-0", slot(0x85) + EXIT, "cannot use helper bpf_unspec#0"),
    Malformed("call-negative", slot(0x85, imm=-5) + EXIT, "invalid func unknown#-5"),
    Malformed("call-of-another-type", slot(0x85, imm=44) + EXIT, "cannot use helper bpf_xdp_adjust_head#44"),
    Malformed("call-dst", slot(0x85, 1, imm=7) + EXIT, "BPF_CALL uses"),
    Malformed("call-off", slot(0x85, 0, 0, 1, 7) + EXIT, "BPF_CALL uses"),
    Malformed("call-src", slot(0x85, 0, 9) + EXIT, "BPF_CALL uses"),
    Malformed("call-helper", slot(0x85, imm=7) + EXIT, "", 0),
    Malformed("call-register", slot(0x8D, 1) + EXIT, "unknown opcode 8d"),
    Malformed("call-gpl", slot(0x85, imm=6) + EXIT, "cannot call GPL-restricted function", license="MIT"),
    Malformed("call-out", slot(0x85, 0, 1, 0, 100) + EXIT, "call to invalid destination"),
    Malformed("call-function", slot(0x85, 0, 1, 0, 1) + EXIT + END, "", 0),
    Malformed("call-into-ldimm64", slot(0x85, 0, 1, 0, 2) + EXIT + slot(0x18) + HALF + EXIT, ""),
    Malformed("jump-into-function", slot(0x85, 0, 1, 0, 2) + slot(0x05, off=1) + EXIT + END, _OUT),
    Malformed("function-without-exit", slot(0x85, 0, 1, 0, 1) + EXIT + ZERO, _LAST),
    Malformed("falls-into-function", slot(0x85, 0, 1, 0, 0) + END, _LAST),
    Malformed("recursion", slot(0x85, 0, 1, 0, 1) + EXIT + slot(0x85, 0, 1, 0, -1) + EXIT, "too deep", E2BIG),
    Malformed("frames-8", (slot(0x85, 0, 1, 0, 1) + EXIT) * 7 + END, "", 0),
    Malformed("frames-9", (slot(0x85, 0, 1, 0, 1) + EXIT) * 8 + END, "the call stack of 9 frames is too deep", E2BIG),
]  # fmt: skip
