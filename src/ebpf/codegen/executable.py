"""Machine code in pages of its own: written first, executable after, never both (W^X)."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from errno import errorcode
from types import TracebackType
from typing import Any


class ImageError(Exception):
    """There is no native code for this process, or it can't be mapped. The message says why.

    `refused` is true where the system has native code but does not let this process map executable memory.
    """

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


class Executable:
    """Machine code, mapped at `address` until `close`; a context manager. Threads may share it.

    A function made of an address keeps no owner: what is not closed stays for the rest of the process, and nothing may
    run in the code, or be about to, when it is closed. `size` is what it takes of memory, in bytes: whole pages.
    Raises ImageError where the system refuses.
    """

    def __init__(self, code: bytes) -> None:
        if not code:
            raise ValueError("there is no code to map")
        page = _page_size()
        self.size = -(-len(code) // page) * page
        try:
            self._address: int | None = _map(code, self.size)
        except OSError as error:
            raise ImageError(f"the system's library can't be called: {error}") from None

    @property
    def address(self) -> int:
        """Where the code begins. Raises ValueError after `close`."""
        if self._address is None:
            raise ValueError("the code is no longer mapped")
        return self._address

    def close(self) -> None:
        """Unmap the code. Closing again does nothing."""
        address, self._address = self._address, None
        if address is not None:
            _unmap(address, self.size)

    def __enter__(self) -> Executable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _refused(number: int) -> ImageError:
    name = f"Windows error {number}" if sys.platform == "win32" else errorcode.get(number, f"errno {number}")
    return ImageError(f"the system refuses executable memory ({name})", refused=True)


if sys.platform == "win32":

    def _page_size() -> int:
        return 4096  # of all processors that Windows runs x64 code on

    @functools.cache
    def system_library() -> Any:
        """Return what the system is called through; its functions keep the error number apart."""
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.VirtualAlloc.restype = ctypes.c_void_p
        kernel.VirtualAlloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_ulong, ctypes.c_ulong]
        kernel.VirtualProtect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_ulong, ctypes.c_void_p]
        kernel.VirtualFree.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_ulong]
        kernel.FlushInstructionCache.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        kernel.GetCurrentProcess.restype = ctypes.c_void_p
        return kernel

    def _map(code: bytes, size: int) -> int:
        reserve_and_commit, read_write, execute_read = 0x3000, 0x04, 0x20
        kernel = system_library()
        address: int | None = kernel.VirtualAlloc(None, size, reserve_and_commit, read_write)
        if address is None:
            raise _refused(ctypes.get_last_error())
        ctypes.memmove(address, code, len(code))
        before = ctypes.c_ulong()
        if not kernel.VirtualProtect(address, size, execute_read, ctypes.byref(before)):
            error = _refused(ctypes.get_last_error())
            _unmap(address, size)
            raise error
        kernel.FlushInstructionCache(kernel.GetCurrentProcess(), address, size)
        return address

    def _unmap(address: int, size: int) -> None:
        release = 0x8000
        system_library().VirtualFree(address, 0, release)

else:
    _READ, _WRITE, _EXECUTE, _PRIVATE = 1, 2, 4, 2
    _ANONYMOUS = 0x20 if sys.platform == "linux" else 0x1000
    """include/uapi/asm-generic/mman-common.h, and sys/mman.h of the BSDs; the module `mmap` is not needed for them."""

    def _page_size() -> int:
        return os.sysconf("SC_PAGE_SIZE")

    @functools.cache
    def system_library() -> Any:
        """Return what the system is called through; its functions keep the error number apart."""
        libc = ctypes.CDLL(None, use_errno=True)
        number = ctypes.c_int
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, number, number, number, ctypes.c_ssize_t]
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, number]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        return libc

    def _map(code: bytes, size: int) -> int:
        libc = system_library()
        address: int | None = libc.mmap(None, size, _READ | _WRITE, _PRIVATE | _ANONYMOUS, -1, 0)
        if address is None or address == ctypes.c_void_p(-1).value:
            raise _refused(ctypes.get_errno())
        ctypes.memmove(address, code, len(code))
        # On aarch64 Linux flushes the instruction cache itself when a page becomes executable for the first time.
        if libc.mprotect(address, size, _READ | _EXECUTE):
            error = _refused(ctypes.get_errno())
            _unmap(address, size)
            raise error
        return address

    def _unmap(address: int, size: int) -> None:
        system_library().munmap(address, size)
