"""Addresses of Python buffers, for calls into a kernel or a DLL."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ebpf.plain import NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Address(NamedTuple):
    """A number that is valid as long as `keepalive` is referenced."""

    number: int
    keepalive: object


def pin(buffer: Buffer, *, writable: bool) -> Address:
    """Return where a buffer lies; nothing to point at (no bytes) is address 0.

    A read-only buffer that is not `bytes` is copied. Raises TypeError when the callee writes and the buffer is
    read-only, BufferError when it is not contiguous.
    """
    import ctypes

    view = memoryview(buffer)
    if not view.c_contiguous:
        raise BufferError("the buffer is not contiguous: pass bytes(view)")
    if view.readonly and writable:
        raise TypeError("the kernel writes here: expected a bytearray or a writable memoryview, got read-only memory")
    if not view.nbytes:
        return Address(0, None)
    if view.readonly:
        data = buffer if isinstance(buffer, bytes) else bytes(view)
        return Address(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0, data)
    array = (ctypes.c_char * view.nbytes).from_buffer(view)
    return Address(ctypes.addressof(array), array)


def pin_strings(texts: Sequence[bytes]) -> Address:
    """Return where an array of pointers to `texts` lies; each text must end in NUL."""
    addresses = [pin(text, writable=False) for text in texts]
    table = bytearray(struct.pack(f"={len(addresses)}Q", *(address.number for address in addresses)))
    array = pin(table, writable=True)
    return Address(array.number, (array.keepalive, addresses))
