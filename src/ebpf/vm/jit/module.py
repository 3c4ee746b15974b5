"""A whole program as LLVM IR: its functions, and the entry that the host calls as it calls the interpreter."""

from __future__ import annotations

from collections.abc import Iterator

from ebpf.abi.helpers import Helper
from ebpf.abi.linux.contexts import POINTER_KINDS, layout_of
from ebpf.abi.linux.prototypes import PROTOTYPES
from ebpf.abi.types import ProgramType
from ebpf.asm.opcodes import BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, CALL, CALLX, LDIMM64
from ebpf.vm import native
from ebpf.vm.jit import maps
from ebpf.vm.jit.blocks import find_functions
from ebpf.vm.jit.function import RESULT, FunctionCompiler
from ebpf.vm.jit.liveness import find_liveness
from ebpf.vm.jit.origins import Origins
from ebpf.vm.jit.state import ENTRY, FRAME_SIZE, WORD, member
from ebpf.vm.native import NO_CALLER, Stop
from ebpf.vm.program import Program

_DECLARATIONS = """
declare i64 @llvm.usub.sat.i64(i64, i64)
declare i16 @llvm.bswap.i16(i16)
declare i32 @llvm.bswap.i32(i32)
declare i64 @llvm.bswap.i64(i64)
!0 = !{!"branch_weights", i32 100000, i32 1}
!7 = !{!"branch_weights", i32 1, i32 100000, i32 1}
!8 = !{!"branch_weights", i32 1, i32 100000, i32 1, i32 1}
!9 = !{!"ebpf"}
!1 = !{!"memory", !9}
!2 = !{!"stack", !1}
!3 = !{!"packet", !1}
!4 = !{!"context", !1}
!5 = !{!"value", !1}
!10 = !{!1, !1, i64 0}
!20 = !{!2, !2, i64 0}
!30 = !{!3, !3, i64 0}
!40 = !{!4, !4, i64 0}
!50 = !{!5, !5, i64 0}
"""


class ModuleCompiler:
    """Writes one program. `convention` is how functions of the host are called, "win64cc" where that is not the usual."""

    def __init__(self, program: Program, *, trusted: bool = False, convention: str = "") -> None:
        self.program = program
        self.slots = program.lowered
        self.trusted = trusted
        self.convention = convention
        self.functions = find_functions(self.slots, program.functions)
        self.liveness = find_liveness(self.slots, self.functions, self._arguments)
        layout = layout_of(program.type, program.attach_type)
        self.has_context = layout is not None
        self.context_size = 0 if layout is None else layout.internal_size
        fields = () if layout is None else layout.fields
        pointers = frozenset(field.internal_offset for field in fields if field.kind in POINTER_KINDS)
        self.origins = Origins(
            self.slots,
            self.functions,
            has_context=self.has_context,
            packet_fields=pointers,
            key_sizes=maps.key_sizes(program),
        )
        self.has_lookups = bool(self.origins.lookups)
        self.called = frozenset(entry for function in self.functions.values() for entry in function.calls)
        self.moves_packet = any(_may_move(program, at) for at in range(len(self.slots)))

    def _arguments(self, helper: int) -> int:
        """Return how many arguments a helper takes. Bare instructions have helpers of their own."""
        known = self.program.type is not ProgramType.UNSPEC and helper in _NUMBERS
        return len(PROTOTYPES[Helper(helper)].args) if known else 5

    def _entered(self) -> list[int]:
        """Return the functions that the host may enter: the main program and those whose address is taken."""
        pointers = {slot.imm for slot in self.slots if slot.opcode == LDIMM64 and slot.src == BPF_PSEUDO_FUNC}
        return [entry for entry in self.functions if entry == 0 or entry in pointers]

    def compile(self) -> str:
        """Return the module's text."""
        lines = [_DECLARATIONS]
        if self.has_lookups:
            lines.append(maps.DECLARATIONS)
        for function in self.functions.values():
            lines += FunctionCompiler(self, function).compile()
        lines += self._entry()
        return "\n".join(lines)

    def _entry(self) -> Iterator[str]:
        """The host has set the machine as for `ebpf_run`: ENTER a function, named by its first slot, with r1 to r5."""
        yield f"define {self.convention} i64 @{ENTRY}(ptr %m) {{"
        for name, word in (("depth", native.DEPTH), ("fuel", native.FUEL), ("at", native.AT)):
            yield f"%{name}.p = getelementptr i8, ptr %m, i64 {member(word)}"
            yield f"%{name} = load i64, ptr %{name}.p"
        for register in range(1, 6):
            yield f"%r{register}.p = getelementptr i8, ptr %m, i64 {member(register)}"
            yield f"%r{register} = load i64, ptr %r{register}.p"
        yield "%frame.offset = mul i64 %depth, " + str(FRAME_SIZE)
        yield f"%frames = getelementptr i8, ptr %m, i64 {member(native.FRAMES)}"
        yield "%frame = getelementptr i8, ptr %frames, i64 %frame.offset"
        if self.has_lookups:  # they would not be the helper that the host has in mind
            yield f"%ask.p = getelementptr i8, ptr %m, i64 {member(native.ASK)}"
            yield "%ask = load i64, ptr %ask.p"
            yield "%kernel = icmp eq i64 %ask, 0"
            yield "br i1 %kernel, label %helpers, label %unknown, !prof !0"
            yield "helpers:"
        yield "%nested = icmp eq i64 %depth, 0"
        yield "br i1 %nested, label %choose, label %save, !prof !0"
        yield "save:"
        yield from _copy_saved()
        yield "br label %choose"
        yield "choose:"
        entered = self._entered()
        yield "switch i64 %at, label %unknown ["
        yield from (f"i64 {entry}, label %e{entry}" for entry in entered)
        yield "]"
        arguments = ", ".join(f"i64 %r{n}" for n in range(1, 6))
        for entry in entered:
            yield f"e{entry}:"
            yield f"%x{entry} = call fastcc {RESULT} @f{entry}(ptr %m, i64 %depth, i64 %fuel, {arguments})"
            yield "br label %done"
        yield "done:"
        phi = ", ".join(f"[ %x{entry}, %e{entry} ]" for entry in entered)
        yield f"%x = phi {RESULT} {phi}"
        yield from _end()
        yield "}"


def _copy_saved() -> Iterator[str]:
    """Keep r6 to r10 of who called: they are the interpreter's, or nobody's."""
    for register in range(6, 11):
        yield f"%s{register}.p = getelementptr i8, ptr %m, i64 {member(register)}"
        yield f"%s{register} = load i64, ptr %s{register}.p"
        yield f"%s{register}.q = getelementptr i8, ptr %frame, i64 {(register - 4) * WORD}"
        yield f"store i64 %s{register}, ptr %s{register}.q"


def _end() -> Iterator[str]:
    """The way out; where the interpreter goes on, the record of the outermost frame."""
    yield f"%r0 = extractvalue {RESULT} %x, 0"
    yield f"%left = extractvalue {RESULT} %x, 1"
    yield f"%stop = extractvalue {RESULT} %x, 2"
    yield "%well = icmp eq i64 %stop, 0"
    yield "br i1 %well, label %ended, label %left.open, !prof !0"
    yield "left.open:"
    yield f"store i64 {NO_CALLER - (1 << 64)}, ptr %frame"
    yield f"%code.p = getelementptr i8, ptr %m, i64 {member(native.CODE)}"
    yield "%code = load i64, ptr %code.p"
    yield f"%code.q = getelementptr i8, ptr %frame, i64 {WORD}"
    yield "store i64 %code, ptr %code.q"
    yield "ret i64 %stop"
    yield "ended:"
    yield "store i64 %depth, ptr %depth.p"
    yield "store i64 %left, ptr %fuel.p"
    yield "store i64 %r0, ptr %m"
    yield "ret i64 0"
    yield "unknown:"
    yield f"ret i64 {int(Stop.UNKNOWN)}"


def _may_move(program: Program, at: int) -> bool:
    """Tell whether an instruction may give the packet a new place."""
    slot = program.lowered[at]
    if slot.opcode == CALLX:
        return True
    if slot.opcode != CALL or slot.src == BPF_PSEUDO_CALL:
        return False
    if slot.imm == Helper.TAIL_CALL or slot.imm not in _NUMBERS:
        return slot.imm == Helper.TAIL_CALL
    return PROTOTYPES[Helper(slot.imm)].changes_packet


_NUMBERS = frozenset(int(helper) for helper in PROTOTYPES)
