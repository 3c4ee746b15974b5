"""What compiled code and the host share, as LLVM sees it: offsets into struct machine (support/machine.h)."""

from __future__ import annotations

from typing import Final

from ebpf.vm import native

CONTEXT: Final = "context"
PACKET: Final = "packet"

ENTRY: Final = "ebpf_entry"
"""Name of the function that the host calls as it calls the interpreter."""
RAISED: Final = 64
"""What STATUS is while the host answers, and after it where an exception has to be raised."""
REPLACED: Final = 65
"""What the host answers to a tail call whose program has run: its r0 is the function's."""

WORD: Final = 8
REGION_DATA: Final = 8
REGION_READ: Final = 16
REGION_WRITE: Final = 32
FRAME_SIZE: Final = WORD * native.FRAME_WORDS
MAP_REFERENCE_SIZE: Final = WORD * native.REFERENCE_WORDS
CODE_MAPS: Final = 2 * WORD


def member(word: int) -> int:
    """Return the offset in bytes of a word of struct machine."""
    return WORD * word
