"""Native storage of maps (support/map.h): memory that native code reads and writes without Python.

Whether there is such storage is decided for the process: where native code can't run, maps are in Python's objects.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable
from functools import cache
from typing import Any

from ebpf.abi.linux import ENOMEM
from ebpf.errors import NotSupportedError
from ebpf.lean import WeakSet
from ebpf.vm import epochs
from ebpf.vm.maps.base import Map, round_up
from ebpf.vm.values import ADDRESS_BITS, MAP_WORDS

VARIABLE = "EBPF_MAP_STORAGE"
"""Environment variable that says where new maps are: "native", "python" or "auto"."""

# Words of struct map.
(
    TYPE, KEY_SIZE, VALUE_SIZE, MAX_ENTRIES, STRIDE, SHIFT, VALUES, CPUS, ACCESS, LOCK_OFFSET, SEED, ACCOUNTED, LOCK,
    COUNT, EPOCHS, NODES, NODE_STRIDE, BUCKETS, BUCKET_MASK, CAPACITY, FRESH, DEFERRED, DEFERRED_FIRST, DEFERRED_LAST,
    REUSABLE, SLOTS, FREE_SLOTS, FREE_COUNT, USED_SLOTS, FIRST_SLOT, USES, PART_COUNTS, PARTS, HEAD, WAKEUPS, CREDIT,
    WOKEN,
) = range(37)  # fmt: skip
NONE = (1 << 64) - 1
ALL_CPUS = NONE
BUSY = 1 << 40
"""A function did nothing, because the lock was not free."""
UNPAID = BUSY + 1
"""A function did nothing, because it has to be called with memory for an element that is paid for."""
_USED = 1
"""An update has used the memory that was paid for."""
EXHAUSTED = BUSY + 2
"""A function did nothing, because all free elements wait for runs to end."""

_MOST_SHIFT = 32
_SEED_MULTIPLIER = 0xD6E8FEB86659FD93
_LARGE = 1 << 16
_TABLE = 64
_PATIENCE = 1.0
"""Seconds that a thread waits for the runs of others to end, where all free elements wait for that."""

storages: WeakSet[NativeStorage] = WeakSet()


def zeroed(size: int) -> memoryview:
    """Return new memory of zero bytes, aligned to 8. Large memory takes no pages before it is written to."""
    if size < _LARGE:
        return memoryview(bytearray(size))
    import mmap  # of most maps the memory is small

    make: Callable[..., mmap.mmap] = mmap.mmap
    private: int = getattr(mmap, "MAP_PRIVATE", 0)  # Windows has neither these flags nor fork()
    flags = [private | getattr(mmap, "MAP_ANONYMOUS", 0)] if private else []
    try:
        return memoryview(make(-1, size, *flags))
    except OSError as error:
        raise MemoryError(str(error)) from None


def shift_of(numbers: int) -> int:
    """Return how far the number of a value is shifted in its address, where there are so many."""
    return min(_MOST_SHIFT, ADDRESS_BITS - (numbers - 1).bit_length())


class NativeStorage:
    """One struct map and the memory that it points to. Alive as long as somebody may use its address.

    `values` are all values, `numbers` of them at multiples of `stride`; 0 where values have no addresses.
    """

    __slots__ = (
        "__weakref__",
        "address",
        "numbers",
        "pointer",
        "shift",
        "start",
        "stride",
        "tables",
        "values",
        "words",
    )

    def __init__(self, map_: Map, values: memoryview, *, stride: int, numbers: int) -> None:
        from ebpf.codegen.image import address_of, pointer

        self.values = values
        self.stride = stride
        self.numbers = numbers
        self.shift = shift_of(numbers) if numbers else 0
        self.start = address_of(values)
        self.tables: list[Any] = []
        self.words = words = array("Q", bytes(8 * MAP_WORDS))
        self.address = words.buffer_info()[0]
        self.pointer = pointer(self.address)
        words[TYPE], words[KEY_SIZE], words[VALUE_SIZE] = int(map_.type), map_.key_size, map_.value_size
        words[MAX_ENTRIES], words[STRIDE], words[SHIFT] = map_.max_entries, stride, self.shift
        words[VALUES], words[CPUS] = self.start, map_.cpus if map_.per_cpu else 1
        words[ACCESS] = map_.program_readable | map_.program_writable << 1
        words[LOCK_OFFSET] = NONE if map_.lock_offset is None else map_.lock_offset
        words[SEED] = (map_.seed + 1) * _SEED_MULTIPLIER & NONE
        words[EPOCHS] = epochs.WORDS.buffer_info()[0]
        storages.add(self)

    def add_tables(self, sizes: dict[int, int]) -> list[memoryview]:
        """Give native code tables of zero bytes: word of struct map → bytes."""
        from ebpf.codegen.image import address_of

        whole = zeroed(sum(round_up(size, _TABLE) for size in sizes.values()))
        start, at = address_of(whole), 0
        tables = []
        for word, size in sizes.items():
            self.words[word] = start + at
            tables.append(whole[at : at + size])
            at += round_up(size, _TABLE)
        self.tables += tables
        return tables

    def view(self, number: int) -> memoryview:
        """Return the live value with this number."""
        at = number * self.stride
        return self.values[at : at + self.words[VALUE_SIZE]]

    def number_of(self, view: memoryview) -> int:
        """Return the number of a live value."""
        from ebpf.codegen.image import address_of

        return (address_of(view) - self.start) // self.stride

    def describe(self) -> list[int]:
        """Return struct values, without its last two words."""
        words = self.words
        return [self.start, self.stride, words[VALUE_SIZE], self.numbers, self.shift, words[ACCESS]]


_ARGUMENTS = {
    "take_lock": "p",
    "take_credit": "p",
    "hash_update": "pppwww",
    "hash_delete": "ppp",
    "hash_read": "ppp",
    "hash_find": "ppw",
    "hash_next": "ppp",
    "hash_walk": "ppwppp",
    "hash_clear": "p",
    "hash_update_many": "pppwwp",
    "hash_delete_many": "ppwp",
    "hash_read_many": "ppwppp",
    "trie_update": "pppww",
    "trie_delete": "pp",
    "trie_find": "ppp",
    "trie_next": "ppp",
    "queue_push": "ppw",
    "queue_next": "ppw",
    "bloom_push": "pp",
    "bloom_peek": "pp",
    "ring_reserve": "pwp",
    "ring_commit": "pwww",
    "take_spin_lock": "p",
}
"""Functions on maps of the support library and what they take, as `Image.bind` wants it."""


class Functions:
    """The functions on maps, each bound when it is first asked for: maps can be made where no code can be mapped.

    Each is called through `patiently`. Asking raises codegen's ImageError.
    """

    def __getattr__(self, name: str) -> Callable[..., int]:
        from ebpf.vm.native import load_interpreter

        if name not in _ARGUMENTS:
            raise AttributeError(name)
        function = load_interpreter().bind(f"ebpf_{name}", _ARGUMENTS[name])
        setattr(self, name, function)
        return function


_FUNCTIONS = Functions()


def functions() -> Functions:
    """Return the functions."""
    return _FUNCTIONS


def patiently(function: Callable[..., int], *arguments: Any) -> int:
    """Call a function on a map until the lock is free, and for some time until there is an element."""
    deadline = 0.0
    while (result := function(*arguments)) >= BUSY and result != UNPAID:
        if result == EXHAUSTED:
            now = time.monotonic()
            deadline = deadline or now + _PATIENCE
            if now >= deadline or not epochs.older_runs():
                return -ENOMEM
        time.sleep(0)
    return result


def pay(charge: Callable[[int], bool], size: int, *call: Any) -> int:
    """Call a function that may insert an element, whose memory is asked for when that turns out to be so."""
    result = patiently(*call, False)
    if result != UNPAID:
        return result
    if not charge(size):
        return -ENOMEM
    result = patiently(*call, True)
    if result == _USED:
        return 0
    charge(-size)  # another thread has inserted the key meanwhile, or the map is full now
    return result


def native_storage() -> bool:
    """Whether new maps are in native storage, where their type has one.

    Raises:
        NotSupportedError: the environment variable asks for what there is not.
    """
    wanted = os.environ.get(VARIABLE) or "auto"
    if wanted == "python":
        return False
    if wanted not in ("auto", "native"):
        raise NotSupportedError(
            f"map storage {wanted!r} (environment variable {VARIABLE})",
            runtime="embedded",
            alternative="use auto, native or python",
        )
    obstacle = _obstacle()
    if obstacle is not None and wanted == "native":
        raise NotSupportedError(
            f"native map storage (environment variable {VARIABLE})",
            runtime="embedded",
            alternative=f"{obstacle}; use 'python'",
        )
    return obstacle is None


@cache
def _obstacle() -> str | None:
    from ebpf.codegen.image import ImageError
    from ebpf.vm.native import load_interpreter

    try:
        load_interpreter()
    except ImageError as error:
        return str(error)
    return None


_held: list[NativeStorage] = []


def _lock_all() -> None:
    # A thread that is in the middle of a map does not exist in the child.
    for storage in storages:
        patiently(functions().take_lock, storage.pointer)
        _held.append(storage)


def _free_all() -> None:
    while _held:
        _held.pop().words[LOCK] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock_all, after_in_parent=_free_all, after_in_child=_free_all)
