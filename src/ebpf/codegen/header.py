"""The header of an image: what has to fit before its code may be mapped (written by support/build.py)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from ebpf.plain import NamedTuple

MAGIC = b"ebpf\0img"
ALIGNMENT = 16
ENTRIES = (
    "ebpf_decode",
    "ebpf_run",
    "ebpf_answer",
    "ebpf_batch",
    "ebpf_repeat",
    "ebpf_function",
    "ebpf_python",
    "ebpf_open_frame",
    "ebpf_close_frame",
    "ebpf_find",
    "ebpf_helper",
    "ebpf_take_lock",
    "ebpf_take_credit",
    "ebpf_hash_update",
    "ebpf_hash_delete",
    "ebpf_hash_read",
    "ebpf_hash_find",
    "ebpf_hash_next",
    "ebpf_hash_walk",
    "ebpf_hash_clear",
    "ebpf_hash_update_many",
    "ebpf_hash_delete_many",
    "ebpf_hash_read_many",
    "ebpf_trie_update",
    "ebpf_trie_delete",
    "ebpf_trie_find",
    "ebpf_trie_next",
    "ebpf_queue_push",
    "ebpf_queue_next",
    "ebpf_bloom_push",
    "ebpf_bloom_peek",
    "ebpf_ring_reserve",
    "ebpf_ring_commit",
    "ebpf_take_random",
    "ebpf_take_spin_lock",
)
"""What the host finds in an image. Compiled code finds the same, in this order, in `calls` of struct machine."""
_ROOM = 48
_FORMAT = struct.Struct(f"<8s16s{_ROOM}I{_ROOM}III")
SIZE = _FORMAT.size
_PRIME = (1 << 30) - 35
"""The largest below 2**30: Python divides by what fits one of its digits in one pass."""


def checksum(code: bytes) -> int:
    """Return what is left of code as one number: against damage, which is all that a file of the package needs.

    CRC-32 finds no more of it, and its module takes longer to import than the rest of an image to load.
    """
    return int.from_bytes(code, "little") % _PRIME


class Header(NamedTuple):
    """`layout` is `ebpf_layout` of support/image.c, ABI version first; `entries` are offsets into the code by name.

    `size` is the code's in bytes.
    """

    target: str
    layout: tuple[int, ...]
    entries: dict[str, int]
    size: int
    checksum: int

    def pack(self) -> bytes:
        """Return the header as bytes."""
        entries = (self.entries[name] for name in ENTRIES)
        return _FORMAT.pack(
            MAGIC, self.target.encode(), *_padded(self.layout), *_padded(entries), self.size, self.checksum
        )

    @classmethod
    def unpack(cls, image: bytes) -> Header:
        """Read the header of an image. Raises ValueError for anything else."""
        if len(image) < _FORMAT.size or not image.startswith(MAGIC):
            raise ValueError("this is no image")
        _, name, *numbers, size, checksum = _FORMAT.unpack_from(image)
        layout = tuple(number for number in numbers[:_ROOM] if number)
        entries = dict(zip(ENTRIES, numbers[_ROOM:], strict=False))
        return cls(name.rstrip(b"\0").decode("ascii"), layout, entries, size, checksum)


def _padded(numbers: Iterable[int]) -> list[int]:
    given = list(numbers)
    return given + [0] * (_ROOM - len(given))
