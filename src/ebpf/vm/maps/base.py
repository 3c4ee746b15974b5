"""What all maps have in common: shape, permissions and the element calls (kernel/bpf/syscall.c, struct bpf_map_ops).

Storage follows the kernel's rules and errno. Calls return 0 or a negative Linux errno, as the kernel's do, because
programs see exactly these numbers in r0; the system call side turns them into exceptions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ebpf.abi.linux import E2BIG, EEXIST, EINVAL, ENOENT, ENOTSUPP, EOPNOTSUPP
from ebpf.abi.types import MapFlag, MapType, UpdateFlag
from ebpf.lean import RLock
from ebpf.plain import NamedTuple

if TYPE_CHECKING:
    from ebpf.vm.maps.storage import NativeStorage

NOEXIST = int(UpdateFlag.NOEXIST)
EXIST = int(UpdateFlag.EXIST)
LOCK = int(UpdateFlag.LOCK)
PAGE_SIZE = 4096
ELEMENT_OVERHEAD = 48
"""Bytes that the kernel's `struct htab_elem` adds to key and value."""
MAX_VIEWS = 1 << 16
"""How many views of its elements an array keeps: beyond that they would take more memory than the elements."""

FILE_FLAGS = int(MapFlag.RDONLY | MapFlag.WRONLY)
"""What belongs to the file descriptor, not to the map: the kernel keeps them apart, and so does MapShape.flags."""
_RDONLY_PROG = int(MapFlag.RDONLY_PROG)
_WRONLY_PROG = int(MapFlag.WRONLY_PROG)


class MapShape(NamedTuple):
    """What BPF_MAP_CREATE says about a map. Sizes in bytes.

    `lock_offset` is where a `struct bpf_spin_lock` lies in the value (from BTF), None without one.
    """

    type: MapType
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    map_extra: int = 0
    name: str = ""
    numa_node: int = 0
    lock_offset: int | None = None


def round_up(size: int, unit: int) -> int:
    """Round `size` up to a multiple of `unit`."""
    return -(-size // unit) * unit


def _grant(_size: int) -> bool:
    return True


class Map:
    """A map's storage. Threads may share it; its lock is never held while foreign code runs.

    `cpu` arguments choose the per-CPU copy and are ignored by other maps. A view returned by `lookup` is the live
    value: the same object every time while the element lives, readable for as long as someone holds it afterwards.
    """

    per_cpu = False
    program_lookup = True
    """Whether programs may look up, update and delete elements (prog arrays and rings have helpers of their own)."""

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        self.shape = shape
        self.type = shape.type
        self.name = shape.name
        self.key_size = shape.key_size
        self.value_size = shape.value_size
        self.max_entries = shape.max_entries
        self.flags = shape.flags
        self.map_extra = shape.map_extra
        self.lock_offset = shape.lock_offset
        self.id = 0
        self.cpus = cpus
        self.seed = seed
        self.frozen = False
        self.charge: Callable[[int], bool] = _grant
        """Asks the kernel for bytes (negative: gives back); False makes the element call fail with ENOMEM."""
        self.lock = RLock()
        self.version = 0
        self.native: NativeStorage | None = None
        """Where the elements are; None: in objects of Python."""

    def __repr__(self) -> str:
        return f"<{self.type.label} {self.name!r} id={self.id} {self.storage_kind}>"

    @property
    def storage_kind(self) -> str:
        """Where the elements are: "native" or "python"."""
        return "python" if self.native is None else "native"

    @property
    def program_writable(self) -> bool:
        """Whether programs may change values (no BPF_F_RDONLY_PROG)."""
        return not self.flags & _RDONLY_PROG

    @property
    def program_readable(self) -> bool:
        """Whether programs may read values (no BPF_F_WRONLY_PROG)."""
        return not self.flags & _WRONLY_PROG

    @property
    def system_value_size(self) -> int:
        """Size of a value in the system call: all CPUs' values, each rounded up to 8 bytes, for per-CPU maps."""
        return round_up(self.value_size, 8) * self.cpus if self.per_cpu else self.value_size

    @classmethod
    def cost(cls, shape: MapShape, *, cpus: int) -> int:
        """Bytes that creation takes from the kernel's memory limit."""
        return 0

    # Program side.

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        """Return the live value, or None."""
        return None

    def lookup_percpu(self, key: bytes, cpu: int) -> memoryview | None:
        """Return the value of that CPU (bpf_map_lookup_percpu_elem); None where the map has no such CPU."""
        return None

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        """Insert or replace, as a program on `cpu` does."""
        return -EOPNOTSUPP

    def delete(self, key: bytes) -> int:
        """Remove an element."""
        return -EOPNOTSUPP

    def push(self, value: bytes, flags: int = 0) -> int:
        """Append to a queue or stack, or add to a bloom filter."""
        return -EOPNOTSUPP

    def pop(self) -> bytes | int:
        """Take the next value, or a negative errno."""
        return -EOPNOTSUPP

    def peek(self, value: bytes = b"") -> bytes | int:
        """Read the next value without taking it; bloom filter: test `value` (0 or -ENOENT)."""
        return -EOPNOTSUPP

    def elements(self) -> list[tuple[bytes, Any, memoryview]]:
        """Snapshot for bpf_for_each_map_elem: key, its identity, live value of CPU 0 (or the CPU asked for)."""
        return []

    def elements_on(self, cpu: int) -> Iterable[tuple[bytes, Any, memoryview]]:
        """The elements with the values of `cpu`; of arrays one by one, since a snapshot may take more than the map."""
        return self.elements()

    # System call side.

    def read(self, key: bytes, flags: int = 0, value: bytes = b"") -> bytes | int:
        """Copy the value out, in the form of the system call; a negative errno where there is none."""
        view = self.lookup_quietly(key)
        return -ENOENT if view is None else self.export(view)

    def lookup_quietly(self, key: bytes) -> memoryview | None:
        """Look up for the system call: no trace is left in the LRU order."""
        return self.lookup(key, 0)

    def write(self, key: bytes, value: bytes, flags: int = 0) -> int:
        """Insert or replace from a value in the form of the system call."""
        return self.update(key, value, flags, 0)

    def take(self, key: bytes, flags: int = 0) -> bytes | int:
        """Look up and delete in one step."""
        return -ENOTSUPP

    def write_many(self, keys: memoryview, values: memoryview, count: int, flags: int = 0) -> tuple[int, int]:
        """Write `count` values in the form of the system call; return how many were written, and what ended it."""
        key, value = self.key_size, self.system_value_size
        for at in range(count):
            name, data = keys[at * key : (at + 1) * key], values[at * value : (at + 1) * value]
            error = self.write(name.tobytes(), data.tobytes(), flags)
            if error:
                return at, error
        return count, 0

    def delete_many(self, keys: memoryview, count: int) -> tuple[int, int]:
        """Delete `count` elements; return how many were deleted, and what ended it."""
        for at in range(count):
            error = self.delete(keys[at * self.key_size : (at + 1) * self.key_size].tobytes())
            if error:
                return at, error
        return count, 0

    def next_key(self, key: bytes | None) -> bytes | int:
        """Return the key after `key` (None or unknown: the first), or -ENOENT after the last."""
        return -ENOTSUPP

    def clear(self) -> None:
        """Drop all elements, when the map itself goes."""

    def known(self) -> list[Map]:
        """Return maps in this one that a run knows from its start; `version` changes when they do."""
        return []

    def settle(self) -> None:
        """Give back the memory of elements that native code has deleted (`charge`)."""

    def renew_lock(self) -> None:
        """Take a new lock, in the child of a fork, where whoever held the old one does not exist."""
        self.lock = RLock()

    # Values.

    def export(self, view: memoryview) -> bytes:
        """Copy a value; a spin lock in it reads as zero."""
        data = view.tobytes()
        if self.lock_offset is None:
            return data
        at = self.lock_offset
        return data[:at] + bytes(4) + data[at + 4 :]

    def store(self, view: memoryview, value: bytes) -> None:
        """Copy `value` into a live value; a spin lock in it keeps its state."""
        at = self.lock_offset
        if at is None:
            view[:] = value
            return
        view[:at] = value[:at]
        view[at + 4 :] = value[at + 4 :]

    def check_flags(self, flags: int, *, exists: bool) -> int:
        """Apply NOEXIST, EXIST and LOCK as the hash tables do."""
        if flags & ~LOCK > EXIST or (flags & LOCK and self.lock_offset is None):
            return -EINVAL
        if exists and flags & ~LOCK == NOEXIST:
            return -EEXIST
        if not exists and flags & ~LOCK == EXIST:
            return -ENOENT
        return 0

    def check_index(self, key: bytes, flags: int) -> int:
        """Check an array update; return the index or a negative errno."""
        if flags & ~LOCK > EXIST:
            return -EINVAL
        index = int.from_bytes(key[:4], "little")
        if index >= self.max_entries:
            return -E2BIG
        if flags & NOEXIST:
            return -EEXIST
        if flags & LOCK and self.lock_offset is None:
            return -EINVAL
        return index

    def index_after(self, key: bytes | None) -> bytes | int:
        """`next_key` of everything that is indexed from 0 (array_map_get_next_key)."""
        index = self.max_entries if key is None else int.from_bytes(key[:4], "little")
        if index >= self.max_entries:
            return bytes(4)
        if index == self.max_entries - 1:
            return -ENOENT
        return (index + 1).to_bytes(4, "little")
