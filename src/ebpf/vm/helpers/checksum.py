"""Checksum helpers (net/core/filter.c; the arithmetic of include/net/checksum.h).

Internet checksums are one's complement sums, which the kernel keeps in 16 or 32 bits with the end-around carry. A sum
of numbers that are not all zero is never zero there, which decides between 0 and 0xffff in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import unpack
from typing import Any

from ebpf.abi.helpers import Helper
from ebpf.abi.linux import EACCES, EFAULT, EINVAL, ENOTSUPP
from ebpf.vm import M32
from ebpf.vm.context.skb import CHECKSUM_COMPLETE, CHECKSUM_NONE, CHECKSUM_UNNECESSARY, SkbContext
from ebpf.vm.machine import Run

_M16 = 0xFFFF
_FIELD_SIZE = 0xF
_PSEUDO_HEADER = 1 << 4
_MANGLED_ZERO = 1 << 5
_ENFORCE = 1 << 6
_IPV6 = 1 << 7
_MAX_OFFSET = 0xFFFF
_LEVEL_QUERY, _LEVEL_INC, _LEVEL_DEC, _LEVEL_RESET = range(4)
_MAX_LEVEL = 3


def add(*numbers: int) -> int:
    """Add in one's complement, 32 bits (csum_add)."""
    total = sum(numbers)
    return (total - 1) % M32 + 1 if total else 0


def subtract(number: int, other: int) -> int:
    """Subtract in one's complement, 32 bits (csum_sub)."""
    return add(number, other ^ M32)


def partial(content: bytes, start: int = 0) -> int:
    """Sum 16-bit words in memory order, an odd last byte padded with zero (csum_partial)."""
    padded = content + bytes(-len(content) % 4)
    return add(start, *unpack(f"<{len(padded) // 4}I", padded))


def fold(number: int) -> int:
    """Make a checksum field of a sum: 16 bits, inverted (csum_fold)."""
    return to16(number) ^ _M16


def to16(number: int) -> int:
    """Add the halves of a 32-bit sum in one's complement (csum_from32to16)."""
    total = (number >> 16) + (number & _M16)
    return (total + (total >> 16)) & _M16


def block_add(total: int, block: int, offset: int) -> int:
    """Add the sum of a block that begins at `offset`; odd offsets swap its bytes (csum_block_add)."""
    if offset & 1:
        block = (block >> 8 & 0xFF00FF) | (block & 0xFF00FF) << 8
    return add(total, block)


def _difference(run: Run, old: memoryview, old_size: int, new: memoryview, new_size: int, seed: int) -> int:
    total = seed & M32
    if old_size and new_size:
        total = subtract(partial(new.tobytes(), total), partial(old.tobytes()))
    elif new_size:
        total = partial(new.tobytes(), total)
    elif old_size:
        total = partial(old.tobytes(), total ^ M32) ^ M32
    return to16(total)


def _field(skb: SkbContext, offset: int) -> int | None:
    """Read the checksum field at `offset`, None where there can't be one."""
    if offset > _MAX_OFFSET or offset & 1 or skb.pull(offset + 2):
        return None
    return int.from_bytes(skb.read(offset, 2), "little")


def _replace_l3(run: Run, skb: SkbContext, offset: int, old: int, new: int, flags: int) -> int:
    offset &= M32
    if flags & ~_FIELD_SIZE:
        return -EINVAL
    field = _field(skb, offset)
    if field is None:
        return -EFAULT
    size = flags & _FIELD_SIZE
    if size == 0 and old == 0:
        field = replace_by_difference(field, new & M32)
    elif size == 2:
        field = _replace_16(field, old & _M16, new & _M16)
    elif size == 4:
        field = replace(field, old & M32, new & M32)
    else:
        return -EINVAL
    skb.write(offset, field.to_bytes(2, "little"))
    return 0


def replace(field: int, old: int, new: int) -> int:
    """Update a checksum field for a 32-bit change (csum_replace4)."""
    return fold(add(subtract(field ^ M32, old), new))


def replace_by_difference(field: int, difference: int) -> int:
    """Update a checksum field by a sum that was computed before (csum_replace_by_diff)."""
    return fold(add(difference, field ^ M32))


def _replace_16(field: int, old: int, new: int) -> int:
    return _add_16(_add_16(field ^ _M16, old ^ _M16), new) ^ _M16


def _add_16(number: int, other: int) -> int:
    total = number + other
    return total + 1 & _M16 if total > _M16 else total


def _replace_l4(run: Run, skb: SkbContext, offset: int, old: int, new: int, flags: int) -> int:
    offset &= M32
    if flags & ~(_FIELD_SIZE | _PSEUDO_HEADER | _MANGLED_ZERO | _ENFORCE | _IPV6):
        return -EINVAL
    field = _field(skb, offset)
    if field is None:
        return -EFAULT
    # A UDP checksum of zero means none.
    if flags & _MANGLED_ZERO and not flags & _ENFORCE and not field:
        return 0
    size = flags & _FIELD_SIZE
    if size == 0 and old == 0:
        field = replace_by_difference(field, new & M32)
        _account_difference(skb, new & M32, flags)
    elif size in (2, 4):
        mask = _M16 if size == 2 else M32
        field = replace(field, old & mask, new & mask)
        _account_change(skb, old & mask, new & mask, flags)
    else:
        return -EINVAL
    if flags & _MANGLED_ZERO and not field:
        field = _M16
    skb.write(offset, field.to_bytes(2, "little"))
    return 0


def _account_change(skb: SkbContext, old: int, new: int, flags: int) -> None:
    # A change of the pseudo header changes the checksum field, but nothing in the packet that makes up for it.
    if skb.ip_summed == CHECKSUM_COMPLETE and flags & _PSEUDO_HEADER:
        skb.csum = add(subtract(skb.csum ^ M32, old), new) ^ M32


def _account_difference(skb: SkbContext, difference: int, flags: int) -> None:
    if skb.ip_summed == CHECKSUM_COMPLETE and flags & _PSEUDO_HEADER and not flags & _IPV6:
        skb.csum = subtract(difference, skb.csum) ^ M32


def _update(run: Run, skb: SkbContext, difference: int) -> int:
    if skb.ip_summed != CHECKSUM_COMPLETE:
        return -ENOTSUPP
    skb.csum = add(skb.csum, difference & M32)
    return skb.csum


def _level(run: Run, skb: SkbContext, what: int) -> int:
    if what == _LEVEL_QUERY:
        return skb.csum_level if skb.ip_summed == CHECKSUM_UNNECESSARY else -EACCES
    if what == _LEVEL_INC:
        _raise_level(skb)
    elif what == _LEVEL_DEC:
        _lower_level(skb)
    elif what == _LEVEL_RESET:
        reset_level(skb)
    else:
        return -EINVAL
    return 0


def _raise_level(skb: SkbContext) -> None:
    if skb.ip_summed == CHECKSUM_UNNECESSARY:
        skb.csum_level = min(skb.csum_level + 1, _MAX_LEVEL)
    elif skb.ip_summed == CHECKSUM_NONE:
        skb.ip_summed = CHECKSUM_UNNECESSARY
        skb.csum_level = 0


def _lower_level(skb: SkbContext) -> None:
    if skb.ip_summed != CHECKSUM_UNNECESSARY:
        return
    if skb.csum_level == 0:
        skb.ip_summed = CHECKSUM_NONE
    else:
        skb.csum_level -= 1


def reset_level(skb: SkbContext) -> None:
    """Forget that checksums were verified (__skb_reset_checksum_unnecessary)."""
    if skb.ip_summed == CHECKSUM_UNNECESSARY:
        skb.ip_summed = CHECKSUM_NONE
        skb.csum_level = 0


BODIES: dict[Helper, Callable[..., Any]] = {
    Helper.CSUM_DIFF: _difference,
    Helper.L3_CSUM_REPLACE: _replace_l3,
    Helper.L4_CSUM_REPLACE: _replace_l4,
    Helper.CSUM_UPDATE: _update,
    Helper.CSUM_LEVEL: _level,
}
