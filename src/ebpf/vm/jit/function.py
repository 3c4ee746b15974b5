"""One function of a program as one function of LLVM.

It is `{ r0, fuel, stop } f(machine, depth, fuel, r1, ..., r5)`: `depth` is how many frames are open below it, `fuel`
how many instructions may run, signed, and `stop` is EXIT, or says that the machine holds the state of all frames and
the interpreter goes on (COMPILED), or that the host has an exception to raise (RAISED).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from ebpf.asm.opcodes import (
    BPF_ALU,
    BPF_ALU64,
    BPF_JMP,
    BPF_JMP32,
    BPF_LDX,
    BPF_ST,
    BPF_STX,
    EXIT,
    GOTO,
    GOTOL,
    MAY_GOTO,
)
from ebpf.vm import native
from ebpf.vm.flow import jump_target
from ebpf.vm.jit import control
from ebpf.vm.jit.arithmetic import arithmetic, condition
from ebpf.vm.jit.blocks import Block, Function
from ebpf.vm.jit.counted import Fast, Guard
from ebpf.vm.jit.dominance import Dominance
from ebpf.vm.jit.entry import RESULT
from ebpf.vm.jit.liveness import Liveness
from ebpf.vm.jit.loops import Loop, find_loops
from ebpf.vm.jit.memory import memory
from ebpf.vm.jit.origins import Region
from ebpf.vm.jit.regions import Regions
from ebpf.vm.jit.state import member
from ebpf.vm.jit.writer import LIKELY, RARE, Values, Writer
from ebpf.vm.machine import STACK_SIZE

if TYPE_CHECKING:
    from ebpf.vm.jit.module import ModuleCompiler
    from ebpf.vm.jit.writer import Place


class FunctionCompiler:
    """Writes one function."""

    def __init__(self, module: ModuleCompiler, function: Function) -> None:
        self.module = module
        self.function = function
        self.slots = module.slots
        self.origins = module.origins.of[function.entry]
        self.trusted = module.trusted
        self.has_context = module.has_context
        self.context_size = module.context_size
        self.liveness: Liveness = module.liveness[function.entry]
        self.writer: Writer = Writer()
        self.block = next(iter(function.blocks.values()))
        self.index = 0
        self.uses_frame = any(self._names_frame(at) for block in function.blocks.values() for at in block.slots)
        self.stack_size = self.origins.stack_size
        self.is_private = self.uses_frame and self.stack_size < STACK_SIZE
        """Nobody but the function sees its frame: it becomes a region only when the interpreter takes over."""
        self.loops = find_loops(self.slots, function, self.origins.lookups, self.origins.found, module.quiet)
        self.covered: set[int] = set()
        """Accesses that were compared with their region before the loop that is being written."""
        self._fast: Fast | None = None
        self._shared = {after for loop in self.loops.values() for after in self._exits(loop)}
        """Blocks that both forms of a loop lead to."""
        self._dominance = Dominance(self.slots, function)
        self.regions = Regions(module, self.origins, self.writer)
        self._ends: dict[int, Values | None] = {}
        self.asks = False
        """Whether it may ask the host for something; known once it is written."""

    def _names_frame(self, at: int) -> bool:
        from ebpf.vm.jit.liveness import used

        return bool(used(self.slots[at]) >> native.FRAME_POINTER & 1)

    def _exits(self, loop: Loop) -> set[int]:
        ways = [(start, after) for start in loop.blocks for after in self.function.blocks[start].successors]
        return {after for start, after in ways if not loop.follows(start, after)}

    def slots_of(self, loop: Loop) -> set[int]:
        """Return the instructions of a loop."""
        return self._slots_of_blocks(loop.blocks)

    # What instructions ask for.

    def pointer(self, base: str, offset: int) -> str:
        """Return a pointer `offset` bytes behind another."""
        return self.writer.value(f"getelementptr i8, ptr {base}, i64 {offset}") if offset else base

    def machine(self, word: int) -> str:
        """Return a pointer to a word of the machine."""
        return self.pointer("%m", member(word))

    def require(self, at: int, holds: str, *, even_if_trusted: bool = False) -> None:
        """Go on only where `holds` is true; else the interpreter does, from instruction `at` on."""
        if self.trusted and not even_if_trusted:
            return
        go_on = self.writer.label("go")
        self.writer.line(f"br i1 {holds}, label %{go_on}, label %{self.leave_to_interpreter(at)}{RARE}")
        self.writer.begin(go_on)

    def leave_to_interpreter(self, at: int) -> str:
        """Write the rare path that stores the state before instruction `at`; return its label."""
        label, live = self.writer.label("leave"), self.liveness.before[at]
        position = self.store_position(at)
        if self.is_private and not any(live >> register & 1 for register in self.origins.stack_pointers[at]):
            lines = [*self.store_registers(live), *position, "br label %leave.opening"]
        else:
            frame, opening, pointers = self.open_late(at)
            registers = self.store_registers(live, pointers)
            lines = [*opening, *registers, *position, *self.store(native.FRAME_POINTER, frame), "br label %leave"]
        self.writer.later([f"{label}:", *lines])
        return label

    def open_late(self, at: int) -> tuple[str, list[str], dict[int, str]]:
        """Return r10 for the interpreter, the lines that make a private frame a region, and the pointers into it."""
        if not self.is_private:
            return "%r10" if self.uses_frame else "0", [], {}
        frame = self.writer.name()
        lines = control.library_call(self, frame, "ebpf_open_frame", "i64 %depth, i64 0")
        pointers = {register: self.writer.name() for register in self.origins.stack_pointers[at]}
        for register, pointer in pointers.items():
            lines.append(f"{pointer} = add i64 {frame}, {self.origins.stack_pointers[at][register]}")
        return frame, lines, pointers

    def store(self, word: int, value: str) -> list[str]:
        """Return the lines that store a number into the machine."""
        place = self.writer.name()
        return [f"{place} = getelementptr i8, ptr %m, i64 {member(word)}", f"store i64 {value}, ptr {place}"]

    def _store_register(self, register: int, value: str | None) -> list[str]:
        if value is not None:
            return self.store(register, value)
        value = self.writer.name()
        return [f"{value} = load i64, ptr %R{register}", *self.store(register, value)]

    def store_registers(self, registers: int, others: Mapping[int, str] | None = None) -> list[str]:
        """Return the lines that store registers (as bits) into the machine; some have `others` there."""
        values = {**self.writer.values.registers, **(others or {})}
        wanted = (register for register in range(10) if registers >> register & 1)
        return [line for register in wanted for line in self._store_register(register, values.get(register))]

    def store_position(self, at: int, *, executed: int = 0) -> list[str]:
        """Return the lines that store the instruction, and the fuel before it; after it, where it is `executed`."""
        fuel, (lines, before) = self.writer.name(), self._fuel()
        return [
            *lines,
            f"{fuel} = sub i64 {before}, {self.writer.values.spent + executed}",
            *self.store(native.AT, str(at)),
            *self.store(native.FUEL, fuel),
        ]

    def _fuel(self) -> tuple[list[str], str]:
        """Return the lines that compute the fuel `spent` instructions ago, and its name."""
        if self._fast is None:
            return [], self.writer.values.fuel
        return self._fast.fuel(self.writer)

    def paths_ahead(self) -> Iterator[tuple[int, list[int], list[int]]]:
        """Iterate over what follows: a block's first slot, its instructions from here on, and the blocks behind it that
        are reached in no other way. Nothing follows a comparison of pointers into the packet, which looks for its end.
        """
        pending = [(self.block, self.index)]
        while pending:
            block, index = pending.pop()
            last = block.slots[-1]
            after = [] if last in self.origins.bounds else [way for way in block.successors if self._inherits(way)]
            yield block.start, block.slots[index:], after
            pending += [(self.function.blocks[way], 0) for way in after]

    # The function as a whole.

    def compile(self) -> list[str]:
        """Return its lines."""
        writer = self.writer
        for start, block in self.function.blocks.items():
            if start in self.loops:
                self._write_fast(self.loops[start])
            self._begin(block)
            self._ends[start] = writer.values.copy() if self._body(block) else None
        parameters = ", ".join(("ptr %m", "i64 %depth", "i64 %fuel.0", *(f"i64 %a{n}" for n in range(6))))
        head = [
            f"define internal fastcc {RESULT} @f{self.function.entry}({parameters}) {{",
            "entry:",
            *self._prologue(),
            f"br label %b{self.function.entry}",
        ]
        return [*head, *writer.lines, *writer.rare, *control.leaving(self), "}"]

    def _begin(self, block: Block) -> None:
        """Go on with what the only predecessor left, or with the variables."""
        writer, self.block, self.index = self.writer, block, 0
        writer.begin(f"b{block.start}{'.slow' if block.start in self.loops else ''}")
        writer.dirty = set()
        known = self._ends.get(block.predecessors[0]) if self._inherits(block.start) else None
        if known is None:
            self._meet(block.start)
        else:
            writer.values = known.copy()
        if block.is_loop_header:
            control.refuel(self, block.start)

    def _inherits(self, start: int) -> bool:
        """Tell whether a block is reached in one way only, and goes on with the values there."""
        single = len(self.function.blocks[start].predecessors) == 1
        return single and start != self.function.entry and start not in self._shared

    def _meet(self, start: int) -> None:
        """Begin a block that is reached in several ways with what is the same on all of them."""
        self.writer.values = self._same(start)
        if self.uses_frame:
            self.writer.values.registers[native.FRAME_POINTER] = "%r10"
        self.writer.values.fuel = self.writer.value("load i64, ptr %FUEL")

    def _same(self, start: int) -> Values:
        """Return what a block that is always gone through knows at its end, and that holds at the start of this one."""
        avoid = {other for loop in self.loops.values() if not self._stays_in(loop, start) for other in loop.body}
        above = self._dominance.above(start, avoid)
        known = None if above is None else self._ends.get(above)
        between = None if above is None else self._dominance.between(above, start)
        if known is None or between is None:
            return Values()
        changed, slots = self._dominance.changed(between), self._slots_of_blocks(between)
        registers = {name: value for name, value in known.registers.items() if not changed >> name & 1}
        return Values(
            registers,
            known.sums.copy(),
            {key: ends for key, ends in known.proven.items() if self._stays(key[1], slots)},
            {key: value for key, value in known.distances.items() if self._stays(key[1], slots)},
        )

    def _stays_in(self, loop: Loop, start: int) -> bool:
        """Tell whether a block is reached from the rest of a loop's long form only: the short form leads behind it."""
        return start in loop.body and start != loop.header and not self._exits(loop) & loop.body

    def _stays(self, place: Place, slots: set[int]) -> bool:
        """Tell whether what is known of a region holds although these instructions may have run meanwhile."""
        region, which = place
        if region is Region.PACKET:
            return not self.module.moves_packet
        return region is not Region.ELEMENT or which not in slots

    def _slots_of_blocks(self, blocks: Collection[int]) -> set[int]:
        return {at for start in blocks for at in self.function.blocks[start].slots}

    def _write_fast(self, loop: Loop) -> None:
        """Write the comparison before a counted loop, and the form of the loop for when it holds."""
        writer = self.writer
        writer.begin(f"b{loop.header}")
        self._meet(loop.header)
        guard = Guard(self, loop)
        holds = guard.write()
        fast = Fast(loop, writer.read(loop.test.counter), writer.values.fuel)
        writer.line(f"br i1 {holds}, label %b{loop.header}.fast, label %b{loop.header}.slow{LIKELY}")
        self._fast, self.covered = fast, guard.covered
        for start in loop.blocks:
            self.block, self.index = self.function.blocks[start], 0
            writer.begin(f"b{start}.fast")
            writer.dirty = set()
            if start == loop.header:
                self._meet(loop.header)
                fast.counter = writer.read(loop.test.counter)
            if not self._body(self.block):
                break
        for stub, (target, spent) in fast.exits.items():
            writer.begin(stub)
            writer.values.spent = spent
            lines, fuel = self._fuel()
            writer.lines += lines
            writer.line(f"store i64 {writer.value(f'sub i64 {fuel}, {spent}')}, ptr %FUEL")
            writer.line(f"br label %b{target}{'.slow' if target == loop.header else ''}")
        self._fast, self.covered = None, set()

    def _label(self, block: Block, after: int) -> str:
        """Return the label of the block after one."""
        if self._fast is not None:
            if self._fast.loop.follows(block.start, after):
                return f"b{after}.fast"
            return self._fast.exit(self.writer, after)
        loop = self.loops.get(after)
        return f"b{after}.slow" if loop is not None and block.start in loop.body else f"b{after}"

    def _body(self, block: Block) -> bool:
        """Write a block; False where it ends before its last instruction does."""
        for self.index, at in enumerate(block.slots):
            if not self._instruction(at):
                self.writer.line(f"br label %{self.leave_to_interpreter(at)}")
                return False
            self.writer.values.spent += 1
        last = self.slots[block.slots[-1]]
        if last.opcode != EXIT:
            self._end(block)
        return True

    def _instruction(self, at: int) -> bool:
        slot = self.slots[at]
        kind = slot.opcode & 7
        if kind in (BPF_ALU, BPF_ALU64):
            return arithmetic(self.writer, self._fast.loop.widened(at, slot) if self._fast else slot)
        if kind in (BPF_LDX, BPF_ST, BPF_STX):
            return memory(self, at)
        if kind in (BPF_JMP, BPF_JMP32):
            return jump_target(slot, at) is not None or control.call_or_exit(self, at)
        return control.constant(self, at)

    def _end(self, block: Block) -> None:
        """Write the way on from a block that does not return."""
        at = block.slots[-1]
        slot, writer = self.slots[at], self.writer
        target = jump_target(slot, at)
        live = 0
        for after in block.successors:
            live |= self.liveness.before[after]
        if self._fast is None and not all(map(self._inherits, block.successors)):
            writer.flush_fuel()
        if target is None or slot.opcode in (GOTO, GOTOL) or len(block.successors) == 1:
            writer.flush(live)
            writer.line(f"br label %{self._label(block, block.successors[0])}")
            return
        small = self._fast is not None and self._fast.loop.compares_small(block.start)
        holds = control.may_goto(self) if slot.opcode == MAY_GOTO else condition(writer, slot, small=small)
        writer.flush(live)
        writer.line(f"br i1 {holds}, label %{self._label(block, target)}, label %{self._label(block, at + 1)}")

    def _prologue(self) -> Iterator[str]:
        yield from (f"%R{register} = alloca i64" for register in range(10))
        yield "%FUEL = alloca i64"
        yield "store i64 %fuel.0, ptr %FUEL"
        yield f"%calls.p = getelementptr i8, ptr %m, i64 {member(native.CALLS)}"
        yield from control.open_frame(self)
        for register in range(10):
            if self.liveness.entry >> register & 1 or register <= 5:
                yield from self._argument(register)
        yield from self.regions.prologue()

    def _argument(self, register: int) -> Iterator[str]:
        value = f"%a{register}"
        if register > 5:
            value = f"%first.r{register}"
            yield f"{value}.p = getelementptr i8, ptr %m, i64 {member(register)}"
            yield f"{value} = load i64, ptr {value}.p"
        yield f"store i64 {value}, ptr %R{register}"
