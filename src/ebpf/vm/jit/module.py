"""A whole program as LLVM IR: its functions, and the entry that the host calls as it calls the interpreter."""

from __future__ import annotations

from collections.abc import Callable

from ebpf.abi.linux.contexts import POINTER_KINDS, layout_of
from ebpf.abi.linux.functions import BPF_FUNC_TAIL_CALL
from ebpf.abi.linux.prototypes import PROTOTYPES, Arg
from ebpf.abi.types import ProgramType
from ebpf.asm.opcodes import (
    BPF_PSEUDO_CALL,
    BPF_PSEUDO_FUNC,
    BPF_PSEUDO_MAP_IDX,
    BPF_PSEUDO_MAP_IDX_VALUE,
    CALL,
    CALLX,
    LDIMM64,
)
from ebpf.vm.jit import maps
from ebpf.vm.jit.blocks import calls_function, find_functions
from ebpf.vm.jit.entry import ENTRY as ENTRY
from ebpf.vm.jit.entry import write_entry
from ebpf.vm.jit.function import FunctionCompiler
from ebpf.vm.jit.liveness import find_liveness
from ebpf.vm.jit.origins import Origins
from ebpf.vm.program import Program, Slot

_DECLARATIONS = """
declare i64 @llvm.usub.sat.i64(i64, i64)
declare i16 @llvm.bswap.i16(i16)
declare i32 @llvm.bswap.i32(i32)
declare i64 @llvm.bswap.i64(i64)
!0 = !{!"branch_weights", i32 100000, i32 1}
!6 = !{!"branch_weights", i32 20, i32 1}
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
!60 = !{i64 -9223372036854775808, i64 0}
!50 = !{!5, !5, i64 0}
"""


class ModuleCompiler:
    """Writes one program. `convention` is how functions of the host are called: "win64cc", or "" for the usual way."""

    def __init__(self, program: Program, *, trusted: bool = False, convention: str = "") -> None:
        self.program = program
        self.slots = program.lowered
        self.trusted = trusted
        self.convention = convention
        self.functions = find_functions(self.slots, program.functions)
        self.liveness = find_liveness(self.slots, self.functions, _counter(program.type))
        layout = layout_of(program.type, program.attach_type)
        self.has_context = layout is not None
        self.context_size = 0 if layout is None else layout.internal_size
        fields = () if layout is None else layout.fields
        pointers = {field.internal_offset: field.kind for field in fields if field.kind in POINTER_KINDS}
        self.moves_packet = any(_may_move(program, at) for at in range(len(self.slots)))
        self.packet_writable = program.type in _PACKET_WRITERS
        self.origins = Origins(
            self.slots,
            self.functions,
            has_context=self.has_context,
            packet_fields=pointers,
            key_sizes=maps.key_sizes(program),
            moving=self._moving(),
            callbacks=self._callbacks(),
        )
        self.quiet = {at: self._is_quiet(slot) for at, slot in enumerate(self.slots) if slot.opcode == LDIMM64}
        """Constants that are known without the host, by slot."""
        blocks = (block for function in self.functions.values() for block in function.blocks.values())
        self.has_loops = any(block.is_loop_header for block in blocks)
        self.has_lookups = any(found.lookups for found in self.origins.of.values())
        self.called = frozenset(entry for function in self.functions.values() for entry in function.calls)

    def _moving(self) -> frozenset[int]:
        """Return the instructions that may move the packet, those that lead to functions that may do it included."""
        if not self.moves_packet:
            return frozenset()
        slots = enumerate(self.slots)
        return frozenset(at for at, slot in slots if _calls_back(slot) or _may_move(self.program, at))

    def _is_quiet(self, slot: Slot) -> bool:
        in_map = slot.src in (BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE)
        return not in_map or self.program.maps[slot.imm].native is not None

    def _callbacks(self) -> list[int]:
        """Return the functions that the host may enter beside the main program: their address is taken."""
        pointers = {slot.imm for slot in self.slots if slot.opcode == LDIMM64 and slot.src == BPF_PSEUDO_FUNC}
        return [entry for entry in self.functions if entry in pointers]

    def compile(self) -> str:
        """Return the module's text."""
        lines = [_DECLARATIONS]
        if self.has_lookups:
            lines.append(maps.DECLARATIONS)
        functions = [FunctionCompiler(self, function) for function in self.functions.values()]
        for function in functions:
            lines += function.compile()
        asks = any(function.asks for function in functions)
        lines += write_entry(self._callbacks(), convention=self.convention, asks=asks, kernel_helpers=self.has_lookups)
        return "\n".join(lines)


def _counter(type_: ProgramType) -> Callable[[int], int]:
    """Return what tells how many arguments a helper takes. Bare instructions have helpers of their own.

    No method: what keeps it belongs to the module, which would be held by itself.
    """
    known = {} if type_ is ProgramType.UNSPEC else PROTOTYPES
    return lambda helper: len(known[helper].args) if helper in known else 5


def _calls_back(slot: Slot) -> bool:
    """Tell whether an instruction calls functions of the program, itself or by way of a helper."""
    if slot.opcode != CALL or slot.src or slot.imm not in PROTOTYPES:
        return calls_function(slot)
    return Arg.CALLBACK in PROTOTYPES[slot.imm].args


def _may_move(program: Program, at: int) -> bool:
    """Tell whether an instruction may give the packet a new place."""
    slot = program.lowered[at]
    if slot.opcode == CALLX:
        return True
    if slot.opcode != CALL or slot.src == BPF_PSEUDO_CALL:
        return False
    if slot.imm == BPF_FUNC_TAIL_CALL or slot.imm not in PROTOTYPES:
        return slot.imm == BPF_FUNC_TAIL_CALL
    return PROTOTYPES[slot.imm].changes_packet


_PACKET_WRITERS = frozenset((ProgramType.XDP, ProgramType.SCHED_CLS, ProgramType.SCHED_ACT))
"""Types of programs that always may write to the packet."""
