"""Loads, stores and atomic operations as LLVM IR, each access checked against the region that it goes to.

Accesses of one block through the same pointer share a check of all the bytes that they touch. Where that fails, the
interpreter goes on from the first of them, so that what it stores and where it stops is exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpf.asm.opcodes import (
    BPF_ADD,
    BPF_ALU64,
    BPF_ATOMIC,
    BPF_CMPXCHG,
    BPF_FETCH,
    BPF_LOAD_ACQ,
    BPF_MEMSX,
    BPF_MOV,
    BPF_ST,
    BPF_STORE_REL,
    BPF_STX,
    BPF_SUB,
    BPF_X,
    CALL,
    CALLX,
    LDIMM64,
)
from ebpf.vm.jit.access import CHANGES, Access, access_of
from ebpf.vm.jit.control import library_call
from ebpf.vm.jit.liveness import defined
from ebpf.vm.jit.origins import NOTHING, Origin, Region
from ebpf.vm.machine import STACK_SIZE
from ebpf.vm.program import Slot

if TYPE_CHECKING:
    from ebpf.vm.jit.function import FunctionCompiler
    from ebpf.vm.jit.writer import Place

_WINDOW = 64
"""How many instructions ahead are looked at for accesses that can share a check."""
_TAGS = {
    Region.STACK: "!2", Region.PACKET: "!3", Region.CONTEXT: "!4", Region.DATA: "!5", Region.ELEMENT: "!5",
}  # fmt: skip
_ANY_MEMORY = "!1"


def memory(compiler: FunctionCompiler, at: int) -> bool:
    """Write a load or store; False where it is the host's."""
    slot = compiler.slots[at]
    access = access_of(slot)
    if access is None:
        return False
    origin = compiler.origins.at.get(at, NOTHING)
    host, tag = _locate(compiler, at, access, origin)
    if slot.opcode & 0xE0 == BPF_ATOMIC:
        _check_alignment(compiler, at, access, host)
        _atomic(compiler, slot, access, host)
    else:
        _plain(compiler, slot, access, host, tag)
    return True


def _plain(compiler: FunctionCompiler, slot: Slot, access: Access, host: str, tag: str) -> None:
    writer, bits = compiler.writer, 8 * access.size
    alias = f", align 1, !tbaa {tag}0"
    if access.reads:
        loaded = writer.value(f"load i{bits}, ptr {host}{alias}")
        if slot.opcode & 0xE0 == BPF_MEMSX:
            loaded, bits = writer.value(f"sext i{bits} {loaded} to i64"), 64
        writer.write(slot.dst, loaded, bits)
    else:
        narrow = slot.imm & (1 << bits) - 1
        stored = str(narrow) if slot.opcode & 7 == BPF_ST and bits < 64 else str(slot.imm)
        if slot.opcode & 7 == BPF_STX:
            stored = writer.read_narrow(slot.src, bits)
        writer.line(f"store i{bits} {stored}, ptr {host}{alias}")


def _check_alignment(compiler: FunctionCompiler, at: int, access: Access, host: str) -> None:
    """The host's own memory may be less aligned than the program's addresses."""
    if access.size == 1:
        return
    writer = compiler.writer
    address = writer.add(writer.read(access.base), access.offset)
    both = writer.value(f"or i64 {writer.value(f'ptrtoint ptr {host} to i64')}, {address}")
    low = writer.value(f"and i64 {both}, {access.size - 1}")
    compiler.require(at, writer.value(f"icmp eq i64 {low}, 0"))


def _atomic(compiler: FunctionCompiler, slot: Slot, access: Access, host: str) -> None:
    writer, bits = compiler.writer, 8 * access.size
    kind, alignment = f"i{bits}", f"align {access.size}"
    if slot.imm == BPF_LOAD_ACQ:
        writer.write(slot.dst, writer.value(f"load atomic {kind}, ptr {host} acquire, {alignment}"), bits)
        return
    operand = writer.read_narrow(slot.src, bits)
    if slot.imm == BPF_STORE_REL:
        writer.line(f"store atomic {kind} {operand}, ptr {host} release, {alignment}")
    elif slot.imm == BPF_CMPXCHG:
        expected = writer.read_narrow(0, bits)
        pair = writer.value(f"cmpxchg ptr {host}, {kind} {expected}, {kind} {operand} seq_cst seq_cst, {alignment}")
        writer.write(0, writer.value(f"extractvalue {{ {kind}, i1 }} {pair}, 0"), bits)
    else:
        change = CHANGES[slot.imm & ~BPF_FETCH]
        old = writer.value(f"atomicrmw {change} ptr {host}, {kind} {operand} seq_cst, {alignment}")
        if slot.imm & BPF_FETCH:
            writer.write(slot.src, old, bits)


def _locate(compiler: FunctionCompiler, at: int, access: Access, origin: Origin) -> tuple[str, str]:
    """Return the host's pointer for an access that is allowed, and its tag; the interpreter gets those that are not."""
    proven = _proven(compiler, access, origin)
    if proven is not None:
        return proven, _TAGS[origin.region]
    has_bounds = origin.region in (Region.STACK, Region.PACKET)
    has_bounds |= origin.region is Region.CONTEXT and compiler.has_context
    if has_bounds or compiler.regions.may_access(origin, access):
        return _bounded(compiler, at, access, origin), _TAGS[origin.region]
    writer = compiler.writer
    address = writer.add(writer.read(access.base), access.offset)
    flags = access.reads + 2 * access.writes
    found = writer.name()
    writer.lines += library_call(compiler, found, "ebpf_find", f"i64 {address}, i64 {access.size}, i64 {flags}")
    compiler.require(at, writer.value(f"icmp ne i64 {found}, 0"), even_if_trusted=True)
    # The origin was only a hint: this may be the same memory as that of any other access.
    return writer.value(f"inttoptr i64 {found} to ptr"), _ANY_MEMORY


def _proven(compiler: FunctionCompiler, access: Access, origin: Origin) -> str | None:
    """Return the pointer where the origin says it all, None where it doesn't."""
    if origin.exact is None:
        return None
    offset = origin.exact + access.offset
    if origin.region is Region.STACK and -STACK_SIZE <= offset <= -access.size:
        return compiler.pointer("%stack", STACK_SIZE + offset)
    inside = 0 <= offset <= compiler.context_size - access.size
    if origin.region is Region.CONTEXT and inside and not access.writes:
        return compiler.pointer(compiler.regions.bounds(origin).data, offset)
    map_ = compiler.regions.value_map(origin)
    if (
        map_ is not None
        and 0 <= offset <= map_.value_size - access.size
        and compiler.regions.may_access(origin, access)
    ):
        return compiler.pointer(compiler.regions.map_values(origin.which), offset)
    return None


def _bounded(compiler: FunctionCompiler, at: int, access: Access, origin: Origin) -> str:
    """Compare an access with the bounds of its region, if an earlier comparison does not cover it."""
    writer, values = compiler.writer, compiler.writer.values
    place = origin.region, origin.which
    base = writer.read(access.base)
    root, start = values.sums.get(base, (base, 0))
    start += access.offset
    bounds = compiler.regions.bounds(origin)
    distance = values.distances.get((root, place))
    if distance is None:
        distance = values.distances[root, place] = writer.value(f"sub i64 {root}, {bounds.first}")
    ways = [write for write, wanted in ((False, access.reads), (True, access.writes)) if wanted]
    if (compiler.trusted and origin.sure) or at in compiler.covered or compiler.regions.is_verified(at, access, origin):
        ways = []
    for write in ways:
        known = values.proven.get((root, place, write))
        if known is not None and known[0] <= start and start + access.size <= known[1]:
            continue
        low, high = _extent(compiler, root, place, write=write)
        values.proven[root, place, write] = (low, high)
        lowest = distance if not low else writer.value(f"add i64 {distance}, {low}")
        room = compiler.regions.room(origin, high - low, write=write)
        compiler.require(at, writer.value(f"icmp ult i64 {lowest}, {room}"), even_if_trusted=True)
    return compiler.pointer(writer.value(f"getelementptr i8, ptr {bounds.data}, i64 {distance}"), start)


def _extent(compiler: FunctionCompiler, root: str, place: Place, *, write: bool) -> tuple[int, int]:
    """Return the bytes around `root` that accesses touch from here on, as far as nothing else leads there."""
    sums = compiler.writer.values.sums
    here: dict[int, int] = {}
    for register, value in compiler.writer.values.registers.items():
        origin, constant = sums.get(value, (value, 0))
        if origin == root:
            here[register] = constant
    ends: list[int] = []
    bases_at = {compiler.block.start: here}
    left = _WINDOW
    for start, instructions, after in compiler.paths_ahead():
        bases = bases_at[start]
        for ahead in instructions[:left]:
            _note(compiler, ahead, bases, place, ends, write=write)
        left -= len(instructions)
        if left <= 0:
            break
        bases_at.update((way, dict(bases)) for way in after)
    return min(ends), max(ends)


def _note(
    compiler: FunctionCompiler, at: int, bases: dict[int, int], place: Place, ends: list[int], *, write: bool
) -> None:
    """Note what an instruction accesses around the root, and which registers are a constant away from it then."""
    slot = compiler.slots[at]
    access = access_of(slot)
    if access is not None and access.base in bases and (access.writes if write else access.reads):
        other = compiler.origins.at.get(at, NOTHING)
        if (other.region, other.which) == place:
            start = bases[access.base] + access.offset
            ends += [start, start + access.size]
    if slot.opcode in (CALL, CALLX) and at not in compiler.origins.lookups:
        bases.clear()
    _follow(slot, bases)


def _follow(slot: Slot, bases: dict[int, int]) -> None:
    """Keep track of which registers are a constant away from the root."""
    written = defined(slot)
    operation = slot.opcode & 0xF0
    if slot.opcode & 7 == BPF_ALU64 and slot.opcode != LDIMM64:
        if operation == BPF_MOV and slot.opcode & BPF_X and not slot.off and slot.src in bases:
            bases[slot.dst] = bases[slot.src]
            return
        if operation in (BPF_ADD, BPF_SUB) and not slot.opcode & BPF_X and slot.dst in bases:
            bases[slot.dst] += slot.imm if operation == BPF_ADD else -slot.imm
            return
    for register in [register for register in bases if written >> register & 1]:
        del bases[register]
