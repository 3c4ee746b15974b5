"""Hash map (kernel/bpf/hashtab.c, `BPF_MAP_TYPE_HASH`).

Elements sit in numbered slots, freed slots are used again, and iteration goes by slot. So the cursor of a walk is a
number that stays meaningful while elements come and go, which is what the batch commands need.

Ctrl-C raises between two calls. Where several tables change together, everything is computed first and then stored
without a call in between, so that an element is in all of them or in none; maps and rings keep to that throughout.
"""

from __future__ import annotations

from typing import Any

from ebpf.abi.linux import E2BIG, ENOENT, ENOMEM
from ebpf.abi.types import MapFlag
from ebpf.vm.maps.base import ELEMENT_OVERHEAD, LOCK, Map, MapShape, round_up


class Element:
    """One element: key, live value view (per-CPU maps: one per CPU), its slot, and the object that it stands for."""

    __slots__ = ("held", "key", "slot", "value", "values")

    def __init__(self, key: bytes, value: memoryview, *, values: list[memoryview] | None = None) -> None:
        self.key = key
        self.slot = 0
        self.value = value
        self.values = values or [value]
        self.held: Any = None


class HashMap(Map):
    """Keys of any bytes. Replacing a value makes a new one: who still holds the old view reads the old value."""

    def __init__(self, shape: MapShape, *, cpus: int = 1, seed: int = 0) -> None:
        super().__init__(shape, cpus=cpus, seed=seed)
        self._table: dict[bytes, Element] = {}
        self._slots: list[Element | None] = []
        self._free: list[int] = []
        self._first = 0  # no live element has a lower slot
        self.preallocated = not shape.flags & MapFlag.NO_PREALLOC
        self.element_size = self.element_cost(shape, cpus=cpus)

    def __len__(self) -> int:
        return len(self._table)

    @classmethod
    def element_cost(cls, shape: MapShape, *, cpus: int) -> int:
        """Bytes that one element costs."""
        copies = cpus if cls.per_cpu else 1
        return ELEMENT_OVERHEAD + round_up(shape.key_size, 8) + round_up(shape.value_size, 8) * copies

    @classmethod
    def cost(cls, shape: MapShape, *, cpus: int) -> int:
        if shape.flags & MapFlag.NO_PREALLOC:
            return 0
        return cls.element_cost(shape, cpus=cpus) * shape.max_entries

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        element = self._table.get(key)
        return None if element is None else element.value

    def update(self, key: bytes, value: bytes, flags: int = 0, cpu: int = 0) -> int:
        with self.lock:
            old = self._table.get(key)
            error = self.check_flags(flags, exists=old is not None)
            if error:
                return error
            if old is None:
                return self.insert(key, value)
            self.replace(old, value, locked=bool(flags & LOCK))
            return 0

    def delete(self, key: bytes) -> int:
        with self.lock:
            return -ENOENT if self.remove(key) is None else 0

    def take(self, key: bytes, flags: int = 0) -> bytes | int:
        with self.lock:
            data = self.read(key, flags)
            if not isinstance(data, int):
                self.remove(key)
            return data

    def next_key(self, key: bytes | None) -> bytes | int:
        with self.lock:
            element = None if key is None else self._table.get(key)
            slot = self.slot_from(0 if element is None else element.slot + 1)
            found = self._slots[slot] if slot is not None else None
            return -ENOENT if found is None else found.key

    def elements(self) -> list[tuple[bytes, Any, memoryview]]:
        with self.lock:
            return [(e.key, e.key, e.value) for e in self._slots if e is not None]

    def clear(self) -> None:
        with self.lock:
            for key in list(self._table):
                self.remove(key)

    def walk(self, start: int, limit: int) -> tuple[bytes, bytes, int | None]:
        """Copy up to `limit` elements from slot `start` on: their keys, their values in the form of the system call.

        Also returned is the slot to go on from (None: that was the end).
        """
        keys: list[bytes] = []
        values: list[bytes] = []
        with self.lock:
            at = self.slot_from(start)
            while at is not None and len(keys) < limit:
                element = self._slots[at]
                assert element is not None
                value = self.read(element.key)
                assert not isinstance(value, int)
                keys.append(element.key)
                values.append(value)
                at = self.slot_from(at + 1)
        return b"".join(keys), b"".join(values), at

    # Slots and values; the caller holds the lock.

    def replace(self, old: Element, value: bytes, *, locked: bool) -> None:
        """Give an element a new value; `locked` writes into the old one, as BPF_F_LOCK does."""
        if locked:
            self.store(old.value, value)
        else:
            old.value = self.fresh(value)

    def make_room(self, key: bytes) -> int:
        """Make sure that one more element fits: 0 or a negative errno."""
        if len(self._table) >= self.max_entries:
            return -E2BIG
        if not self.preallocated and not self.charge(self.element_size):
            return -ENOMEM
        return 0

    def insert(self, key: bytes, value: bytes) -> int:
        """Add an element that does not exist yet."""
        error = self.make_room(key)
        return error or self.place(Element(key, self.fresh(value)))

    def place(self, element: Element) -> int:
        """Give a new element its slot."""
        slots, free = self._slots, self._free
        slot = element.slot = free[-1] if free else len(slots)
        first = min(self._first, slot)
        if free:
            del free[-1]
        slots[slot : slot + 1] = (element,)
        self._first = first
        self._table[element.key] = element
        return 0

    def remove(self, key: bytes) -> Element | None:
        """Drop an element and free its slot."""
        element = self._table.get(key)
        if element is None:
            return None
        end = len(self._free)
        del self._table[key]
        self._slots[element.slot] = None
        self._free[end:] = (element.slot,)
        if not self.preallocated:
            self.charge(-self.element_size)
        return element

    def slot_from(self, slot: int) -> int | None:
        """Return the first occupied slot at or after `slot`."""
        start = max(slot, self._first)
        for at in range(start, len(self._slots)):
            if self._slots[at] is not None:
                if start == self._first:
                    self._first = at
                return at
        if start == self._first:
            self._first = len(self._slots)
        return None

    def fresh(self, value: bytes) -> memoryview:
        """Make the memory of a new value; a spin lock in it starts unlocked."""
        data = bytearray(value)
        if self.lock_offset is not None:
            data[self.lock_offset : self.lock_offset + 4] = bytes(4)
        return memoryview(data)
