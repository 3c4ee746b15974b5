"""Maps the images of the support library into this process: written first, executable after, never both (W^X).

Run on Linux x86-64; on Windows x64 under Wine and on aarch64 under qemu-user. Nowhere else is an image taken.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from collections.abc import Callable

from ebpf.codegen.header import SIZE, Header

PAGE = 1 << 16
"""Mappings are rounded up to this: no page of a known system is larger."""

_TARGETS = {("linux", "x86_64"): "x86_64-sysv", ("win32", "amd64"): "x86_64-win64", ("linux", "aarch64"): "aarch64"}
"""System and processor → target of an image."""
_IMAGES = os.path.join(os.path.dirname(__file__), "images")


class ImageError(Exception):
    """There is no image for this process, or it can't be mapped. The message says why.

    `refused` is true where the system has an image but does not let this process map executable memory.
    """

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


class Image:
    """A mapped image, for the rest of the process. Threads may share it.

    `decode(slots, operations, count)` takes addresses. `run(machine)` and `run_released(machine)` take what `pointer`
    makes of an address; the latter releases the GIL.
    """

    def __init__(self, header: Header, address: int) -> None:
        word = ctypes.c_uint64
        self.target = header.target
        self.run_address = address + header.run
        self.decode: Callable[[int, int, int], int] = ctypes.CFUNCTYPE(word, word, word, word)(address + header.decode)
        # Without declared arguments nothing of Python is called for the conversion: it can't fail, and it is faster.
        self.run: Callable[[ctypes.c_void_p], int] = ctypes.PYFUNCTYPE(word)(address + header.run)
        self.run_released: Callable[[ctypes.c_void_p], int] = ctypes.CFUNCTYPE(word)(address + header.run)


def pointer(address: int) -> ctypes.c_void_p:
    """Return an address as `Image.run` takes it."""
    return ctypes.c_void_p(address)


def processor() -> str:
    """Return the processor that this process runs on, as its system calls it."""
    if sys.platform == "win32":
        # What the interpreter was built for: an ARM machine runs interpreters for x64, too.
        return "amd64" if "amd64" in sys.version.lower() else "other"
    return os.uname().machine


def target_of_process() -> str:
    """Return the target whose image fits this process. Raises ImageError where there is none."""
    target = _TARGETS.get((sys.platform, processor()))
    if target is None or sys.maxsize < 1 << 32 or sys.byteorder != "little":
        raise ImageError(f"there is no native code for {sys.platform} on {processor()}")
    if sys.implementation.name != "cpython":
        raise ImageError(f"native code runs beside CPython only, not {sys.implementation.name}")
    return target


def read_image(name: str, layout: tuple[int, ...]) -> tuple[Header, bytes]:
    """Return header and code of an image that is whole and has this layout. Raises ImageError."""
    try:
        with open(os.path.join(_IMAGES, f"{name}.bin"), "rb") as file:
            image = file.read()
    except OSError as error:
        raise ImageError(f"{name}.bin is missing from this installation: {error}") from None
    return check_image(image, name, layout)


def check_image(image: bytes, name: str, layout: tuple[int, ...]) -> tuple[Header, bytes]:
    """Compare an image with what it says about itself and with `layout`. Raises ImageError."""
    try:
        header = Header.unpack(image)
    except ValueError as error:
        raise ImageError(f"{name}.bin: {error}") from None
    code = image[SIZE:]
    if len(code) != header.size or hashlib.sha256(code).digest() != header.digest:
        raise ImageError(f"{name}.bin is damaged")
    if not name.endswith(header.target):
        raise ImageError(f"{name}.bin is for {header.target}")
    if header.layout != layout:
        raise ImageError(f"{name}.bin is of another version: layout {header.layout}, expected {layout}")
    return header, code


def load_image(name: str, layout: tuple[int, ...]) -> Image:
    """Map the image `name`-TARGET for this process. Raises ImageError."""
    header, code = read_image(f"{name}-{target_of_process()}", layout)
    return Image(header, map_code(code))


def map_code(code: bytes) -> int:
    """Copy machine code into new pages that are executable and not writable; return their address.

    They stay for the rest of the process. Raises ImageError with `refused`.
    """
    try:
        return _map(code, -(-len(code) // PAGE) * PAGE)
    except OSError as error:
        raise ImageError(f"the system's library can't be called: {error}") from None


if sys.platform == "win32":

    def _map(code: bytes, size: int) -> int:
        reserve_and_commit, read_write, execute_read, release = 0x3000, 0x04, 0x20, 0x8000
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.VirtualAlloc.restype = ctypes.c_void_p
        kernel.VirtualAlloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_ulong, ctypes.c_ulong]
        kernel.VirtualProtect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_ulong, ctypes.c_void_p]
        kernel.VirtualFree.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_ulong]
        kernel.FlushInstructionCache.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        kernel.GetCurrentProcess.restype = ctypes.c_void_p
        address: int | None = kernel.VirtualAlloc(None, size, reserve_and_commit, read_write)
        if address is None:
            raise _refused(ctypes.get_last_error())
        ctypes.memmove(address, code, len(code))
        before = ctypes.c_ulong()
        if not kernel.VirtualProtect(address, size, execute_read, ctypes.byref(before)):
            error = _refused(ctypes.get_last_error())
            kernel.VirtualFree(address, 0, release)
            raise error
        kernel.FlushInstructionCache(kernel.GetCurrentProcess(), address, size)
        return address

else:

    def _map(code: bytes, size: int) -> int:
        import mmap

        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        number = ctypes.c_int
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, number, number, number, ctypes.c_ssize_t]
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        address: int | None = libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        if address is None or address == ctypes.c_void_p(-1).value:
            raise _refused(ctypes.get_errno())
        ctypes.memmove(address, code, len(code))
        # On aarch64 Linux flushes the instruction cache itself when a page becomes executable for the first time.
        if libc.mprotect(address, size, mmap.PROT_READ | mmap.PROT_EXEC):
            error = _refused(ctypes.get_errno())
            libc.munmap(address, size)
            raise error
        return address


def _refused(number: int) -> ImageError:
    return ImageError(f"the system refuses executable memory (error {number})", refused=True)


_Py_buffer = ctypes.c_void_p * 16
"""At least as large as struct Py_buffer, whose first member is the address."""


def address_of(view: memoryview) -> int:
    """Return where the bytes of a contiguous view are; 0 for an empty one. The caller keeps the view."""
    if not view.nbytes:
        return 0
    if not view.readonly:
        return ctypes.addressof(ctypes.c_char.from_buffer(view))
    raw = _Py_buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), raw, 0)
    address = raw[0]
    ctypes.pythonapi.PyBuffer_Release(raw)
    return address or 0
