"""Frames, calls, the host, fuel and the way out, as LLVM IR."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ebpf.abi.linux.functions import BPF_FUNC_TAIL_CALL
from ebpf.asm.opcodes import BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE, CALL, CALLX, EXIT, LDIMM64
from ebpf.codegen.image import ENTRIES
from ebpf.vm import M64, native
from ebpf.vm.jit import maps
from ebpf.vm.jit.blocks import calls_function
from ebpf.vm.jit.entry import RESULT
from ebpf.vm.jit.liveness import ALL, ARGUMENTS, PASSED, clobbered_arguments_matter
from ebpf.vm.jit.state import CODE_MAPS, FRAME_SIZE, MAP_REFERENCE_SIZE, RAISED, REPLACED, WORD, member
from ebpf.vm.jit.writer import RARE
from ebpf.vm.machine import MAX_FRAMES, STACK_SIZE
from ebpf.vm.native import Stop

if TYPE_CHECKING:
    from ebpf.vm.jit.function import FunctionCompiler


def open_frame(compiler: FunctionCompiler) -> Iterator[str]:
    """Return the lines that make room on the stack, where the function uses it."""
    yield f"%numbers = getelementptr i8, ptr %m, i64 {member(native.NUMBERS)}"
    yield "%number = getelementptr i64, ptr %numbers, i64 %depth"
    has_region = compiler.uses_frame and not compiler.is_private
    if not has_region and (compiler.function.calls or compiler.asks):
        yield "store i64 0, ptr %number"
    if not compiler.uses_frame:
        return
    size = -(-compiler.stack_size // WORD) * WORD
    if not has_region:
        yield f"%r10 = add i64 {STACK_SIZE}, 0"
    else:
        yield from library_call(compiler, "%r10", "ebpf_open_frame", f"i64 %depth, i64 {size}")
    yield f"%stack.first = sub i64 %r10, {STACK_SIZE}"
    yield f"%stacks.p = getelementptr i8, ptr %m, i64 {member(native.STACKS)}"
    yield "%stacks = load ptr, ptr %stacks.p"
    yield f"%stack.offset = mul i64 %depth, {STACK_SIZE}"
    yield "%stack = getelementptr i8, ptr %stacks, i64 %stack.offset"
    if compiler.is_private:
        yield from _clear(compiler, size)


def _clear(compiler: FunctionCompiler, size: int) -> Iterator[str]:
    """Return the lines that clear the last bytes of the stack. A memset might become a call of one."""
    at = STACK_SIZE - size
    while at < STACK_SIZE:
        words = 8 if STACK_SIZE - at >= 8 * WORD else 1
        place = compiler.writer.name()
        yield f"{place} = getelementptr i8, ptr %stack, i64 {at}"
        yield f"store <{words} x i64> zeroinitializer, ptr {place}, align 8, !tbaa !20"
        at += words * WORD


def library_call(compiler: FunctionCompiler, result: str, function: str, arguments: str) -> list[str]:
    """Return the lines that call a function of the support library with the machine and 64-bit arguments."""
    table, place, address = (compiler.writer.name() for _ in range(3))
    return [
        f"{table} = load ptr, ptr %calls.p",
        f"{place} = getelementptr i8, ptr {table}, i64 {WORD * ENTRIES.index(function)}",
        f"{address} = load ptr, ptr {place}",
        f"{result} = call {compiler.module.convention} i64 {address}(ptr %m, {arguments})",
    ]


def leaving(compiler: FunctionCompiler) -> Iterator[str]:
    """Return the lines of the common ends of the rare paths: leaving to the interpreter, and an exception to raise.

    A function that does not use its stack has none, and 0 in r10. A private frame becomes a region, whose address is in
    r10 and, unless the rare path has done it, in no other register.
    """
    if compiler.is_private:
        yield "leave.opening:"
        yield from library_call(compiler, "%opened", "ebpf_open_frame", "i64 %depth, i64 0")
        yield from compiler.store(native.FRAME_POINTER, "%opened")
        yield "br label %leave"
    yield "leave:"
    yield "%left.depth = add i64 %depth, 1"
    yield from compiler.store(native.DEPTH, "%left.depth")
    if not compiler.uses_frame:
        yield "store i64 0, ptr %number"
    yield f"ret {RESULT} {{ i64 0, i64 0, i64 {Stop.COMPILED} }}"
    yield "raised:"
    yield f"ret {RESULT} {{ i64 0, i64 0, i64 {Stop.RAISED} }}"


def constant(compiler: FunctionCompiler, at: int) -> bool:
    """Write a 64-bit constant, or the address of a map or of its value."""
    slot, writer = compiler.slots[at], compiler.writer
    if slot.opcode != LDIMM64:
        return False
    high = compiler.slots[at + 1].imm
    if slot.src == BPF_PSEUDO_MAP_IDX:
        writer.write(slot.dst, _map_word(compiler, at, slot.imm, 0, Stop.MAP))
    elif slot.src == BPF_PSEUDO_MAP_IDX_VALUE:
        first = _map_word(compiler, at, slot.imm, 1, Stop.MAP_VALUE)
        writer.write(slot.dst, writer.add(first, high & 0xFFFFFFFF))
    else:
        value = (high << 32 | slot.imm & 0xFFFFFFFF) & M64
        writer.write(slot.dst, str(value - (1 << 64) if value >> 63 else value))
    return True


def _map_word(compiler: FunctionCompiler, at: int, index: int, word: int, why: int) -> str:
    """Write the load of an address that the host gives when it is asked first."""
    writer = compiler.writer
    if compiler.module.program.maps[index].native is not None:
        return compiler.regions.map_word(index, word)
    code = writer.value(f"load ptr, ptr {compiler.machine(native.CODE)}")
    maps = writer.value(f"load ptr, ptr {compiler.pointer(code, CODE_MAPS)}")
    place = compiler.pointer(maps, index * MAP_REFERENCE_SIZE + word * WORD)
    known = writer.value(f"load i64, ptr {place}")
    ask, before, go_on = writer.label("ask"), writer.label("known"), writer.label("go")
    writer.line(f"br label %{before}")
    writer.begin(before)
    is_known = writer.value(f"icmp ne i64 {known}, 0")
    writer.line(f"br i1 {is_known}, label %{go_on}, label %{ask}{RARE}")
    answer, answered = writer.name(), writer.label("answered")
    writer.later([f"{ask}:", *_ask(compiler, at, why, size=str(index)), f"br label %{answered}"])
    writer.later([f"{answered}:", f"{answer} = load i64, ptr {place}", f"br label %{go_on}"])
    writer.begin(go_on)
    return writer.value(f"phi i64 [ {known}, %{before} ], [ {answer}, %{answered} ]")


def _ask(compiler: FunctionCompiler, at: int, why: int, *, size: str) -> list[str]:
    """Return the lines that call the host; they end where it has answered.

    Where it can't answer now, the interpreter goes on, and comes to the same instruction.
    """
    name, writer = compiler.writer.name, compiler.writer
    open_, depth, size_place, action, status, host_place, host, ignored, answer = (name() for _ in range(9))
    answered = writer.label("answered")
    leave = compiler.leave_to_interpreter(at)
    compiler.asks = True
    ways = [f"i64 0, label %{answered}", f"i64 {RAISED}, label %raised"]
    if why == Stop.TAIL:
        ways.append(f"i64 {REPLACED}, label %{answered}")
    return [
        *compiler.store_position(at, executed=1 if why in (Stop.HELPER, Stop.TAIL) else 0),
        f"{open_} = add i64 %depth, 1",
        f"{depth} = getelementptr i8, ptr %m, i64 {member(native.DEPTH)}",
        f"store i64 {open_}, ptr {depth}",
        f"{size_place} = getelementptr i8, ptr %m, i64 {member(native.SIZE)}",
        f"store i64 {size}, ptr {size_place}",
        f"{action} = getelementptr i8, ptr %m, i64 {member(native.ACTION)}",
        f"store i64 {int(why)}, ptr {action}",
        f"{status} = getelementptr i8, ptr %m, i64 {member(native.STATUS)}",
        f"store i64 {RAISED}, ptr {status}",
        f"{host_place} = getelementptr i8, ptr %m, i64 {member(native.HOST)}",
        f"{host} = load ptr, ptr {host_place}",
        f"{ignored} = call {compiler.module.convention} i64 {host}(ptr %m, i64 {why})",
        f"{answer} = load i64, ptr {status}",
        f"store i64 0, ptr {status}",
        f"switch i64 {answer}, label %{leave} [ {' '.join(ways)} ], !prof !{8 if why == Stop.TAIL else 7}",
        f"{answered}:",
    ]


def _refill(compiler: FunctionCompiler) -> None:
    """Write the load of the fuel that the host left after the instruction."""
    compiler.writer.values.fuel = compiler.writer.value(f"load i64, ptr {compiler.machine(native.FUEL)}")
    compiler.writer.values.spent = -1


def refuel(compiler: FunctionCompiler, at: int) -> None:
    """Write a look at the fuel, before instruction `at`."""
    writer = compiler.writer
    fuel = writer.values.fuel
    ask, before, go_on, answered = (writer.label(kind) for kind in ("fuel", "loop", "go", "refilled"))
    writer.line(f"br label %{before}")
    writer.begin(before)
    is_left = writer.value(f"icmp sge i64 {fuel}, 0")
    writer.line(f"br i1 {is_left}, label %{go_on}, label %{ask}{RARE}")
    loaded, place = writer.name(), writer.name()
    writer.later([f"{ask}:", *_ask(compiler, at, Stop.FUEL, size="0"), f"br label %{answered}"])
    writer.later(
        [
            f"{answered}:",
            f"{place} = getelementptr i8, ptr %m, i64 {member(native.FUEL)}",
            f"{loaded} = load i64, ptr {place}",
            f"br label %{go_on}",
        ]
    )
    writer.begin(go_on)
    writer.values.fuel = writer.value(f"phi i64 [ {fuel}, %{before} ], [ {loaded}, %{answered} ]")


def may_goto(compiler: FunctionCompiler) -> str:
    """Write the counting of may_goto; return whether it jumps."""
    writer = compiler.writer
    place = compiler.machine(native.PATIENCE)
    left = writer.value(f"sub i64 {writer.value(f'load i64, ptr {place}')}, 1")
    over = writer.value(f"icmp eq i64 {left}, 0")
    # From now on every one jumps.
    kept = writer.value(f"select i1 {over}, i64 1, i64 {left}")
    writer.line(f"store i64 {kept}, ptr {place}")
    return over


def call_or_exit(compiler: FunctionCompiler, at: int) -> bool:
    """Write a call or exit; False where it is the host's."""
    slot = compiler.slots[at]
    if slot.opcode == EXIT:
        _return(compiler, at)
    elif calls_function(slot):
        return _call_function(compiler, at, at + 1 + slot.imm)
    elif slot.opcode == CALLX:
        register = slot.dst or slot.imm
        if not 0 <= register <= native.FRAME_POINTER:
            return False
        _call_helper(compiler, at, compiler.writer.read(register))
    elif slot.opcode == CALL and slot.src == 0 and slot.imm == BPF_FUNC_TAIL_CALL:
        _tail_call(compiler, at)
    elif slot.opcode == CALL and slot.src == 0:
        _call_helper(compiler, at, str(slot.imm & M64))
    else:
        return False
    return True


def _return(compiler: FunctionCompiler, at: int) -> None:
    writer, values, result = compiler.writer, compiler.writer.values, compiler.writer.read(0)
    fuel = writer.value(f"sub i64 {values.fuel}, {values.spent + 1}")
    if compiler.function.entry not in compiler.module.called:
        # A program without loops may have a smaller budget than it needs.
        compiler.require(at, writer.value(f"icmp sge i64 {fuel}, 0"), even_if_trusted=True)
    if compiler.uses_frame and not compiler.is_private:
        writer.lines += library_call(compiler, writer.name(), "ebpf_close_frame", "i64 %r10")
    _give_back(compiler, result, fuel)


def _give_back(compiler: FunctionCompiler, result: str, fuel: str) -> None:
    writer = compiler.writer
    first = writer.value(f"insertvalue {RESULT} zeroinitializer, i64 {result}, 0")
    writer.line(f"ret {RESULT} {writer.value(f'insertvalue {RESULT} {first}, i64 {fuel}, 1')}")


def _call_function(compiler: FunctionCompiler, at: int, entry: int) -> bool:
    """Write a call inside of the program. What it does when the callee leaves to the interpreter: save this frame."""
    writer, live = compiler.writer, compiler.module.liveness[entry].entry
    outside = live & ~PASSED & ~(1 << native.FRAME_POINTER)
    if outside or clobbered_arguments_matter(compiler.slots, compiler.block, compiler.index, compiler.liveness):
        return False
    compiler.require(at, writer.value(f"icmp ult i64 %depth, {MAX_FRAMES - 1}"), even_if_trusted=True)
    arguments = ", ".join(f"i64 {writer.read(n) if live >> n & 1 else 0}" for n in range(6))
    fuel = writer.value(f"sub i64 {writer.values.fuel}, {writer.values.spent + 1}")
    deeper = writer.value("add i64 %depth, 1")
    result = writer.value(f"call fastcc {RESULT} @f{entry}(ptr %m, i64 {deeper}, i64 {fuel}, {arguments})")
    stop = writer.value(f"extractvalue {RESULT} {result}, 2")
    go_on, unwind = writer.label("go"), writer.label("unwind")
    well = writer.value(f"icmp eq i64 {stop}, 0")
    writer.line(f"br i1 {well}, label %{go_on}, label %{unwind}{RARE}")
    writer.later([f"{unwind}:", *_save_frame(compiler, at, deeper), f"ret {RESULT} {result}"])
    writer.begin(go_on)
    writer.values.fuel = writer.value(f"extractvalue {RESULT} {result}, 1")
    writer.values.spent = -1
    for register in range(1, 6):
        writer.values.registers.pop(register, None)
        writer.dirty.discard(register)
    writer.write(0, writer.value(f"extractvalue {RESULT} {result}, 0"))
    compiler.regions.moved()
    return True


def _save_frame(compiler: FunctionCompiler, at: int, deeper: str) -> Iterator[str]:
    """Return the lines that write down, in the callee's frame, what its caller needs."""
    name = compiler.writer.name
    place, offset, code_place, code, code_member = (name() for _ in range(5))
    yield f"{offset} = mul i64 {deeper}, {FRAME_SIZE}"
    base = name()
    yield f"{base} = getelementptr i8, ptr %m, i64 {member(native.FRAMES)}"
    yield f"{place} = getelementptr i8, ptr {base}, i64 {offset}"
    yield f"store i64 {at + 1}, ptr {place}"
    yield f"{code_place} = getelementptr i8, ptr %m, i64 {member(native.CODE)}"
    yield f"{code} = load i64, ptr {code_place}"
    yield f"{code_member} = getelementptr i8, ptr {place}, i64 {WORD}"
    yield f"store i64 {code}, ptr {code_member}"
    live = compiler.liveness.after(compiler.block, compiler.index)
    registers = compiler.writer.values.registers
    frame, lines, pointers = compiler.open_late(at)
    yield from lines
    for register in range(6, 10):
        if live >> register & 1:
            value = pointers.get(register, registers.get(register))
            if value is None:
                value = name()
                yield f"{value} = load i64, ptr %R{register}"
            saved = name()
            yield f"{saved} = getelementptr i8, ptr {place}, i64 {(2 + register - 6) * WORD}"
            yield f"store i64 {value}, ptr {saved}"
    saved = name()
    yield f"{saved} = getelementptr i8, ptr {place}, i64 {6 * WORD}"
    yield f"store i64 {frame}, ptr {saved}"


def _call_helper(compiler: FunctionCompiler, at: int, number: str) -> None:
    """Write the call of a helper: of the support library's, and where that leaves it to the host, of the host's."""
    writer = compiler.writer
    known = compiler.origins.lookups.get(at)
    if known is not None:
        maps.lookup(compiler, at, *known)
        return
    seen = compiler.liveness.seen_by_helper(compiler.slots[at]) | ARGUMENTS
    writer.lines += compiler.store_registers(compiler.liveness.before[at] & seen)
    here, done, ask, go_on = (writer.name(), writer.label("done"), writer.label("ask"), writer.label("go"))
    writer.lines += library_call(compiler, here, "ebpf_helper", f"i64 {number}")
    status = compiler.machine(native.STATUS)
    left = writer.value(f"icmp eq i64 {writer.value(f'load i64, ptr {status}')}, 0")
    fuel = writer.value(f"sub i64 {writer.values.fuel}, {writer.values.spent + 1}")
    writer.line(f"br i1 {left}, label %{done}, label %{ask}")
    rare = writer.lines
    writer.lines = []
    writer.begin(ask)
    writer.lines += _ask(compiler, at, Stop.HELPER, size=number)
    left_fuel = writer.value(f"load i64, ptr {compiler.machine(native.FUEL)}")
    answer = writer.value(f"load i64, ptr {compiler.machine(0)}")
    asked = writer.label("asked")
    writer.line(f"br label %{asked}")
    writer.begin(asked)
    writer.line(f"br label %{go_on}")
    writer.lines, later = rare, writer.lines
    writer.begin(done)
    writer.line(f"br label %{go_on}")
    writer.lines += later
    writer.begin(go_on)
    writer.values.fuel = writer.value(f"phi i64 [ {fuel}, %{done} ], [ {left_fuel}, %{asked} ]")
    writer.values.spent = -1
    writer.write(0, writer.value(f"phi i64 [ {here}, %{done} ], [ {answer}, %{asked} ]"))
    compiler.regions.moved()


def _tail_call(compiler: FunctionCompiler, at: int) -> None:
    """Write a tail call: the host runs the other program; where there is none, this one goes on."""
    writer = compiler.writer
    writer.lines += compiler.store_registers(ALL)
    writer.lines += _ask(compiler, at, Stop.TAIL, size="0")
    replaced = writer.value(f"load i64, ptr {compiler.machine(native.SIZE)}")
    went = writer.value(f"icmp eq i64 {replaced}, {REPLACED}")
    done, go_on = writer.label("done"), writer.label("go")
    writer.line(f"br i1 {went}, label %{done}, label %{go_on}")
    writer.begin(done)
    fuel = writer.value(f"load i64, ptr {compiler.machine(native.FUEL)}")
    _give_back(compiler, writer.value(f"load i64, ptr {compiler.machine(0)}"), fuel)
    writer.begin(go_on)
    _refill(compiler)
    compiler.regions.moved()
