"""The header of an image: what has to fit before its code may be mapped (written by support/build.py)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = b"ebpf\0img"
ALIGNMENT = 16
LAYOUT_WORDS = 10
FUNCTIONS = (
    "ebpf_helper",
    "ebpf_take_lock",
    "ebpf_hash_update",
    "ebpf_hash_delete",
    "ebpf_hash_read",
    "ebpf_hash_find",
    "ebpf_hash_next",
    "ebpf_hash_walk",
    "ebpf_hash_clear",
    "ebpf_queue_push",
    "ebpf_queue_next",
    "ebpf_ring_reserve",
    "ebpf_ring_commit",
    "ebpf_ring_output",
)
"""What an image has beside the two entries of the interpreter."""
_FORMAT = struct.Struct(f"<8s16s{LAYOUT_WORDS}I3I{len(FUNCTIONS)}I32s")
SIZE = _FORMAT.size


@dataclass(frozen=True, slots=True)
class Header:
    """`layout` is `ebpf_layout` of support/image.c, ABI version first; `decode`, `run` and `functions`, in the
    order of FUNCTIONS, are offsets into the code. `size` is the code's in bytes, `digest` its SHA-256.
    """

    target: str
    layout: tuple[int, ...]
    decode: int
    run: int
    functions: tuple[int, ...]
    size: int
    digest: bytes

    def pack(self) -> bytes:
        """Return the header as bytes."""
        name = self.target.encode()
        return _FORMAT.pack(MAGIC, name, *self.layout, self.decode, self.run, self.size, *self.functions, self.digest)

    @classmethod
    def unpack(cls, image: bytes) -> Header:
        """Read the header of an image. Raises ValueError for anything else."""
        if len(image) < _FORMAT.size or not image.startswith(MAGIC):
            raise ValueError("this is no image")
        _, name, *words, digest = _FORMAT.unpack_from(image)
        layout, (decode, run, size, *functions) = words[:LAYOUT_WORDS], words[LAYOUT_WORDS:]
        return cls(name.rstrip(b"\0").decode("ascii"), tuple(layout), decode, run, tuple(functions), size, digest)
