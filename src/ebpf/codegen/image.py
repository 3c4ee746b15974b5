"""Finds the image of the support library that fits this process, and maps it for the life of the process.

Run on Linux x86-64; on Windows x64 under Wine and on aarch64 under qemu-user. Nowhere else is an image taken.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from array import array
from collections.abc import Callable, Iterable
from functools import cache
from typing import TypeAlias

from ebpf.codegen.executable import Executable, system_library
from ebpf.codegen.executable import ImageError as ImageError  # callers of this module catch it
from ebpf.plain import NamedTuple

_TARGETS = {("linux", "x86_64"): "x86_64-sysv", ("win32", "amd64"): "x86_64-win64", ("linux", "aarch64"): "aarch64"}
"""System and processor → target of an image."""
PYTHON = array("Q", bytes(8 * 17))
"""struct python of this process, which only builtins look at: `ebpf.codegen.builtin` fills it in."""
_IMAGES = os.path.join(os.path.dirname(__file__), "images")

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

Call: TypeAlias = Callable[..., int]
"""An entry that takes words, as `pointer` gives them, and returns a number."""


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


class Image:
    """A mapped image, for the rest of the process. Threads may share it.

    `addresses` are those of the entries by name, `table` the same in the order of ENTRIES. `run(machine)` and
    `run_released(machine)` take what `pointer` makes of an address; the latter releases the GIL.
    """

    def __init__(self, header: Header, address: int) -> None:
        self.target = header.target
        self.addresses = {name: address + offset for name, offset in header.entries.items()}
        self.table = array("Q", (self.addresses[name] for name in ENTRIES))
        keep(self.table)
        _, self._decode = self.calls("ebpf_decode")
        self.run, self.run_released = self.calls("ebpf_run")

    def decode(self, slots: int, operations: int, count: int) -> None:
        """Make `count` operations of as many slots; both are addresses."""
        self._decode(pointer(slots), pointer(operations), pointer(count))

    def calls(self, name: str) -> tuple[Call, Call]:
        """Return an entry as two functions: one keeps the GIL, one releases it."""
        keeps, releases = _prototypes()
        return keeps(self.addresses[name]), releases(self.addresses[name])

    def bind(self, name: str, arguments: str) -> Callable[..., int]:
        """Return a function that keeps the GIL and returns a signed number.

        `arguments` has a letter for each: `p` an address (bytes, ctypes object, number or None), `w` a word.
        """
        kinds = {"p": ctypes.c_void_p, "w": ctypes.c_uint64}
        prototype = ctypes.PYFUNCTYPE(ctypes.c_int64, *(kinds[letter] for letter in arguments))
        return prototype(self.addresses[name])


@cache
def _prototypes() -> tuple[Callable[[int], Call], Callable[[int], Call]]:
    # Without declared arguments nothing of Python is called for the conversion: it can't fail, and it is faster.
    return ctypes.PYFUNCTYPE(ctypes.c_uint64), ctypes.CFUNCTYPE(ctypes.c_uint64)


def pointer(address: int) -> ctypes.c_void_p:
    """Return an address, or another word, as `Image.run` takes it."""
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
    if len(code) != header.size or checksum(code) != header.checksum:
        raise ImageError(f"{name}.bin is damaged")
    if not name.endswith(header.target):
        raise ImageError(f"{name}.bin is for {header.target}")
    if header.layout != layout:
        raise ImageError(f"{name}.bin is of another version: layout {header.layout}, expected {layout}")
    return header, code


def read_support() -> bytes:
    """Return the bitcode of what compiled programs take into themselves (support/inline.c). Raises ImageError."""
    try:
        with open(os.path.join(_IMAGES, "support.bc"), "rb") as file:
            return file.read()
    except OSError as error:
        raise ImageError(f"support.bc is missing from this installation: {error}") from None


def load_image(name: str, layout: tuple[int, ...]) -> Image:
    """Map the image `name`-TARGET for this process. Raises ImageError."""
    header, code = read_image(f"{name}-{target_of_process()}", layout)
    keep(PYTHON)
    at = header.entries["ebpf_python"]
    return Image(header, map_code(code[:at] + PYTHON.buffer_info()[0].to_bytes(8, "little") + code[at + 8 :]))


def keep(thing: object) -> None:
    """Never free an object whose address native code has: destructors may run programs when modules are gone."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def map_code(code: bytes) -> int:
    """Copy machine code into pages that stay for the rest of the process; return their address. Raises ImageError."""
    return Executable(code).address


def clock_function() -> int:
    """Return the address of clock_gettime for native code that asks for the time; 0 where it can't call that."""
    if sys.platform != "linux":
        return 0
    return ctypes.cast(system_library().clock_gettime, ctypes.c_void_p).value or 0


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
