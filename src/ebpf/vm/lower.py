"""Lowering: from the program that was loaded to the one that engines run (kernel/bpf/verifier.c, fixup passes).

Accesses to the public context become accesses to the internal one, map references indices into the program's table
of maps, function pointers the function's slot. The internal context keeps scalars as they look in public, so that an
access stays one instruction, with one exception (a guarded store).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ebpf.abi import types
from ebpf.abi.linux import E2BIG, EACCES, EBADF, EINVAL, ENOTSUPP
from ebpf.abi.linux.contexts import (
    CB,
    EXACT,
    PLAIN_CONTEXTS,
    QUEUE,
    SCALAR,
    ContextField,
    ContextLayout,
    PlainContext,
    layout_of,
)
from ebpf.asm.opcodes import (
    BPF_ATOMIC,
    BPF_DW,
    BPF_JGE,
    BPF_JMP,
    BPF_K,
    BPF_LDX,
    BPF_MEMSX,
    BPF_PSEUDO_FUNC,
    BPF_PSEUDO_MAP_FD,
    BPF_PSEUDO_MAP_IDX,
    BPF_PSEUDO_MAP_IDX_VALUE,
    BPF_PSEUDO_MAP_VALUE,
    BPF_ST,
    BPF_STX,
    GOTO,
    SIZES,
)
from ebpf.plain import NamedTuple
from ebpf.vm import M32
from ebpf.vm.check import Checked, refused
from ebpf.vm.dataflow import MIXED, MODIFIED, OTHER, Origin, context_accesses
from ebpf.vm.fault import Rejected
from ebpf.vm.flow import called_function
from ebpf.vm.program import LoadRequest, Log, Slot

if TYPE_CHECKING:
    from ebpf.vm.maps import Map

MAX_MAPS = 64
"""Maps that one program may use (MAX_USED_MAPS)."""

_NO_QUEUE = 0xFFFF  # NO_QUEUE_MAPPING, include/linux/skbuff.h
_SIZE_BITS = {size: bits for bits, size in SIZES.items()}
_BY_FD = (BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE)
_BY_INDEX = (BPF_PSEUDO_MAP_IDX, BPF_PSEUDO_MAP_IDX_VALUE)
_VALUES = (BPF_PSEUDO_MAP_VALUE, BPF_PSEUDO_MAP_IDX_VALUE)


class Lowered(NamedTuple):
    """A lowered program.

    `functions` are its functions' first slots, `origins` the slot of the program that was loaded, for each slot.
    `max_context_offset` is the end of the highest access to a plain context.
    """

    slots: Sequence[Slot]
    maps: tuple[Map, ...]
    functions: tuple[int, ...]
    origins: Sequence[int]
    max_context_offset: int = 0


def lower(request: LoadRequest, checked: Checked, log: Log) -> Lowered:
    """Return the lowered program.

    Raises:
        Rejected: EACCES for a forbidden access to the context; EBADF, EINVAL, E2BIG for a wrong reference to a map;
            ERANGE for a jump that would get too long.
    """
    slots = list(checked.slots)
    maps: list[Map] = []
    for at in _constants(checked):
        slots[at : at + 2] = _constant(request, slots, at, maps, log)
    layout = layout_of(request.type, request.attach_type)
    guards: dict[int, Slot] = {}
    end = 0
    if layout is not None:
        guards = _translate(layout, request.insns, checked, slots, log)
    elif request.type in PLAIN_CONTEXTS:
        end = _measure(PLAIN_CONTEXTS[request.type], request.insns, checked, log)
    if not guards:
        return Lowered(slots, tuple(maps), checked.flow.functions, range(len(slots)), end)
    from ebpf.vm.patch import insert

    try:
        patched = insert(slots, checked.flow, guards)
    except Rejected as error:
        raise refused(log, error.errno, error.message) from None
    return Lowered(patched.slots, tuple(maps), patched.functions, patched.origins)


def _constants(checked: Checked) -> Iterator[int]:
    return (half - 1 for half in sorted(checked.flow.halves))


def _constant(request: LoadRequest, slots: list[Slot], at: int, maps: list[Map], log: Log) -> list[Slot]:
    slot, half = slots[at], slots[at + 1]
    if slot.src == 0:
        return [slot, half]
    if slot.src == BPF_PSEUDO_FUNC:
        return [slot._replace(imm=called_function(slot, at) or 0), half]
    if slot.src not in _BY_FD + _BY_INDEX or (half.imm and slot.src not in _VALUES):
        raise refused(log, EINVAL, "unrecognized bpf_ld_imm64 insn", slots, at)
    map_ = (request.map_by_fd if slot.src in _BY_FD else request.map_by_index)(slot.imm)
    if map_ is None:
        what = "fd" if slot.src in _BY_FD else "fd_idx"
        raise refused(log, EBADF, f"{what} {slot.imm} is not pointing to valid bpf_map", slots, at)
    if slot.src in _VALUES:
        _check_value(map_, half.imm & M32, slots, at, log)
    if map_ not in maps:
        if len(maps) == MAX_MAPS:
            raise refused(log, E2BIG, f"The total number of maps per program has reached the limit of {MAX_MAPS}")
        maps.append(map_)
    source = BPF_PSEUDO_MAP_IDX_VALUE if slot.src in _VALUES else BPF_PSEUDO_MAP_IDX
    return [slot._replace(src=source, imm=maps.index(map_)), half]


def _check_value(map_: Map, offset: int, slots: list[Slot], at: int, log: Log) -> None:
    if map_.type != types.MapType.ARRAY:
        raise refused(log, EINVAL, "no direct value access support for this map type", slots, at)
    reason = f"invalid access to map value pointer, value_size={map_.value_size} off={offset}"
    if map_.max_entries != 1:
        raise refused(log, ENOTSUPP, reason, slots, at)
    if offset >= map_.value_size:
        raise refused(log, EINVAL, reason, slots, at)


def _accesses(code: bytes, checked: Checked, log: Log) -> list[tuple[int, Origin]]:
    try:
        accesses = context_accesses(code, checked.slots, checked.flow)
    except Rejected as error:
        raise refused(log, error.errno, error.message) from None
    return [(at, origin) for at, origin in sorted(accesses.items()) if origin is not OTHER]


def _measure(context: PlainContext, code: bytes, checked: Checked, log: Log) -> int:
    """Check the accesses to a context that is plain memory; return the end of the highest one."""
    end = 0
    for at, origin in _accesses(code, checked, log):
        slot = checked.slots[at]
        size = SIZES[slot.opcode & 0x18]
        reason = _misplaced(slot, origin)
        if reason is None and not context.allows(slot.off, size, write=slot.opcode & 7 != BPF_LDX):
            reason = f"invalid bpf_context access off={slot.off} size={size}"
        if reason is not None:
            raise refused(log, EACCES, reason, checked.slots, at)
        end = max(end, slot.off + size)
    return end


def _translate(layout: ContextLayout, code: bytes, checked: Checked, slots: list[Slot], log: Log) -> dict[int, Slot]:
    """Change the accesses to the context; return what has to be inserted before which slot."""
    guards: dict[int, Slot] = {}
    for at, origin in _accesses(code, checked, log):
        reason = _forbidden(layout, slots[at], origin)
        if reason is not None:
            raise refused(log, EACCES, reason, slots, at)
        field = layout.field_at(slots[at].off)
        assert field is not None  # or it would have been forbidden
        if field.kind == QUEUE and slots[at].opcode & 7 == BPF_STX:
            guards[at] = Slot(BPF_JMP | BPF_JGE | BPF_K, slots[at].src, 0, 1, _NO_QUEUE)
        slots[at] = _internal(field, slots[at])
    return guards


def _misplaced(slot: Slot, origin: Origin) -> str | None:
    write = slot.opcode & 7 != BPF_LDX
    register = slot.dst if write else slot.src
    if origin is MODIFIED:
        return f"dereference of modified ctx ptr R{register} off={slot.off} disallowed"
    if origin is MIXED:
        return f"same insn cannot be used with different pointers: R{register} is ctx on one path only"
    if slot.opcode & 7 == BPF_STX and slot.opcode & 0xE0 == BPF_ATOMIC:
        return f"BPF_ATOMIC stores into R{register} ctx is not allowed"
    return None


def _forbidden(layout: ContextLayout, slot: Slot, origin: Origin) -> str | None:
    reason = _misplaced(slot, origin)
    if reason is not None:
        return reason
    write = slot.opcode & 7 != BPF_LDX
    size = SIZES[slot.opcode & 0x18]
    field = layout.field_at(slot.off)
    allowed = field is not None and field.allows(slot.off, size, write=write)
    if allowed and field is not None and slot.opcode & 0xE0 == BPF_MEMSX and not _is_number(field):
        allowed = False
    return None if allowed else f"invalid bpf_context access off={slot.off} size={size}"


def _is_number(field: ContextField) -> bool:
    return field.kind in (SCALAR, QUEUE, EXACT, CB)


def _internal(field: ContextField, slot: Slot) -> Slot:
    offset = field.internal_offset + slot.off - field.offset
    if not _is_number(field):
        return slot._replace(opcode=slot.opcode & ~BPF_DW | BPF_DW, off=offset)
    if slot.opcode & 7 == BPF_LDX and SIZES[slot.opcode & 0x18] >= field.internal_size:
        # Linux shifts only what is narrower than its own field: any half of a u16 field reads as all of it.
        offset = field.internal_offset
    if slot.opcode & 7 == BPF_LDX or field.kind == CB:
        return slot._replace(off=offset)
    if field.kind == QUEUE and slot.opcode & 7 == BPF_ST and slot.imm >= _NO_QUEUE:
        return Slot(GOTO, 0, 0, 0, 0)
    # A store of the whole field keeps what the kernel's field, which may be narrower, can hold.
    return slot._replace(opcode=slot.opcode & ~BPF_DW | _SIZE_BITS[field.internal_size], off=offset)
