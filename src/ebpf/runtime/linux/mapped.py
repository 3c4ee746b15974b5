"""Map values as memory (mmap of a map's descriptor: BPF_F_MMAPABLE arrays since Linux 5.5, arenas since 6.9)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ebpf.errors import ClosedError, NotSupportedError
from ebpf.runtime.errors import system_call_error

if TYPE_CHECKING:
    import mmap


def map_shared(fd: int, length: int, *, offset: int = 0, writable: bool) -> mmap.mmap:
    """Map `length` bytes of a descriptor; raises SystemCallError of mmap."""
    if sys.platform != "linux":
        raise NotSupportedError("mapping a map's memory", runtime=sys.platform)
    import mmap

    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    try:
        return mmap.mmap(fd, length, mmap.MAP_SHARED, protection, offset=offset)
    except OSError as error:
        raise system_call_error("mmap", error.errno or 0) from error


def unmap(memory: mmap.mmap) -> None:
    """Unmap now, or when the last memoryview of it is gone."""
    try:
        memory.close()
    except BufferError:
        # The views keep the mapping object alive; it unmaps when they let go of it.
        return


class MapMemory:
    """A mapped map. close() takes the mapping away from this object; views that live keep it until they die."""

    def __init__(self, fd: int, size: int, *, writable: bool) -> None:
        self._memory: mmap.mmap | None = map_shared(fd, size, writable=writable)
        self._size = size

    @property
    def size(self) -> int:
        """How many bytes are mapped."""
        return self._size

    def view(self) -> memoryview:
        """Return the memory, live: the kernel sees each write and the other way round. Writes are not atomic."""
        if self._memory is None:
            raise ClosedError("the map's memory was closed; map it again")
        return memoryview(self._memory)

    def close(self) -> None:
        """Give the mapping up; live views defer the unmapping."""
        memory, self._memory = self._memory, None
        if memory is not None:
            unmap(memory)
