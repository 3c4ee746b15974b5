"""The header of an image: what has to fit before its code may be mapped (written by support/build.py)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = b"ebpf\0img"
ALIGNMENT = 16
_FORMAT = struct.Struct("<8s16s8I3I32s")
SIZE = _FORMAT.size


@dataclass(frozen=True, slots=True)
class Header:
    """`layout` is `ebpf_layout` of support/image.c, ABI version first; `decode` and `run` are offsets into the code.

    `size` is the code's in bytes, `digest` its SHA-256.
    """

    target: str
    layout: tuple[int, ...]
    decode: int
    run: int
    size: int
    digest: bytes

    def pack(self) -> bytes:
        """Return the header as bytes."""
        name = self.target.encode()
        return _FORMAT.pack(MAGIC, name, *self.layout, self.decode, self.run, self.size, self.digest)

    @classmethod
    def unpack(cls, image: bytes) -> Header:
        """Read the header of an image. Raises ValueError for anything else."""
        if len(image) < _FORMAT.size or not image.startswith(MAGIC):
            raise ValueError("this is no image")
        _, name, *layout, decode, run, size, digest = _FORMAT.unpack_from(image)
        return cls(name.rstrip(b"\0").decode("ascii"), tuple(layout), decode, run, size, digest)
