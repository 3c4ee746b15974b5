"""Short names for the instructions that random programs are made of."""

from __future__ import annotations

from tests.isa.case import slot

SIZE_BITS = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
"""Size of an access in bytes → size bits of its opcode."""
CALLED = 0x0BAD_0000
"""Where the distance to a function belongs: this plus the function's number, until all have their places."""


def move(dst: int, src: int) -> bytes:
    """Encode dst = src."""
    return slot(0xBF, dst, src)


def put(dst: int, imm: int) -> bytes:
    """Encode dst = imm."""
    return slot(0xB7, dst, imm=imm)


def add(dst: int, imm: int) -> bytes:
    """Encode dst += imm."""
    return slot(0x07, dst, imm=imm)


def add_register(dst: int, src: int) -> bytes:
    """Encode dst += src."""
    return slot(0x0F, dst, src)


def mask(dst: int, imm: int) -> bytes:
    """Encode dst &= imm."""
    return slot(0x57, dst, imm=imm)


def load(size: int, dst: int, base: int, off: int, *, signed: bool = False) -> bytes:
    """Encode a load; the widest one has no signed form."""
    return slot((0x81 if signed and size < 8 else 0x61) | SIZE_BITS[size], dst, base, off)


def store(size: int, base: int, off: int, src: int) -> bytes:
    """Encode a store of a register."""
    return slot(0x63 | SIZE_BITS[size], base, src, off)


def store_constant(size: int, base: int, off: int, imm: int) -> bytes:
    """Encode a store of a constant."""
    return slot(0x62 | SIZE_BITS[size], base, 0, off, imm)


def helper(number: int) -> bytes:
    """Encode a call of a helper."""
    return slot(0x85, imm=number)


def function(number: int) -> bytes:
    """Encode a call of a function of the program."""
    return slot(0x85, 0, 1, imm=CALLED + number)


def pointer(dst: int, number: int) -> bytes:
    """Encode the load of a function's address."""
    return slot(0x18, dst, 4, imm=CALLED + number) + slot(0)


def map_(dst: int, index: int) -> bytes:
    """Encode the load of a map's address."""
    return slot(0x18, dst, 5, imm=index) + slot(0)


def map_value(dst: int, index: int) -> bytes:
    """Encode the load of the address of an array's only value."""
    return slot(0x18, dst, 6, imm=index) + slot(0)


def unless_zero(register: int, body: bytes) -> bytes:
    """Encode a body that is jumped over where the register is 0."""
    return slot(0x15, register, off=len(body) // 8) + body
